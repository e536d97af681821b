"""Plasticity by methylation, against loops over single connections."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.splicing.plasticity import (
    Definition,
    EligibilityRecord,
    PlasticContext,
    connection,
    plastic,
    shuffled_control,
    uniform_control,
)

KAPPA = 0.6
Array = NDArray[np.float64]
Case = tuple["Recurrent", Tensor, Tensor, Tensor, Tensor]


class Recurrent(nn.Module):
    """h_t = tanh(W h_{t−1} + U x_t + b), from h_0 ≠ 0, one base at a time."""

    def __init__(self, units: int, inputs: int, generator: torch.Generator) -> None:
        super().__init__()

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

        self.w, self.u, self.b = normal(units, units), normal(units, inputs), normal(units)

    def forward(self, x: Tensor, start: Tensor) -> Iterator[Tensor]:
        h = start
        for t in range(x.shape[1]):
            h = torch.tanh(connection(h, self.w) + connection(x[:, t], self.u, self.b))
            yield h


class ByHand:
    """The same network, its δ, and every contribution to its gradients, one number at a time."""

    def __init__(self, net: Recurrent, x: Tensor, start: Tensor, cost: Tensor) -> None:
        w, u, b = (p.detach().numpy() for p in (net.w, net.u, net.b))
        self.x, self.start, cost = x.detach().numpy(), start.detach().numpy(), cost.numpy()
        self.batch, self.length, self.inputs = self.x.shape
        self.units = len(b)
        self.h = np.zeros((self.batch, self.length + 1, self.units))
        self.h[:, 0] = self.start
        for n in range(self.batch):
            for t in range(self.length):
                for i in range(self.units):
                    s = b[i]
                    s += sum(w[i, j] * self.h[n, t, j] for j in range(self.units))
                    s += sum(u[i, j] * self.x[n, t, j] for j in range(self.inputs))
                    self.h[n, t + 1, i] = np.tanh(s)
        self.delta = np.zeros((self.batch, self.length, self.units))
        for n in range(self.batch):
            for t in reversed(range(self.length)):
                for i in range(self.units):
                    back = cost[n, t, i]
                    if t + 1 < self.length:
                        back += sum(self.delta[n, t + 1, k] * w[k, i] for k in range(self.units))
                    self.delta[n, t, i] = back * (1 - self.h[n, t + 1, i] ** 2)

    def sums(self, factor: Array, *, absolute: bool) -> tuple[Array, Array, Array]:
        """Σ factor δ x of W, U and b, or of the absolute values."""
        w, u, b = np.zeros((self.units, self.units)), np.zeros((self.units, self.inputs)), np.zeros(self.units)
        size = abs if absolute else float
        for n in range(self.batch):
            for t in range(self.length):
                for i in range(self.units):
                    delta = self.delta[n, t, i]
                    b[i] += factor[n, t] * size(delta)
                    for j in range(self.units):
                        w[i, j] += factor[n, t] * size(delta * self.h[n, t, j])
                    for j in range(self.inputs):
                        u[i, j] += factor[n, t] * size(delta * self.x[n, t, j])
        return w, u, b

    def alphas(self, methylation: Array, kappa: float) -> list[Array]:
        above, below = self.sums(methylation, absolute=True), self.sums(np.ones_like(methylation), absolute=True)
        return [1 - kappa * a / b for a, b in zip(above, below, strict=True)]


@pytest.fixture
def case() -> Case:
    """A network of two units, sequences of three bases, h_0, the cost ∂L/∂h_t, and methylation."""
    generator = torch.Generator().manual_seed(0)
    net = Recurrent(2, 3, generator)
    x = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    start = torch.randn(2, 2, generator=generator, dtype=torch.float64)
    cost = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    methylation = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    return net, x, start, cost, methylation


def backward(
    case: Case, kappa: float | None, definition: Definition = "per_step"
) -> tuple[dict[str, Tensor], dict[Tensor, Tensor]]:
    """Gradients of the parameters and the input, and the alphas; no plasticity at all for kappa None."""
    net, x, start, cost, methylation = case
    records: list[EligibilityRecord] = []
    states = net(x, start)
    loss = torch.zeros((), dtype=torch.float64)
    alphas = {}
    for t in range(x.shape[1]):
        if kappa is None:
            h = next(states)
        else:
            with plastic(kappa, methylation[:, t], definition, records) as context:
                h = next(states)
        loss = loss + (cost[:, t] * h).sum()
    gradients = torch.autograd.grad(loss, [net.w, net.u, net.b, x])
    if kappa is not None:
        alphas = context.alphas()
    return dict(zip(("w", "u", "b", "x"), gradients, strict=True)), alphas


def test_one_connection_on_paper() -> None:
    # s_t = w x_t at t = 1, 2 and L = s_1 − 2 s_2: δ = (1, −2), x = (3, 1), m = (0, 1).
    x = torch.tensor([[[3.0], [1.0]]])
    methylation = torch.tensor([[0.0, 1.0]])
    cost = torch.tensor([[[1.0], [-2.0]]])
    w = nn.Parameter(torch.ones(1, 1))
    with plastic(0.5, methylation):
        (connection(x, w) * cost).sum().backward()
    assert w.grad is not None
    assert w.grad.item() == 1 * 3 + 0.5 * -2 * 1
    with plastic(0.5, methylation, "per_connection") as context:
        (connection(x, w) * cost).sum().backward()
    assert context.alphas()[w].item() == pytest.approx(1 - 0.5 * 2 / (3 + 2), abs=1e-7)


def test_per_step_equals_the_hand_computation(case: Case) -> None:
    net, x, start, cost, methylation = case
    found, _ = backward(case, KAPPA)
    hand = ByHand(net, x, start, cost).sums(1 - KAPPA * methylation.numpy(), absolute=False)
    for name, expected in zip("wub", hand, strict=True):
        np.testing.assert_allclose(found[name].numpy(), expected, rtol=0, atol=1e-12)


def test_per_connection_equals_the_hand_computation(case: Case) -> None:
    net, x, start, cost, methylation = case
    _, alphas = backward(case, KAPPA, "per_connection")
    hand = ByHand(net, x, start, cost).alphas(methylation.numpy(), KAPPA)
    for parameter, expected in zip((net.w, net.u, net.b), hand, strict=True):
        np.testing.assert_allclose(alphas[parameter].numpy(), expected, rtol=0, atol=1e-12)
        assert ((expected > 1 - KAPPA) & (expected < 1)).all()  # the case is not degenerate
        assert np.ptp(expected) > 1e-3


def test_a_sequence_at_once_equals_base_by_base() -> None:
    generator = torch.Generator().manual_seed(1)
    x, cost = (torch.randn(2, 5, n, generator=generator, dtype=torch.float64) for n in (3, 4))
    methylation = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    layer = nn.Linear(3, 4, dtype=torch.float64)
    for definition in ("per_step", "per_connection"):
        found = []
        for pieces in (torch.arange(5).split(5), torch.arange(5).split(1)):
            records: list[EligibilityRecord] = []
            layer.zero_grad()
            for piece in pieces:
                with plastic(KAPPA, methylation[:, piece], definition, records) as context:
                    (connection(x[:, piece], layer.weight, layer.bias) * cost[:, piece]).sum().backward()
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            found.append([layer.weight.grad.clone(), layer.bias.grad.clone(), *context.alphas().values()])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("definition", ["per_step", "per_connection"])
def test_without_kappa_it_is_the_network_as_it_was_bit_for_bit(case: Case, definition: Definition) -> None:
    plain, _ = backward(case, None)
    found, alphas = backward(case, 0.0, definition)
    for name, gradient in plain.items():
        assert torch.equal(found[name], gradient)
    assert all((alpha == 1).all() for alpha in alphas.values())


@pytest.mark.parametrize("definition", ["per_step", "per_connection"])
def test_without_kappa_a_long_sequence_of_any_layout_is_the_same_bit_for_bit(definition: Definition) -> None:
    generator = torch.Generator().manual_seed(10)
    x = torch.randn(1, 96, 4096, generator=generator, dtype=torch.float64).mT.requires_grad_()
    cost = torch.randn(1, 4096, 4, generator=generator, dtype=torch.float64)
    layer = nn.Linear(96, 4, dtype=torch.float64)
    parts = [layer.weight, layer.bias, x]
    with plastic(0.0, torch.rand(1, 4096, generator=generator), definition):
        found = torch.autograd.grad(connection(x, layer.weight, layer.bias), parts, cost)
    for one, other in zip(found, torch.autograd.grad(layer(x), parts, cost), strict=True):
        assert torch.equal(one, other)


def test_per_connection_leaves_gradients_bit_for_bit(case: Case) -> None:
    plain, _ = backward(case, None)
    found, _ = backward(case, KAPPA, "per_connection")
    for name, gradient in plain.items():
        assert torch.equal(found[name], gradient)


def test_what_flows_on_is_not_scaled(case: Case) -> None:
    plain, _ = backward(case, None)
    found, _ = backward(case, KAPPA)
    torch.testing.assert_close(found["x"], plain["x"], rtol=0, atol=1e-14)
    assert not torch.allclose(found["w"], plain["w"])


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000))
def test_uniform_methylation_is_one_factor(kappa: float, level: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    case = (
        Recurrent(2, 2, generator),
        torch.randn(3, 4, 2, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.randn(3, 2, generator=generator, dtype=torch.float64),
        torch.randn(3, 4, 2, generator=generator, dtype=torch.float64),
        torch.full((3, 4), level, dtype=torch.float64),
    )
    plain, _ = backward(case, None)
    found, _ = backward(case, kappa)
    _, alphas = backward(case, kappa, "per_connection")
    for name in "wub":
        torch.testing.assert_close(found[name], (1 - kappa * level) * plain[name], rtol=1e-12, atol=1e-12)
    for alpha in alphas.values():
        torch.testing.assert_close(alpha, torch.full_like(alpha, 1 - kappa * level), rtol=0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.just(1.0) | st.floats(0, 1), st.integers(0, 1000), st.sampled_from([torch.float32, torch.float64]), st.booleans()
)
def test_alpha_stays_in_its_range(kappa: float, seed: int, dtype: torch.dtype, binary: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 50, 3, generator=generator, dtype=dtype)
    methylation = torch.rand(2, 50, generator=generator)
    methylation = (methylation > 0.01).float() if binary else 1 - 1e-7 * methylation  # as near to 1 as can be
    layer = nn.Linear(3, 2, dtype=dtype)
    with plastic(kappa, methylation, "per_connection") as context:
        connection(x, layer.weight, layer.bias).square().sum().backward()
    for alpha in context.alphas().values():
        assert alpha.min() >= max(0.0, 1 - kappa - torch.finfo(dtype).eps)
        assert alpha.max() <= 1


def test_sums_that_differ_by_rounding_give_no_negative_alpha() -> None:
    w, ones = nn.Parameter(torch.ones(1, 1)), torch.ones(1, 1)
    record = EligibilityRecord(w, None, ones, numerator=1 + torch.finfo(torch.float32).eps * ones, denominator=ones)
    assert PlasticContext(1.0, ones, "per_connection", [record]).alphas()[w].item() == 0


def test_methylation_where_a_connection_is_not_eligible_does_not_touch_it() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])  # input 0 speaks at t = 0, input 1 at t = 1, none at 2
    w, silent = nn.Parameter(torch.ones(1, 2)), nn.Parameter(torch.ones(1, 2))
    with plastic(1.0, torch.tensor([[0.0, 1.0, 1.0]]), "per_connection") as context:
        (connection(x, w) + 0 * connection(x, silent)).sum().backward()
    assert context.alphas()[w].tolist() == [[1.0, 0.0]]
    assert context.alphas()[silent].tolist() == [[1.0, 1.0]]  # never eligible: m̄ = 0


def assembled(weight: Tensor) -> Tensor:
    """Both strands' matrix [[own, other], [other, own]]."""
    own, other = weight.chunk(2, 1)
    return torch.cat([weight, torch.cat([other, own], 1)])


