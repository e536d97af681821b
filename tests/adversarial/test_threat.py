"""Projected gradient ascent: it stays where it must, and finds the worst point where that is known."""

import math

import pytest
import torch
from scipy.stats import kstest
from torch import nn

from sciml_zoo.adversarial.threat import Threat, _random_start, strongest
from sciml_zoo.errors import InputError

every_kind = pytest.mark.parametrize("kind", ["linf", "l2"])
ORDER = {"linf": math.inf, "l2": 2.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 3)).double()


class Line(nn.Module):
    """Two classes on either side of a plane: logits 0 and w · x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.linspace(-2, 1.5, 16, dtype=torch.float64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        margin = images.flatten(1) @ self.w
        return torch.stack([torch.zeros_like(margin), margin], 1)


@every_kind
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.7, 3.0])
def test_what_is_found_lies_in_the_ball_and_in_the_box(kind, epsilon):
    images = torch.rand(20, 1, 4, 4, generator=generator(), dtype=torch.float64).round(decimals=1)
    labels = torch.arange(20) % 3
    found = strongest(classifier(), images, labels, Threat(kind, epsilon, steps=6), generator())
    distance = torch.linalg.vector_norm((found - images).flatten(1), ord=ORDER[kind], dim=1)
    assert distance.max() <= epsilon * (1 + 1e-12)
    assert 0 <= found.min() <= found.max() <= 1
    assert not found.requires_grad


@every_kind
def test_the_worst_point_of_a_linear_classifier_is_found(kind):
    """max −w · x over the ball is −w · x₀ + ε ‖w‖, with the dual norm."""
    line, images = Line(), torch.full((4, 1, 4, 4), 0.5, dtype=torch.float64)
    epsilon = 0.1
    found = strongest(
        line, images, torch.ones(4, dtype=torch.long), Threat(kind, epsilon, steps=40, step_size=1.0), generator()
    )
    dual = torch.linalg.vector_norm(line.w, ord=1 if kind == "linf" else 2)
    lowest = images.flatten(1) @ line.w - epsilon * dual
    torch.testing.assert_close(found.flatten(1) @ line.w, lowest, rtol=0, atol=1e-12)


@every_kind
def test_random_starts_are_uniform_in_the_ball(kind):
    """‖u‖/ε to the power of the dimension is uniform, and no direction is preferred."""
    images = torch.zeros(4000, 1, 2, 2, dtype=torch.float64)
    start = _random_start(images, Threat(kind, 0.3), generator()).flatten(1)
    radius = torch.linalg.vector_norm(start, ord=ORDER[kind], dim=1) / 0.3
    assert kstest((radius**4).numpy(), "uniform").pvalue > 1e-3
    spread = start.std(0) / math.sqrt(4000)
    assert (start.mean(0).abs() < 4.5 * spread).all()


@every_kind
def test_images_are_attacked_each_on_its_own(kind):
    """The gradient of one does not change the way of another; the random starts are of the batch."""
    model, threat = classifier(), Threat(kind, 0.4, steps=5)
    images, labels = torch.rand(6, 1, 4, 4, generator=generator(1), dtype=torch.float64), torch.arange(6) % 3
    found = strongest(model, images, labels, threat, generator())
    other = labels.clone()
    other[3:] = (other[3:] + 1) % 3
    again = strongest(model, images, other, threat, generator())
    torch.testing.assert_close(again[:3], found[:3], rtol=0, atol=1e-14)
    assert (again[3:] - found[3:]).abs().max() > 0.01


def test_randomness_is_the_generators_only():
    model, images, labels = classifier(), torch.full((3, 1, 4, 4), 0.5, dtype=torch.float64), torch.arange(3)
    before = torch.get_rng_state()
    first, again, other = (strongest(model, images, labels, Threat("l2", 1.0), generator(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(p.grad is None for p in model.parameters())
    assert strongest(model, images, labels, Threat("none"), generator()) is images


def test_it_works_where_gradients_are_switched_off_and_where_they_vanish():
    images, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.long)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        flat[1].weight.zero_()
        for kind in ("linf", "l2"):
            found = strongest(flat, images, labels, Threat(kind, 0.2), generator())
            assert found.isfinite().all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "l3"}, "kind: 'l3' is unknown"),
        ({"epsilon": -1.0}, r"epsilon: -1\.0"),
        ({"epsilon": math.nan}, "epsilon: nan"),
        ({"steps": 0}, "steps: 0"),
        ({"step_size": 0.0}, r"step_size: 0\.0"),
    ],
)
def test_impossible_threats_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Threat(**{"kind": "l2", **values})
