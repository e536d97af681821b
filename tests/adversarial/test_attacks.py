"""Attacks: exact where the answer is known, inside ball and box, within their budget, and each sample on its own."""

import functools
import math

import pytest
import torch
from torch import Tensor, nn

import sciml_zoo as sz
from sciml_zoo.adversarial import LossPotential, load_images
from sciml_zoo.adversarial.attacks import ATTACKS, RANDOM, fgsm, flow, momentum, pgd_l2, pgd_linf
from sciml_zoo.adversarial.attacks.recording import Recording
from sciml_zoo.errors import InputError

every_attack = pytest.mark.parametrize("name", ATTACKS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
BUDGETED = ("deepfool", "minnorm_l2", "minnorm_linf", "cw_l2", "flow")
IN_BALL = {
    "fgsm": (fgsm, math.inf),
    "pgd_linf": (pgd_linf, math.inf),
    "momentum": (momentum, math.inf),
    "pgd_l2": (pgd_l2, 2.0),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seeded(name: str, seed: int = 0) -> dict[str, torch.Generator]:
    return {"generator": generator(seed)} if name in RANDOM else {}


@functools.cache
def network(name: str = "standard_gelu", dtype: torch.dtype = torch.float32) -> nn.Module:
    return sz.load_model(f"digits_cnn.{name}").to(dtype)


def digits(n: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    test = load_images("sklearn:digits/test")
    return test.images[:n].to(dtype), test.labels[:n]


class Line(nn.Module):
    """Two classes on either side of a plane: logits 0 and w · x − 1."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.w = torch.randn(12, generator=generator(3), dtype=torch.float64).to(dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        margin = inputs.flatten(1) @ self.w - 1
        return torch.stack([torch.zeros_like(margin), margin], 1)


class Counted:
    """Counts the gradients of single samples that reach a model's outputs."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.gradients = model, 0

    def __call__(self, inputs: Tensor) -> Tensor:
        outputs = self.model(inputs)
        if outputs.requires_grad:
            outputs.register_hook(self.count)
        return outputs

    def count(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_fast_gradient_sign_is_the_exact_maximum_of_a_linear_model(bounds):
    model, epsilon = Line(), 0.3
    inputs = torch.rand(20, 3, 4, generator=generator(), dtype=torch.float64)
    path = fgsm(model, inputs, torch.zeros(20, dtype=torch.int64), epsilon=epsilon, bounds=bounds)
    low, high = (
        (inputs - epsilon, inputs + epsilon)
        if bounds is None
        else ((inputs - epsilon).clamp(0), (inputs + epsilon).clamp(max=1))
    )
    best = torch.where(model.w.view(3, 4) > 0, high, low)
    torch.testing.assert_close(path.end, best, atol=1e-14, rtol=0)
    assert path.gradients == 1


def test_projected_gradient_in_l2_ends_where_a_linear_model_is_largest():
    model, epsilon = Line(), 0.3
    inputs = torch.rand(20, 12, generator=generator(), dtype=torch.float64)
    path = pgd_l2(model, inputs, torch.zeros(20, dtype=torch.int64), epsilon=epsilon, steps=5, bounds=None)
    torch.testing.assert_close(path.end, inputs + epsilon * model.w / model.w.norm(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", IN_BALL)
@every_dtype
def test_every_iterate_lies_in_the_ball_and_in_the_box(name, dtype):
    attack, p = IN_BALL[name]
    inputs, labels = digits(30, dtype)
    options = {} if name == "fgsm" else {"restarts": 3, "steps": 7, "generator": generator()}
    path = attack(network(dtype=dtype), inputs, labels, epsilon=0.3, **options)
    away = torch.linalg.vector_norm((path.points - inputs).flatten(2), ord=p, dim=2)
    assert away.max() <= 0.3 * (1 + 4 * torch.finfo(dtype).eps)
    assert path.points.min() >= 0
    assert path.points.max() <= 1
    assert away.max() > 0.29


@every_attack
@every_dtype
def test_the_box_is_kept_exactly_the_start_is_clean_and_success_is_true(name, dtype):
    inputs, labels = digits(20, dtype)
    model = network(dtype=dtype)
    path = ATTACKS[name](model, inputs, labels, **seeded(name))
    assert path.points.dtype == dtype
    assert path.points.min() >= 0
    assert path.points.max() <= 1
    assert torch.equal(path.start, inputs)
    assert path.name == name
    assert torch.equal(model(path.end).argmax(1) != labels, path.success)
    assert path.success.double().mean() >= (0.4 if "epsilon" in ATTACKS[name].__kwdefaults__ else 1.0)


@every_attack
def test_gradients_are_counted_honestly(name):
    inputs, labels = digits(6)
    for row in range(6):
        counted = Counted(network("adversarial_relu"))
        path = ATTACKS[name](counted, inputs[row : row + 1], labels[row : row + 1], **seeded(name))
        assert path.gradients == counted.gradients


@pytest.mark.parametrize("name", BUDGETED)
@pytest.mark.parametrize("budget", [1, 2, 5, 20, 100])
def test_the_budget_is_never_exceeded(name, budget):
    inputs, labels = digits(7)
    counted = Counted(network("adversarial_relu"))
    path = ATTACKS[name](counted, inputs, labels, budget=budget, **seeded(name))
    assert path.gradients <= budget
    assert counted.gradients <= budget * 7
    assert torch.equal(network("adversarial_relu")(path.end).argmax(1) != labels, path.success)


@every_attack
def test_targets_are_reached(name):
    inputs, labels = digits(20)
    targets = (labels + 3) % 10
    wide = {"epsilon": 5.0 if name == "pgd_l2" else 0.6} if "epsilon" in ATTACKS[name].__kwdefaults__ else {}
    path = ATTACKS[name](network(), inputs, labels, targets=targets, **wide, **seeded(name))
    found = network()(path.end).argmax(1)
    assert torch.equal(found == targets, path.success)
    # One step to the corner of a ball is not much to reach a target with.
    assert path.success.double().mean() >= (0.05 if name == "fgsm" else 0.95)


@every_attack
def test_a_path_does_not_depend_on_its_neighbours(name):
    inputs, labels = digits(12, torch.float64)
    others, other_labels = inputs.clone(), labels.clone()
    others[1:], other_labels[1:] = inputs[1:].flip(0), labels[1:].flip(0)
    model = network(dtype=torch.float64)
    one = ATTACKS[name](model, inputs, labels, **seeded(name)).points[:, 0]
    two = ATTACKS[name](model, others, other_labels, **seeded(name)).points[:, 0]
    # A batch runs on until its last sample is done; meanwhile the others stay where they are.
    n = min(len(one), len(two)) - 1
    torch.testing.assert_close(one[:n], two[:n], atol=1e-9, rtol=0)
    torch.testing.assert_close(one[-1], two[-1], atol=1e-9, rtol=0)


@every_attack
def test_a_seed_gives_a_path(name):
    inputs, labels = digits(8)
    options = {"restarts": 4, "steps": 2} if name in ("pgd_l2", "pgd_linf", "momentum") else {}
    one, two = (ATTACKS[name](network(), inputs, labels, **options, **seeded(name, 5)) for _ in range(2))
    assert torch.equal(one.points, two.points)
    if name in RANDOM:
        other = ATTACKS[name](network("adversarial_relu"), inputs, labels, **options, **seeded(name, 5))
        again = ATTACKS[name](network("adversarial_relu"), inputs, labels, **options, **seeded(name, 6))
        assert other.points.shape != again.points.shape or not torch.equal(other.points, again.points)


@pytest.mark.parametrize("name", ["pgd_l2", *BUDGETED])
def test_single_precision_agrees_with_double(name):
    inputs, labels = digits(30)
    single = ATTACKS[name](network(), inputs, labels, **seeded(name))
    double = ATTACKS[name](network(dtype=torch.float64), inputs.double(), labels, **seeded(name))
    p = math.inf if name == "minnorm_linf" else 2
    ratio = single.norm(p).double() / double.norm(p)
    # A bisection of a weight, and which kinks a path meets, multiply what rounding does.
    assert (ratio - 1).abs().median() < (1e-3 if name == "cw_l2" else 1e-4)
    assert (ratio - 1).abs().quantile(0.9) < 0.03


@pytest.mark.parametrize("name", BUDGETED)
def test_what_is_wrong_already_stays(name):
    inputs, labels = digits(5)
    labels = (network()(inputs).argmax(1) + 1) % 10
    path = ATTACKS[name](network(), inputs, labels, **seeded(name))
    assert path.success.all()
    assert path.norm().max() == 0


@every_attack
def test_inputs_of_other_shapes(name):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 8, 5), nn.GELU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 3)
    ).double()
    codes = torch.randint(0, 4, (6, 30), generator=generator())
    inputs = torch.nn.functional.one_hot(codes, 4).transpose(1, 2).double()
    labels = model(inputs).argmax(1)
    path = ATTACKS[name](model, inputs, labels, **seeded(name))
    assert path.points.shape[1:] == inputs.shape
    assert path.points.min() >= 0
    assert path.points.max() <= 1
    value = LossPotential(model, labels).value
    assert (value(path.end) > value(path.start)).all()


def test_a_route_leaves_out_what_did_not_lead_to_its_end():
    track = Recording(torch.zeros(2, 1), 5)
    for point, before in ((1.0, None), (2.0, None), (3.0, [0, 1]), (4.0, None)):
        track.add(torch.full((2, 1), point), None if before is None else torch.tensor(before))
    whole = track.route("mine", 4, torch.ones(2, dtype=torch.bool))
    assert whole.points[..., 0].T.tolist() == [[0, 3, 4, 4], [0, 1, 3, 4]]
    part = track.route("mine", 4, torch.ones(2, dtype=torch.bool), torch.tensor([0, 2]))
    assert part.points[..., 0].T.tolist() == [[0, 0, 0], [0, 1, 2]]
    nowhere = track.route("mine", 4, torch.ones(2, dtype=torch.bool), torch.tensor([0, 0]))
    assert nowhere.points[..., 0].T.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(("name", "longest"), [("minnorm_l2", 30), ("minnorm_linf", 30), ("cw_l2", 101)])
def test_searches_that_found_nothing_closer_leave_no_trace(name, longest):
    inputs, labels = digits(30)
    path = ATTACKS[name](network(), inputs, labels, **seeded(name))
    assert path.gradients > 90
    assert len(path.points) <= longest
    assert path.length().median() < 8 * path.norm().median()


@pytest.mark.parametrize("restarts", [1, 4])
def test_ascent_returns_its_best_iterate(restarts):
    inputs, labels = digits(30)
    model = network("adversarial_gelu")
    # Steps as long as the ball is wide jump past the best place.
    path = pgd_l2(model, inputs, labels, epsilon=0.8, steps=8, step_size=0.8, restarts=restarts, generator=generator())
    potential = LossPotential(model, labels)
    values = torch.stack([potential.value(points) for points in path.points])
    wrong = torch.stack([model(points).argmax(1) != labels for points in path.points])
    best = torch.where(wrong.any(0), values.where(wrong, -math.inf).amax(0), values.amax(0))
    torch.testing.assert_close(values[-1], best)
    assert torch.equal(wrong[-1], wrong.any(0))


def test_momentum_without_decay_of_one_step_is_fast_gradient_sign():
    inputs, labels = digits(10)
    one = momentum(network(), inputs, labels, epsilon=0.1, steps=1)
    moved = (fgsm(network(), inputs, labels, epsilon=0.1).end - one.end).abs().flatten(1).amax(1)
    # The first returns its best node, which may be the clean one.
    assert ((moved == 0) | (one.norm() == 0)).all()
    assert (moved == 0).any()


def test_flow_in_a_linear_model_is_straight_and_of_unit_speed():
    model = Line()
    inputs = torch.rand(10, 12, generator=generator(), dtype=torch.float64)
    labels = model(inputs).argmax(1)
    path = flow(model, inputs, labels, bounds=None)
    assert path.success.all()
    torch.testing.assert_close(path.length(), path.norm(), atol=1e-12, rtol=0)
    distance = (inputs @ model.w - 1).abs() / model.w.norm()
    torch.testing.assert_close(path.norm(), distance, rtol=1e-9, atol=0)


def test_flow_climbs_and_converges_as_its_tolerance_shrinks():
    inputs, labels = digits(10, torch.float64)
    model = network(dtype=torch.float64)
    fixed = {"longest": 0.02, "budget": 60}
    paths = [flow(model, inputs, labels, tolerance=tolerance, **fixed) for tolerance in (1e-3, 1e-5, 1e-6)]
    value = LossPotential(model, labels).value
    for path in paths:
        values = torch.stack([value(points) for points in path.points])
        assert (values.diff(dim=0) >= 0).all()

    def apart(path, reference):
        """Distance of nodes from the other path, which has other nodes: of the nearest points of its segments."""
        begin, step = reference.points[:-1].flatten(2), reference.steps.flatten(2)
        nodes = path.points.flatten(2)[:, None]
        where = ((nodes - begin) * step).sum(-1) / step.square().sum(-1).clamp_min(1e-300)
        nearest = begin + where.clamp(0, 1)[..., None] * step
        return (nodes - nearest).norm(dim=-1).amin(1).amax(0)

    coarse, fine = apart(paths[0], paths[2]), apart(paths[1], paths[2])
    inside = paths[0].length() <= paths[2].length()
    assert fine[paths[1].length() <= paths[2].length()].median() < 1e-3
    assert coarse[inside].median() < 1e-2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"bounds": (0.2, 1.0)}, "outside the bounds"),
        ({"targets": torch.zeros(4, dtype=torch.int64)}, "sample 0: the target is the label"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"labels of shape \[3\] for 4 inputs"),
        ({"inputs": torch.zeros(4, 1, 8, 8, dtype=torch.int64)}, "floating point"),
    ],
)
@every_attack
def test_bad_input_is_named(name, change, what):
    given = {"inputs": digits(4)[0], "labels": torch.zeros(4, dtype=torch.int64)} | change
    with pytest.raises(InputError, match=what):
        ATTACKS[name](network(), **given)


@pytest.mark.parametrize("name", BUDGETED)
def test_a_budget_of_nothing_is_refused(name):
    inputs, labels = digits(2)
    with pytest.raises(InputError, match="budget of 0"):
        ATTACKS[name](network(), inputs, labels, budget=0)


@pytest.mark.parametrize("change", [{"epsilon": 0.0}, {"epsilon": math.inf}, {"steps": 0}, {"restarts": 0}])
def test_a_ball_or_run_of_nothing_is_refused(change):
    inputs, labels = digits(2)
    with pytest.raises(InputError, match="give"):
        pgd_linf(network(), inputs, labels, **change)


@pytest.mark.parametrize("name", ["deepfool", "minnorm_l2", "minnorm_linf", "flow"])
def test_ends_on_the_boundary_are_wrong_in_any_batch(name):
    inputs, labels = digits(300)
    path = ATTACKS[name](network(), inputs, labels, **seeded(name))
    for size in (1, 7, 300):
        found = torch.cat([network()(part).argmax(1) for part in path.end.split(size)])
        assert torch.equal(found != labels, path.success)
    assert path.success.double().mean() >= (0.99 if name == "deepfool" else 1.0)