def doubled(bias: Tensor) -> Tensor:
    return torch.cat([bias, bias])


def test_a_shared_parameter_is_one_connection() -> None:
    generator = torch.Generator().manual_seed(2)
    x, cost = (torch.randn(2, 5, n, generator=generator, dtype=torch.float64) for n in (6, 4))
    methylation = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    weight = nn.Parameter(torch.randn(2, 6, generator=generator, dtype=torch.float64))
    bias = nn.Parameter(torch.randn(2, generator=generator, dtype=torch.float64))

    def read() -> Tensor:
        return connection(
            x,
            assembled(weight),
            doubled(bias),
            owner=weight,
            assemble=assembled,
            bias_owner=bias,
            assemble_bias=doubled,
        )

    with plastic(KAPPA, methylation, "per_connection") as context:
        torch.autograd.backward(read(), cost)
    alphas = context.alphas()
    # Output i of strand s reads input j of strand r through own (r = s) or other (r ≠ s).
    delta, inputs = cost.abs().unflatten(-1, (2, 2)), x.abs().unflatten(-1, (2, 3))
    above, below = torch.zeros_like(weight), torch.zeros_like(weight)
    bias_above, bias_below = torch.zeros_like(bias), torch.zeros_like(bias)
    for n, t in np.ndindex(2, 5):
        for s in range(2):
            bias_above += methylation[n, t] * delta[n, t, s]
            bias_below += delta[n, t, s]
            for r in range(2):
                column = slice(0, 3) if r == s else slice(3, 6)
                eligible = torch.outer(delta[n, t, s], inputs[n, t, r])
                above[:, column] += methylation[n, t] * eligible
                below[:, column] += eligible
    torch.testing.assert_close(alphas[weight], (1 - KAPPA * above / below).detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(alphas[bias], (1 - KAPPA * bias_above / bias_below).detach(), rtol=0, atol=1e-12)

    with plastic(KAPPA, methylation):
        y = read()
    found = torch.autograd.grad(y, [weight, bias], cost)
    expected = torch.autograd.grad(read(), [weight, bias], cost * (1 - KAPPA * methylation)[..., None])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_one_parameter_in_two_maps_has_the_eligibility_of_both() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1, 4, 2, generator=generator, dtype=torch.float64)
    methylation = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    w = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    with plastic(KAPPA, methylation, "per_connection") as context:
        y = connection(x, w) + connection(x.flip(-1), w.mT, owner=w, assemble=lambda theta: theta.mT)
        unused = connection(x, w)  # a map without part in the loss changes nothing
    y.sum().backward()
    eligible = x[0, :, None, :] + x[0].flip(-1)[:, :, None]  # [t, i, j]: the transpose reads w_ij as place ji
    expected = 1 - KAPPA * (methylation[0, :, None, None] * eligible).sum(0) / eligible.sum(0)
    torch.testing.assert_close(context.alphas()[w], expected, rtol=0, atol=1e-12)
    assert unused.grad_fn is not None


