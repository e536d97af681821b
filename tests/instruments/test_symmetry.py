"""Equal units stay equal to the last bit, and part at the linearised rate where something nudges them."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import symmetry
from sciml_zoo.instruments._parabola import Nudge, departures, growth
from sciml_zoo.instruments._units import hidden_layers

LEARNING_RATE = 0.3


def network(dtype=torch.float64, seed=0):
    """Returns two hidden layers of tanh, with units 1 and 3 of the second equal."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        model[2].weight[3], model[2].bias[3] = model[2].weight[1], model[2].bias[1]
        model[4].weight[:, 3] = model[4].weight[:, 1]
    x = torch.rand(32, 2, generator=generator, dtype=torch.float64).to(dtype) * 2 - 1
    return model, lambda module: (module(x) - x.prod(1, keepdim=True)).square().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("neurons", [2, 3, 8])
def test_identical_neurons_stay_identical_to_the_last_bit(dtype, neurons):
    for nudge in (Nudge(), Nudge(imbalance=0.3)):
        identical, mirrored = departures(neurons, LEARNING_RATE, 200, nudge, dtype, 0)
        assert identical.max() == 0
        # Data that are not balanced break the symmetry of the data, and only that.
        assert (mirrored.max() == 0) == (nudge.imbalance == 0)


@pytest.mark.parametrize(
    ("nudge", "dtype", "which"),
    [
        (Nudge(noise=1e-7), torch.float64, 0),
        (Nudge(noise=1e-6), torch.float32, 0),
        (Nudge(rounding=True), torch.float32, 0),
        (Nudge(imbalance=1e-7), torch.float64, 1),
    ],
)
def test_growth_from_the_plateau_is_the_linearised_one(nudge, dtype, which):
    distances = departures(2, LEARNING_RATE, 400, nudge, dtype, 0)[which]
    rate, error = symmetry.fitted_growth(distances)
    assert rate == pytest.approx(growth(2, LEARNING_RATE)[which], rel=0.02)
    assert 0 <= error < 0.01 * rate
    assert distances.max() > 0.01


def test_the_closed_form_is_the_curvature_of_the_loss():
    neurons, bias, outgoing = 3, -math.atanh(3**-0.5), 0.15
    x = 2 * (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    x = torch.cat([x, -x])

    def loss(theta):
        w, b, a = theta[:-1].view(3, neurons)
        return ((a[:, None] * torch.tanh(w[:, None] * x + b[:, None])).sum(0) + theta[-1] - x**2).square().mean() / 2

    constant = float((x**2).mean()) - neurons * outgoing * math.tanh(bias)
    plateau = torch.tensor([0.0] * neurons + [bias] * neurons + [outgoing] * neurons + [constant], dtype=torch.float64)
    gradient = torch.func.grad(loss)(plateau)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-14, rtol=0)
    block = torch.func.hessian(loss)(plateau)[:neurons, :neurons]
    rates = torch.log1p(-LEARNING_RATE * torch.linalg.eigvalsh(block)).flip(0).sort(descending=True).values
    parting, leaning = growth(neurons, LEARNING_RATE)
    torch.testing.assert_close(rates, torch.tensor([parting, parting, leaning], dtype=torch.float64))


def test_float64_breaks_later_by_the_ratio_of_the_roundings():
    broken = []
    for dtype in (torch.float32, torch.float64):
        distances = departures(2, LEARNING_RATE, 1000, Nudge(rounding=True), dtype, 0)[0]
        broken.append(int((distances > 1e-2).nonzero()[0]))
    assert broken[1] - broken[0] == pytest.approx(29 * math.log(2) / growth(2, LEARNING_RATE)[0], rel=0.25)


def test_the_demonstration():
    found = symmetry.measure()
    rows = {label: i for i, label in enumerate(found.labels)}
    for label in ("identical; nothing, float32", "identical; nothing, float64", "identical; imbalance 1e-8, float64"):
        assert found.distances[rows[label]].max() == 0
        assert found.broken_at[rows[label]] is None
    for label in (
        "identical; rounding, float32",
        "identical; rounding, float64",
        "identical; noise 1e-8, float64",
        "mirror; imbalance 1e-8, float64",
    ):
        i = rows[label]
        assert found.rates[i].item() == pytest.approx(found.linearised_rates[i].item(), rel=0.02)
        assert found.broken_at[i] > 0
    record = json.loads(json.dumps(found.to_dict()))
    assert record["rates"][rows["identical; nothing, float64"]] is None
    axes = found.plot().axes[0]
    assert axes.get_yscale() == "log"
    assert sum("exactly 0" in line.get_label() for line in axes.lines) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_a_pair_of_a_network_follows_its_tangent(seed):
    model, loss = network(seed=seed)
    found = symmetry.measure(model, loss, learning_rate=0.1, steps=120, noise=1e-7, seed=seed)
    i = found.labels.index("2: 1, 3")
    assert found.rates[i].item() == pytest.approx(found.linearised_rates[i].item(), rel=0.02)
    assert found.distances[i, 0].item() == pytest.approx(1e-7, rel=2)
    # The other layer has no equal units: its closest pair is followed, and has nothing to be linearised about.
    assert found.labels[0].startswith("0: ")
    assert found.labels[0].endswith("(closest)")
    assert found.broken_at[0] == 0
    assert found.linearised_rates[0].isnan()
    assert found.layers == {"0": True, "2": True}
    json.dumps(found.to_dict())
    assert len(found.plot().axes) == 1


