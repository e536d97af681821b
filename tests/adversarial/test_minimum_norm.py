"""Minimum-norm attacks and their projections against distances that are known exactly."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog
from torch import Tensor, nn

from sciml_zoo.adversarial.attacks import deepfool, minnorm_l2, minnorm_linf
from sciml_zoo.adversarial.attacks.objective import margin
from sciml_zoo.adversarial.attacks.projections import closest_on_plane, norms, onto_ball
from sciml_zoo.errors import InputError
from tests.adversarial.test_attacks import digits, generator, network

every_norm = pytest.mark.parametrize("p", [2.0, math.inf])
MINIMUM = {2.0: minnorm_l2, math.inf: minnorm_linf}


def distance(x: np.ndarray, a: np.ndarray, gap: float, p: float, box: bool) -> float:
    """The least ‖z − x‖ with a·(z − x) ≥ gap > 0 and z in [0, 1], by scipy; infinite where there is none."""
    if box and a @ np.where(a > 0, 1 - x, -x) < gap:
        return math.inf
    if p == 2:
        if not box:
            return gap / np.linalg.norm(a)

        def moved(size: float) -> np.ndarray:
            return np.clip(x + size * a, 0, 1) - x

        return float(
            np.linalg.norm(moved(brentq(lambda size: a @ moved(size) - gap, 0, 1 / np.abs(a).min(), xtol=1e-15)))
        )
    n = len(x)
    cost = np.r_[np.zeros(n), 1.0]
    rows = np.block([[np.eye(n), -np.ones((n, 1))], [-np.eye(n), -np.ones((n, 1))], [-a[None], np.zeros((1, 1))]])
    limits = [(-one, 1 - one) if box else (None, None) for one in x]
    found = linprog(cost, A_ub=rows, b_ub=np.r_[np.zeros(2 * n), -gap], bounds=[*limits, (0, None)])
    return float(found.fun)


def linear(n_classes: int) -> tuple[nn.Linear, Tensor, Tensor]:
    torch.manual_seed(1)
    model = nn.Linear(12, n_classes).double()
    inputs = torch.rand(25, 12, generator=generator(), dtype=torch.float64)
    return model, inputs, model(inputs).argmax(1)


def distances(model: nn.Linear, inputs: Tensor, labels: Tensor, p: float, box: bool) -> Tensor:
    """Distance of each input from the nearest class of a linear model."""
    weight, logits = model.weight.detach().numpy(), model(inputs).detach().numpy()
    found = []
    for x, y, scores in zip(inputs.numpy(), labels.tolist(), logits, strict=True):
        others = [t for t in range(len(weight)) if t != y]
        found.append(min(distance(x, weight[t] - weight[y], scores[y] - scores[t], p, box) for t in others))
    return torch.tensor(found, dtype=torch.float64)


@every_norm
@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("attack", ["minimum norm", "deepfool"])
def test_distance_of_a_linear_model_is_exact(attack, n_classes, box, p):
    model, inputs, labels = linear(n_classes)
    exact = distances(model, inputs, labels, p, box)
    bounds = (0.0, 1.0) if box else None
    if attack == "deepfool":
        path = deepfool(model, inputs, labels, p=p, bounds=bounds)
    else:
        path = MINIMUM[p](model, inputs, labels, budget=60, bounds=bounds, generator=generator())
    reachable = exact.isfinite()
    assert reachable.sum() >= 15
    assert torch.equal(path.success, reachable)
    torch.testing.assert_close(path.norm(p)[reachable], exact[reachable], rtol=1e-6, atol=0)


@every_norm
def test_where_no_class_can_be_reached_the_end_is_clean(p):
    def model(inputs: Tensor) -> Tensor:
        return torch.stack([10 + inputs.sum(1), inputs.sum(1)], 1)

    inputs = torch.rand(3, 5, generator=generator(), dtype=torch.float64)
    path = MINIMUM[p](model, inputs, torch.zeros(3, dtype=torch.int64), budget=40, generator=generator())
    assert not path.success.any()
    assert torch.equal(path.end, inputs)


@pytest.mark.parametrize("outside", [True, False])
def test_distance_from_a_sphere_is_exact(outside):
    radius, sign = 0.5, 1 if outside else -1

    def model(inputs: Tensor) -> Tensor:
        return torch.stack(
            [torch.zeros(len(inputs), dtype=inputs.dtype), sign * (radius**2 - inputs.square().sum(1))], 1
        )

    away = torch.randn(20, 6, generator=generator(), dtype=torch.float64)
    far = torch.linspace(0.6, 2.0, 20) if outside else torch.linspace(0.15, 0.45, 20)
    inputs = far[:, None].double() * away / away.norm(dim=1, keepdim=True)
    labels = torch.zeros(20, dtype=torch.int64)
    path = minnorm_l2(model, inputs, labels, budget=100, bounds=None, generator=generator())
    assert path.success.all()
    torch.testing.assert_close(path.norm(), (far - radius).abs().double(), rtol=1e-3, atol=0)


def test_the_end_is_a_stationary_point_of_the_distance():
    # Of a smooth network: the clean input's projection onto the boundary's tangent plane and the box is the end itself.
    model = network("adversarial_gelu", torch.float64)
    inputs, labels = digits(40, torch.float64)
    right = model(inputs).argmax(1) == labels
    inputs, labels = inputs[right], labels[right]
    path = minnorm_l2(model, inputs, labels, budget=200, generator=generator())
    end = path.end.clone().requires_grad_()
    value = margin(model(end), labels)
    (gradient,) = torch.autograd.grad(value.sum(), end)
    assert (value > 0).all()
    long = path.norm()
    assert ((value / norms(gradient, 2)) < 1e-5 * long).all()
    gap = (gradient * (path.end - inputs)).flatten(1).sum(1) - value.detach()
    nearest = closest_on_plane(inputs, gradient, gap, 2.0, (0.0, 1.0))
    assert (norms(nearest - path.end, 2) / long).median() < 0.02
    assert (norms(nearest - inputs, 2) / long).min() > 0.995


@pytest.mark.parametrize("weights", ["standard_relu", "adversarial_gelu"])
@every_norm
def test_no_farther_than_deepfool(weights, p):
    inputs, labels = digits(60)
    model = network(weights)
    ours = MINIMUM[p](model, inputs, labels, budget=100, generator=generator()).norm(p)
    theirs = deepfool(model, inputs, labels, p=p, budget=100).norm(p)
    assert (ours <= theirs * (1 + 1e-5)).all()
    assert ours.median() < 0.97 * theirs.median()


vectors = st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=6, max_size=6)
inside = st.lists(st.floats(0, 1), min_size=6, max_size=6)


@every_norm
@settings(max_examples=80, deadline=None)
@given(x=inside, a=vectors, gap=st.floats(0.01, 2), box=st.booleans())
def test_projection_onto_a_plane_in_the_box_is_exact(p, x, a, gap, box):
    centre, normal = (torch.tensor([one], dtype=torch.float64) for one in (x, a))
    bounds = (0.0, 1.0) if box else None
    found = closest_on_plane(centre, normal, torch.tensor([gap], dtype=torch.float64), p, bounds)
    reached = float((normal * (found - centre)).sum())
    exact = distance(np.array(x), np.array(a), gap, p, box)
    if math.isinf(exact):
        assert reached == pytest.approx(float(np.array(a) @ np.where(np.array(a) > 0, 1 - np.array(x), -np.array(x))))
    else:
        assert reached == pytest.approx(gap, rel=1e-9)
        assert float(norms(found - centre, p)) == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_projection_goes_against_the_normal_where_the_gap_is_negative():
    centre = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    normal = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    found = closest_on_plane(centre, normal, torch.tensor([-1.0], dtype=torch.float64), 2.0, None)
    torch.testing.assert_close(found, centre - normal / 25)


@every_norm
def test_projection_onto_a_ball_is_the_closest_point(p):
    points, centre = (torch.randn(50, 4, generator=generator(seed), dtype=torch.float64) for seed in (0, 1))
    found = onto_ball(points, centre, 0.7, p)
    assert (norms(found - centre, p) <= 0.7 + 1e-15).all()
    # No point of the ball is closer: the way to the point makes an obtuse angle with the ways to all of the ball.
    others = onto_ball(
        torch.randn(200, 50, 4, generator=generator(2), dtype=torch.float64).flatten(0, 1),
        centre.repeat(200, 1),
        0.7,
        p,
    )
    angle = ((points - found) * (others.reshape(200, 50, 4) - found)).sum(2)
    assert angle.max() <= 1e-12


def test_other_norms_are_refused():
    points = torch.zeros(1, 2)
    with pytest.raises(InputError, match="norm 1"):
        onto_ball(points, points, 1.0, 1)