def test_outside_of_a_context_it_is_linear() -> None:
    generator = torch.Generator().manual_seed(4)
    x, w, b = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 4), (5, 4), (5,))
    )
    assert torch.autograd.gradcheck(connection, (x, w, b))
    with plastic(1.0, torch.ones(2, 3)), pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    assert torch.equal(connection(x, w, b), F.linear(x, w, b))  # and it is left when something goes wrong
    assert torch.autograd.gradcheck(connection, (x, w, b))


@pytest.mark.parametrize("definition", ["per_step", "per_connection"])
def test_the_output_is_that_of_linear(definition: Definition) -> None:
    generator = torch.Generator().manual_seed(5)
    x, layer = torch.randn(2, 3, 4, generator=generator), nn.Linear(4, 5)
    with plastic(KAPPA, torch.rand(2, 3, generator=generator), definition):
        assert torch.equal(connection(x, layer.weight, layer.bias), layer(x))
        with torch.no_grad():  # a pass without gradient may read anything, as that of truncated backpropagation
            assert torch.equal(connection(x[:1], layer.weight), F.linear(x[:1], layer.weight))


@pytest.mark.parametrize("definition", ["per_step", "per_connection"])
def test_lower_precision(definition: Definition) -> None:
    """Sums are in the precision of the parameters, though δ and the inputs are not."""
    generator = torch.Generator().manual_seed(9)
    x, methylation = torch.randn(2, 30, 4, generator=generator), torch.rand(2, 30, generator=generator)
    layers = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))

    def results(*, lower: bool) -> list[Tensor]:
        layers.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=lower), plastic(KAPPA, methylation, definition) as context:
            y = x
            for layer in layers:
                y = connection(y, layer.weight, layer.bias)
        y.float().square().sum().backward()
        return [p.grad for p in layers.parameters() if p.grad is not None] + list(context.alphas().values())

    found, expected = results(lower=True), results(lower=False)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().max() < 0.05 * other.abs().max()


