"""A Boltzmann machine is an Ising model: energies, marginals and conditionals against plain enumeration."""

import numpy as np
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.model import BoltzmannMachine, BoltzmannMachineConfig, RBMConfig
from sciml_zoo.ising.partition import enumerated_units, log_partition
from sciml_zoo.zoo.checkpoint import load_checkpoint, save_model
from tests.ising.machines import CASES, every_state, machine, plain_energy, visible_distribution

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
def test_energy_is_its_definition(case):
    m = machine(*case)
    units = every_state(m, m.n_units)
    torch.testing.assert_close(m.energy(units), plain_energy(m, units), rtol=0, atol=1e-13)


@every_case
def test_local_fields_are_derivatives_of_the_energy(case):
    m = machine(*case)
    units = every_state(m, m.n_units).requires_grad_()
    (gradient,) = torch.autograd.grad(m.energy(units).sum(), units)
    torch.testing.assert_close(m.local_fields(units), -gradient, rtol=0, atol=1e-13)


@every_case
def test_conditionals_are_ratios_of_probabilities(case):
    m = machine(*case)
    units = every_state(m, m.n_units)
    for i in range(m.n_units):
        up, down = units.clone(), units.clone()
        up[:, i], down[:, i] = m.up, m.down
        p_up, p_down = torch.exp(-m.energy(up)), torch.exp(-m.energy(down))
        torch.testing.assert_close(m.conditional(units)[:, i], p_up / (p_up + p_down), rtol=1e-12, atol=0)


@every_case
def test_free_energy_and_log_odds_are_those_of_the_marginal(case):
    m = machine(*case)
    visible, chance = visible_distribution(m)
    output = m(visible)
    torch.testing.assert_close(-output["free_energy"] - log_partition(m), chance.log(), rtol=0, atol=1e-12)
    for i in range(m.n_visible):
        flipped = visible.clone()
        flipped[:, i] = m.up + m.down - flipped[:, i]
        other = chance[[int((visible == state).all(1).nonzero()) for state in flipped]]
        expected = torch.where(visible[:, i] == m.up, chance.log() - other.log(), other.log() - chance.log())
        torch.testing.assert_close(output["log_odds"][:, i], expected, rtol=0, atol=1e-12)


@every_case
def test_partition_function_and_its_gradient(case):
    m = machine(*case)
    units = every_state(m, m.n_units)
    energy = plain_energy(m, units).detach()
    log_z = log_partition(m)
    assert log_z.item() == pytest.approx(torch.logsumexp(-energy, 0).item(), abs=1e-12)
    coupling_gradient, field_gradient = torch.autograd.grad(log_z, [m.couplings, m.fields])
    chance = torch.softmax(-energy, 0)
    i, j = m.edges
    torch.testing.assert_close(field_gradient, chance @ units, rtol=0, atol=1e-12)
    torch.testing.assert_close(coupling_gradient.flatten(), chance @ (units[:, i] * units[:, j]), rtol=0, atol=1e-12)


def test_partition_function_in_blocks_has_the_same_value_and_gradient(monkeypatch):
    results = []
    for block in (1 << 22, 8):
        monkeypatch.setattr("sciml_zoo.ising.partition._BLOCK", block)
        m = machine("full", 3, "binary")
        log_z = log_partition(m)
        results.append([log_z.detach(), *torch.autograd.grad(log_z, list(m.parameters()))])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_smaller_layer_is_enumerated_and_a_sum_too_long_is_refused():
    wide = BoltzmannMachine(BoltzmannMachineConfig(40, 3, "restricted"))
    assert enumerated_units(wide).tolist() == [40, 41, 42]
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.zero_()
    assert log_partition(wide).item() == pytest.approx(43 * np.log(2), abs=1e-11)
    with pytest.raises(InputError, match="states of 30 units, the limit is 25"):
        log_partition(BoltzmannMachine(BoltzmannMachineConfig(30)))


@pytest.mark.parametrize("units", ["spin", "binary"])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("n_hidden", [0, 2])
def test_map_from_an_ising_model_keeps_energies_and_comes_back(units, dense, n_hidden):
    rng = np.random.default_rng(1)
    couplings = np.triu(rng.normal(size=(6, 6)) * (rng.random((6, 6)) < 0.6), 1)
    ising = IsingModel.from_dense(couplings, rng.normal(size=6), 1.7)
    if not dense:
        ising = IsingModel.from_coo(*ising.edges, 6, fields=ising.fields, offset=ising.offset)
    m = BoltzmannMachine.from_ising(ising, 0.83, n_hidden=n_hidden, units=units)
    assert (m.n_visible, m.n_hidden) == (6 - n_hidden, n_hidden)
    spins = every_state(machine("full", 0, "spin"), 6)
    states = spins if units == "spin" else (1 + spins) / 2
    np.testing.assert_allclose(m.energy(states).detach().numpy(), 0.83 * ising.energy(spins.numpy()), atol=1e-13)
    back = m.to_ising(0.83)
    assert back.is_dense == dense
    np.testing.assert_allclose(back.dense(), ising.dense(), atol=1e-14)
    np.testing.assert_allclose(back.fields, ising.fields, atol=1e-14)
    assert back.offset == pytest.approx(ising.offset, abs=1e-13)


