"""torch-sim: a batch gives what the ASE calculator gives for each system, and dynamics obeys its laws."""

import importlib
import sys

import numpy as np
import pytest
import torch
import torch_sim
from ase import Atoms
from ase.build import bulk, molecule
from torch_sim.models.interface import validate_model_outputs

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials import TorchSimModel, ZooCalculator
from tests.potentials.cases import random_potential


@pytest.fixture(scope="module")
def potential():
    return random_potential("gto_potential", torch.float64)


def crystals() -> list[Atoms]:
    rattled = [bulk("C", "diamond", a=3.6), bulk("C", "diamond", a=3.5, cubic=True), bulk("C", "fcc", a=2.9)]
    for seed, atoms in enumerate(rattled):
        atoms.rattle(0.05, seed=seed)
    return rattled


def state_of(structures: list[Atoms], dtype: torch.dtype = torch.float64):
    return torch_sim.initialize_state(structures, torch.device("cpu"), dtype)


def assert_same_as_ase(output, structures, potential):
    forces = output["forces"].split([len(atoms) for atoms in structures])
    for index, original in enumerate(structures):
        atoms = original.copy()
        atoms.calc = ZooCalculator(potential)
        assert output["energy"][index].item() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(forces[index].numpy(), atoms.get_forces(), atol=1e-10)
        if atoms.pbc.all():
            np.testing.assert_allclose(output["stress"][index].numpy(), atoms.get_stress(voigt=False), atol=1e-10)


def test_a_batch_of_molecules_gives_the_calculator_s_numbers(potential):
    structures = [molecule(name) for name in ("CH3CH2OH", "H2O", "CO2")]
    output = TorchSimModel(potential)(state_of(structures))
    assert_same_as_ase(output, structures, potential)
    assert output["stress"].isnan().all()


def test_a_batch_of_crystals_gives_the_calculator_s_numbers(potential):
    structures = crystals()
    output = TorchSimModel(potential)(state_of(structures))
    assert_same_as_ase(output, structures, potential)
    assert "stress" not in TorchSimModel(potential, compute_stress=False)(state_of(structures))


def test_it_conforms_to_torch_sim_s_interface():
    torch.manual_seed(0)
    small = {"n_radial": 4, "n_channels": 8, "n_hidden": 16}
    silicon_and_iron = sz.create_model("gto_potential", elements=(14, 26), cutoff=4.0, **small)
    for dtype in (torch.float32, torch.float64):
        model = TorchSimModel(silicon_and_iron, dtype=dtype)
        validate_model_outputs(model, torch.device("cpu"), dtype)
        assert {value.dtype for value in model(state_of([bulk("Si")], dtype)).values()} == {dtype}


def dynamics(model: TorchSimModel, structures: list[Atoms], step: float, time: float):
    """Largest deviation of the total energy of each system, and the positions after some time."""
    init, advance = torch_sim.integrators.nve(model, dt=torch.tensor(step), kT=torch.tensor(0.0))
    state = init(state_of(structures), seed=5)
    state.momenta = torch.zeros_like(state.momenta)
    start, deviation = state.energy, torch.zeros_like(state.energy)
    for _ in range(round(time / step)):
        state = advance(state)
        kinetic = (state.momenta.square() / (2 * state.masses[:, None])).sum(1)
        total = state.energy.index_add(0, state.system_idx, kinetic)
        deviation = torch.maximum(deviation, (total - start).abs())
    return deviation, state.positions


def test_batched_dynamics_is_that_of_each_system_alone_and_conserves_energy_to_second_order(potential):
    structures = [molecule("H2O"), molecule("H2O"), molecule("H2O")]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=seed)
    model = TorchSimModel(potential)
    coarse, _ = dynamics(model, structures, 0.1, 1.5)
    fine, ends = dynamics(model, structures, 0.05, 1.5)
    assert (coarse > 1e-7).all()
    np.testing.assert_allclose((coarse / fine).numpy(), 4, rtol=0.2)
    _, alone = dynamics(model, structures[2:], 0.05, 1.5)
    torch.testing.assert_close(ends[-3:], alone, rtol=0, atol=1e-9)


def test_langevin_dynamics_of_many_systems_runs_through_torch_sim_s_runner(potential):
    final = torch_sim.integrate(
        system=[molecule("H2O"), molecule("CH4")],
        model=TorchSimModel(potential),
        integrator=torch_sim.integrators.nvt_langevin,
        n_steps=5,
        temperature=300,
        timestep=0.0002,
    )
    assert final.n_systems == 2
    assert torch.isfinite(final.energy).all()
    assert torch.isfinite(final.positions).all()


def test_what_it_cannot_compute_is_refused(potential):
    model = TorchSimModel(potential)
    with pytest.raises(InputError, match="does not know N"):
        model(state_of([molecule("NH3")]))
    water = molecule("H2O")
    water.positions[1, 0] = np.nan
    with pytest.raises(InputError, match="system 1: a position is not finite"):
        model(state_of([molecule("H2O"), water]))
    with pytest.raises(InputError, match="not an interatomic potential"):
        TorchSimModel(torch.nn.Linear(1, 1))


def test_without_torch_sim_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sim.models.interface", None)
    monkeypatch.delitem(sys.modules, "sciml_zoo.potentials.torch_sim")
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[simulation\]'"):
        importlib.import_module("sciml_zoo.potentials.torch_sim")