def test_unknown_methylation_counts_as_none() -> None:
    x, w = torch.ones(1, 2, 1), nn.Parameter(torch.ones(1, 1))
    with plastic(1.0, torch.tensor([[torch.nan, 1.0]])):
        connection(x, w).sum().backward()
    assert w.grad is not None
    assert w.grad.item() == 1.0


def test_in_the_network_itself() -> None:
    """Uniform methylation under (a) scales the plastic gradients of a SpliceRNN, and no other, and no activity's."""
    model = sz.create_model("splice_rnn", channels=4, states=3, blocks=2).double()
    codes = torch.randint(0, 4, (2, 60), generator=torch.Generator().manual_seed(6))
    cost = torch.randn(2, 60, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(7))

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        (model(codes) * cost).sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    with plastic(KAPPA, torch.full((2, 60), 0.5, dtype=torch.float64)):
        found = gradients()
    plastic_ones = 0
    for name, gradient in plain.items():
        is_plastic = "inward" in name or "outward" in name or name.startswith("head")
        plastic_ones += is_plastic
        torch.testing.assert_close(found[name], gradient * (1 - KAPPA * 0.5 * is_plastic), rtol=1e-9, atol=1e-12)
    assert plastic_ones == 2 * 2 * 2 + 2


@pytest.mark.parametrize(
    ("kappa", "methylation", "definition", "message"),
    [
        (1.5, 0.5, "per_step", "kappa: 1.5 is not in"),
        (0.5, 1.5, "per_step", "methylation: 1.5 is not in"),
        (0.5, -0.1, "per_connection", "methylation: -0.1 is not in"),
        (0.5, torch.inf, "per_step", "methylation: inf is not in"),
        (0.5, 0.5, "per_weight", "definition: 'per_weight' is none of per_step, per_connection"),
    ],
)
def test_bad_input_is_named(kappa: float, methylation: float, definition: Definition, message: str) -> None:
    with pytest.raises(InputError, match=message), plastic(kappa, torch.full((1, 2), methylation), definition):
        pass