@every_case
def test_map_to_an_ising_model_at_any_temperature(case):
    m = machine(*case)
    units = every_state(m, m.n_units)
    spins = units if m.units == "spin" else 2 * units - 1
    np.testing.assert_allclose(2.5 * m.to_ising(2.5).energy(spins.numpy()), m.energy(units).detach(), atol=1e-13)


@every_case
def test_gibbs_leaves_the_distribution_as_it_is(case):
    """Pearson's χ² of states drawn from the exact distribution and updated once: 5 σ of its own distribution."""
    m = machine(*case)
    units = every_state(m, m.n_units)
    chance = torch.softmax(-m.energy(units), 0).detach()
    generator = torch.Generator().manual_seed(3)
    n = 40_000
    start = units[torch.multinomial(chance, n, replacement=True, generator=generator)]
    drawn = m.sample(n, 1, generator, start=start)
    assert not torch.equal(drawn, start)
    bits = (drawn == m.up).long() @ (2 ** torch.arange(m.n_units - 1, -1, -1))
    counts = torch.bincount(bits, minlength=len(units)).double()
    freedom = len(units) - 1
    chi2 = ((counts - n * chance).square() / (n * chance)).sum().item()
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * freedom)


@every_case
def test_gibbs_converges_and_clamps(case):
    m = machine(*case)
    generator = torch.Generator().manual_seed(4)
    start = m.random_units(20_000, generator)
    start[:, 1] = m.up
    free = torch.arange(m.n_units) != 1
    drawn = m.sample(20_000, 30, generator, start=start, free=free)
    units = every_state(m, m.n_units)
    chance = torch.softmax(-m.energy(units), 0).detach() * (units[:, 1] == m.up)
    mean = (chance / chance.sum()) @ units
    assert (drawn[:, 1] == m.up).all()
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=5 * m.gap / 2 / np.sqrt(20_000))


def test_the_same_seed_gives_the_same_chains():
    m = machine("given", 3, "spin")
    first, second = (m.sample(50, 20, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)


@every_case
def test_checkpoint_round_trip(case, tmp_path):
    m = machine(*case)
    save_model(m, tmp_path / "saved")
    loaded = load_checkpoint(tmp_path / "saved")
    assert type(loaded) is type(m)
    assert loaded.config == m.config
    units = every_state(m, m.n_units)
    assert torch.equal(loaded.energy(units), m.energy(units))
    start = m.random_units(9, torch.Generator().manual_seed(0))
    steps = [made.gibbs_step(start, torch.Generator().manual_seed(1)) for made in (m, loaded)]
    assert torch.equal(*steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_visible": 0}, "n_visible must be at least 1"),
        ({"n_hidden": 0, "connectivity": "restricted"}, "n_hidden must be at least 1"),
        ({"n_hidden": -1}, "n_hidden must be at least 0"),
        ({"units": "ternary"}, "units: 'ternary' is not spin or binary"),
        ({"connectivity": "lattice"}, "connectivity: 'lattice'"),
        ({"connectivity": "given"}, "n_edges: None"),
        ({"n_edges": 3}, "n_edges: 3, but connectivity is 'full'"),
        ({"connectivity": "given", "n_edges": 29}, "between 0 and 28"),
    ],
)
def test_shapes_that_cannot_be(arguments, message):
    with pytest.raises(InputError, match=message):
        BoltzmannMachineConfig(**{"n_visible": 8, **arguments})


def test_bad_edges_betas_and_hidden_units_are_named():
    config = BoltzmannMachineConfig(3, 0, "given", "spin", 2)
    with pytest.raises(InputError, match=r"edge 1: \[2, 1\] is not a pair"):
        BoltzmannMachine(config, torch.tensor([[0, 2], [1, 1]]))
    with pytest.raises(InputError, match="given twice"):
        BoltzmannMachine(config, torch.tensor([[0, 0], [1, 1]]))
    with pytest.raises(InputError, match=r"shape \[2, 3\]"):
        BoltzmannMachine(config, torch.zeros(2, 3))
    ising = IsingModel.from_edges([(0, 1, 1.0)])
    for beta in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="not a positive number"):
            BoltzmannMachine.from_ising(ising, beta)
    with pytest.raises(InputError, match="n_hidden: 2 of 2"):
        BoltzmannMachine.from_ising(ising, n_hidden=2)
    with pytest.raises(InputError, match="n_hidden must be at least 1"):
        RBMConfig(4, 0)
    with pytest.raises(InputError, match="possible up to 16"):
        BoltzmannMachine(BoltzmannMachineConfig(2, 17)).free_energy(torch.ones(1, 2, dtype=torch.float64))


def test_a_large_sparse_machine_takes_memory_of_its_edges():
    """10⁵ spins in a ring: a matrix of all pairs would take 80 GB."""
    n = 100_000
    i = np.arange(n - 1)
    m = BoltzmannMachine.from_ising(IsingModel.from_coo(i, i + 1, np.ones(n - 1), n), 0.5)
    units = m.random_units(1, torch.Generator().manual_seed(0))
    after = m.gibbs_step(units, torch.Generator().manual_seed(1))
    # ⟨s_i s_{i+1}⟩ rises from 0 towards tanh 0.5 = 0.46; one sweep of the two colours brings it most of the way.
    assert 0.2 < (after[0, :-1] * after[0, 1:]).mean().item() < 0.5
