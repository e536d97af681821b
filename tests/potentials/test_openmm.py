"""Export for OpenMM: in OpenMM itself, the file gives the calculator's energies and forces, and conserves energy."""

import sys

import numpy as np
import openmm
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule

import sciml_zoo as sz
from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials import ZooCalculator, export_openmm, openmm_force
from sciml_zoo.potentials.data import neighbours
from sciml_zoo.potentials.openmm import _pairs
from tests.potentials.cases import ARCHITECTURES, random_molecule, random_potential

KJ_PER_MOL = units.mol / units.kJ


def in_openmm(file, atoms: Atoms, step: float = 0.0005) -> openmm.Context:
    """A context of OpenMM, at the positions of some atoms; step in ps."""
    periodic = bool(atoms.pbc.all())
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if periodic:
        system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*vector) for vector in atoms.cell.array / 10))
    system.addForce(openmm_force(file, periodic=periodic))
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(step), platform)
    context.setPositions(atoms.positions / 10)
    return context


def results(context: openmm.Context) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å)."""
    state = context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole)
    forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
    return energy / KJ_PER_MOL, forces / KJ_PER_MOL / 10


def rattled(atoms: Atoms) -> Atoms:
    atoms.rattle(0.05, seed=1)
    return atoms


# In OpenMM's reduced form: rows (a, 0, 0), (b_x, b, 0), (c_x, c_y, c), smaller than twice the cutoff.
TRICLINIC = Atoms(
    "C3HO",
    scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [1.5, 0, 0.5], [0.25, -0.75, 0.25], [0.6, 0.1, 0.3]],
    cell=[[4.4, 0, 0], [1.2, 4.0, 0], [-1.0, 0.6, 4.8]],
    pbc=True,
)
STRUCTURES = [rattled(molecule("CH3CH2OH")), TRICLINIC, rattled(bulk("C", "diamond", a=4.2, cubic=True).repeat(2))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("atoms", STRUCTURES, ids=str)
def test_openmm_gives_the_calculator_s_energies_and_forces(architecture, atoms, tmp_path):
    atoms = atoms.copy()
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        model = random_potential(architecture, dtype)
        energy, forces = results(in_openmm(export_openmm(model, atoms, tmp_path / "model.pt"), atoms))
        atoms.calc = ZooCalculator(model)
        expected = atoms.get_forces()
        assert energy == pytest.approx(atoms.get_potential_energy(), rel=min(tolerance, 1e-7))
        np.testing.assert_allclose(forces, expected, atol=tolerance * np.abs(expected).max())


def test_dynamics_in_openmm_conserves_energy_to_second_order_in_the_time_step(tmp_path):
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    file = export_openmm(random_potential("radial_potential", torch.float64), atoms, tmp_path / "water.pt")
    deviation = []
    for step in (0.002, 0.001):
        context = in_openmm(file, atoms, step)
        totals = []
        for _ in range(round(0.02 / step)):
            context.getIntegrator().step(1)
            state = context.getState(energy=True)
            totals.append(state.getPotentialEnergy() + state.getKineticEnergy())
        deviation.append(max(totals) - min(totals))
    assert deviation[1] / deviation[0] == pytest.approx(1 / 4, rel=0.3)


def test_the_file_s_program_is_what_openmm_torch_loads(tmp_path):
    """TorchForce calls the module with positions of its own precision, and the box of a periodic force."""
    model = random_potential("gto_potential", torch.float64)
    module = torch.jit.load(export_openmm(model, TRICLINIC, tmp_path / "model.pt"))
    positions = torch.tensor(TRICLINIC.positions / 10, dtype=torch.float32, requires_grad=True)
    energy = module(positions, torch.tensor(TRICLINIC.cell.array / 10, dtype=torch.float32))
    energy.backward()
    crystal = TRICLINIC.copy()
    crystal.calc = ZooCalculator(model)
    assert energy.dim() == 0
    assert energy.item() == pytest.approx(KJ_PER_MOL * crystal.get_potential_energy(), rel=1e-7)
    np.testing.assert_allclose(-positions.grad / KJ_PER_MOL / 10, crystal.get_forces(), atol=1e-4)
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("pairs_at_once", [1, 40, 1000])
def test_its_own_search_finds_every_pair(pairs_at_once):
    rng = np.random.default_rng(3)
    for case in range(20):
        atoms = random_molecule(rng, 8)
        if case % 2:
            cell = np.tril(rng.uniform(-2, 2, size=(3, 3))) + np.diag(rng.uniform(2.5, 9, size=3) + 2)
            atoms.set_cell(cell)
            atoms.pbc = True
            atoms.positions += 20 * rng.normal(size=(8, 3))
        box = torch.tensor(atoms.cell.array) if case % 2 else None
        edge_index, shifts = _pairs(torch.tensor(atoms.positions), box, 4.0, pairs_at_once)
        centre, neighbour, cells = neighbours(atoms, 4.0, "ijS")
        found = np.column_stack([edge_index[1], edge_index[0], shifts]).round(6)
        expected = np.column_stack([centre, neighbour, cells @ atoms.cell.array]).round(6)
        assert sorted(map(tuple, found + 0.0)) == sorted(map(tuple, expected + 0.0))


def test_the_repulsion_of_nuclei_is_exported_too(tmp_path):
    small = {"n_radial": 4, "n_channels": 8, "n_hidden": 16, "zbl": True}
    model = sz.create_model("gto_potential", elements=(1, 8), cutoff=3.0, **small).double()
    collision = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.3]])
    energy, forces = results(in_openmm(export_openmm(model, collision, tmp_path / "model.pt"), collision))
    collision.calc = ZooCalculator(model)
    assert energy > 50
    assert energy == pytest.approx(collision.get_potential_energy(), rel=1e-9)
    np.testing.assert_allclose(forces, collision.get_forces(), rtol=1e-9, atol=1e-9)


def test_a_serialised_system_evaluates_the_same_file(tmp_path):
    water = molecule("H2O")
    file = export_openmm(random_potential("gto_potential", torch.float64), water, tmp_path / "water.pt")
    context = in_openmm(file, water)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(context.getSystem()))
    copy = openmm.Context(again, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    copy.setPositions(water.positions / 10)
    assert results(copy)[0] == results(context)[0]


def test_what_cannot_be_exported_is_refused_and_leaves_no_file(tmp_path, monkeypatch):
    model = random_potential("gto_potential", torch.float32)
    slab = Atoms("C", cell=[3, 3, 10], pbc=[True, True, False])
    with pytest.raises(InputError, match="boxes, or no boundaries"):
        export_openmm(model, slab, tmp_path / "model.pt")
    with pytest.raises(InputError, match="atom 0: the model does not know N"):
        export_openmm(model, molecule("NH3"), tmp_path / "model.pt")
    with pytest.raises(InputError, match="cannot be written"):
        export_openmm(model, molecule("H2O"), tmp_path / "missing" / "model.pt")
    monkeypatch.setattr("sciml_zoo.potentials.openmm._TOLERANCE", -1.0)
    with pytest.raises(FailureError, match="the exported program gives"):
        export_openmm(model, molecule("H2O"), tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_evaluated_is_refused(tmp_path, monkeypatch):
    file = export_openmm(random_potential("gto_potential", torch.float32), molecule("H2O"), tmp_path / "water.pt")
    with pytest.raises(openmm.OpenMMException, match="exported for 3 atoms, not for 2"):
        results(in_openmm(file, molecule("CO")))
    (tmp_path / "damaged.pt").write_bytes(file.read_bytes()[:500])
    for name in ("damaged.pt", "missing.pt"):
        with pytest.raises(InputError, match=f"{name}: not an exported potential"):
            openmm_force(tmp_path / name)
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(InputError, match=r"pip install 'sciml-zoo\[simulation\]'"):
        openmm_force(file)