def test_methylation_of_another_sequence_is_an_error() -> None:
    with (
        plastic(0.5, torch.zeros(1, 3)),
        pytest.raises(InputError, match=r"methylation \[1, 3\] is not that of a sequence \[1, 2\]"),
    ):
        connection(torch.ones(1, 2, 4), nn.Parameter(torch.ones(2, 4)))


def test_an_unknown_parameter_is_an_error() -> None:
    w, b = nn.Parameter(torch.ones(2, 4)), nn.Parameter(torch.ones(1))
    x = torch.ones(1, 2, 4)
    with plastic(0.5, torch.zeros(1, 2), "per_connection"):
        with pytest.raises(InputError, match="pass owner="):
            connection(x, 2 * w)
        with pytest.raises(InputError, match="pass owner="):
            connection(x, 2 * w, owner=w)
        with pytest.raises(InputError, match="pass bias_owner="):
            connection(x, w, b.expand(2))


tracks = st.lists(st.lists(st.none() | st.floats(0, 1, width=32), min_size=6, max_size=6), min_size=1, max_size=4)


def as_track(rows: list[list[float | None]]) -> Tensor:
    return torch.tensor([[torch.nan if value is None else value for value in row] for row in rows])


@given(tracks, st.integers(0, 1000))
def test_shuffling_keeps_the_values_and_where_there_are_any(rows: list[list[float | None]], seed: int) -> None:
    track = as_track(rows)
    before = track.clone()
    shuffled = shuffled_control(track, torch.Generator().manual_seed(seed))
    assert torch.equal(track.nan_to_num(), before.nan_to_num())  # a pure function
    for old, new in zip(track, shuffled, strict=True):
        known = ~old.isnan()
        assert torch.equal(old[known].sort().values, new[known].sort().values)
        assert (new[~known] == 0).all()


def test_shuffling_reaches_every_order_equally_often() -> None:
    generator = torch.Generator().manual_seed(8)
    track = torch.tensor([0.1, torch.nan, 0.2, 0.3]).expand(6000, 4)
    orders, counts = shuffled_control(track, generator).unique(dim=0, return_counts=True)
    assert len(orders) == 6
    assert (counts - 1000).abs().max() < 5 * 30  # sigma is 29


@given(tracks)
def test_the_uniform_control_keeps_the_mean(rows: list[list[float | None]]) -> None:
    track = as_track(rows)
    uniform = uniform_control(track)
    torch.testing.assert_close(uniform.sum(1), track.nansum(1))
    assert (uniform == uniform[:, :1]).all()