def test_a_saddle_between_equal_units_is_left_at_its_own_rate():
    # a tanh(wx) twice, at w = a = 0 but for the signs: the difference grows by 1 + η⟨xy⟩ along a = w.
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    y = 0.5 * x
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Tanh(), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e-6)
    found = symmetry.measure(
        model, lambda module: (module(x) - y).square().mean() / 2, learning_rate=1.0, steps=60, noise=1e-5
    )
    assert found.linearised_rates[0].item() == pytest.approx(math.log1p(float((x * y).mean())), rel=0.05)
    assert found.rates[0].item() == pytest.approx(found.linearised_rates[0].item(), rel=0.02)


def test_model_and_random_state_stay_as_they_were():
    model, loss = network(torch.float32)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = symmetry.measure(model, loss, steps=20, noise=1e-4)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert found.distances.isfinite().all()
    assert found.gradients == 20 * 4


def test_pairs_are_found_in_linear_and_convolution_layers_and_need_all_weights():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    ).eval()
    assert [(each.name, each.reader, each.size) for each in hidden_layers(model)] == [("0", "3", 4), ("3", "6", 3)]
    assert symmetry.identical_units(model) == ()
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = model[0].weight[0], model[0].bias[0]
        model[3].weight[2], model[3].bias[2] = model[3].weight[1], model[3].bias[1]
        model[6].weight[:, 8:12] = model[6].weight[:, 4:8]
    # Channels 0 and 2 write the same, but are not read alike yet; those of the second are.
    assert symmetry.identical_units(model, 0.0) == (symmetry.UnitPair("3", 1, 2, 0.0),)
    with torch.no_grad():
        model[3].weight[:, 2] = model[3].weight[:, 0]
    pairs = symmetry.identical_units(model, 0.0)
    assert [(pair.layer, pair.first, pair.second) for pair in pairs] == [("0", 0, 2), ("3", 1, 2)]
    with torch.no_grad():
        model[1].weight[2] += 0.1
    assert [pair.layer for pair in symmetry.identical_units(model)] == ["3"]
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    found = symmetry.measure(model, lambda module: module(x).square().mean(), learning_rate=0.05, steps=5)
    assert found.layers == {"0": True, "3": True}


def test_weights_are_put_back_where_they_came_from():
    model = nn.Sequential(nn.Conv1d(2, 3, 2), nn.Flatten(), nn.Linear(12, 4))
    parameters = dict(model.named_parameters())
    (layer,) = hidden_layers(model)
    units = layer.units(parameters)
    assert units.shape == (3, 2 * 2 + 1 + 4 * 4)
    back = layer.with_units(parameters, units)
    assert all(torch.equal(back[name], value) for name, value in parameters.items())


class Skipping(nn.Module):
    """A hidden layer whose units are also part of the output, in their order."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return hidden + self.second(hidden)


def test_a_skip_connection_forbids_the_swap():
    x = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
    model = Skipping()
    target = torch.arange(3.0)
    with pytest.raises(InputError, match="no hidden layer whose units can be swapped"):
        symmetry.measure(model, lambda module: (module(x) - target).square().mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("score", [nn.functional.mse_loss, nn.functional.l1_loss])
@pytest.mark.parametrize("seed", range(3))
def test_units_are_swapped_at_a_loss_of_zero(dtype, score, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        x = torch.randn(64, 4, dtype=dtype)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
        y = model(x).detach()
        skipping = Skipping().to(dtype)
    assert score(model(x), y) == 0
    found = symmetry.measure(model, lambda module: score(module(x), y), steps=5)
    assert found.layers == {"0": True}
    assert found.distances.isfinite().all()
    # What cannot be swapped is still told apart.
    target = skipping(x[:, :3]).detach()
    with pytest.raises(InputError, match="no hidden layer whose units can be swapped"):
        symmetry.measure(skipping, lambda module: score(module(x[:, :3]), target))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": None}, "without a loss"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
        ({"steps": 0}, "steps 0"),
        ({"noise": -1.0}, "noise -1.0"),
        ({"learning_rate": 1e200}, "left the finite numbers at step"),
    ],
)
def test_bad_input(arguments, message):
    model, loss = network()
    with pytest.raises(InputError, match=message):
        symmetry.measure(model, **{"loss": loss, "steps": 10} | arguments)
    with pytest.raises(InputError, match="tolerance -1"):
        symmetry.identical_units(model, -1)
