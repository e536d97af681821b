"""Molecular dynamics: conservation laws, exact averages, restarts bit for bit, explosions, averages and drift."""

import json
import math

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from sciml_zoo.errors import FailureError, InputError
from sciml_zoo.potentials import DynamicsConfig, Simulation, ZooCalculator, relax
from sciml_zoo.potentials.averages import averages, energy_drift
from sciml_zoo.potentials.dynamics import Sample
from tests.potentials.cases import predict, random_potential
from tests.potentials.springs import ElasticBox, IdealGas, SiteSprings, triangle


def _einstein_crystal(n: int = 4, k: float = 2.0) -> Atoms:
    crystal = bulk("Cu", "sc", a=3.0) * (n, n, n)
    crystal.calc = SiteSprings(crystal.positions, k)
    return crystal


def _copper(n: int = 2) -> Atoms:
    crystal = bulk("Cu", cubic=True) * (n, 1, 1)
    crystal.calc = EMT()
    return crystal


def _carbon() -> Atoms:
    model = random_potential("gto_potential", torch.float32)
    crystal = bulk("C", "diamond", a=3.6)
    crystal.rattle(0.05, seed=0)
    model.scale.div_(predict(model, [crystal])["forces"].abs().max())  # to eV/Å
    crystal.calc = ZooCalculator(model)
    return crystal


def _ran(atoms: Atoms, steps: int, **options) -> list[Sample]:
    samples: list[Sample] = []
    Simulation(atoms, DynamicsConfig(**options)).run(steps, on_sample=samples.append)
    return samples


def test_ethanol_conserves_its_energy():
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = ZooCalculator("gto_potential.rmd17_ethanol")
    relax(ethanol, fmax=0.02)
    samples = _ran(ethanol, 1000, ensemble="nve", temperature=600.0, every=5)
    drift, deviation = energy_drift(samples, len(ethanol))
    assert abs(drift) < 0.5  # meV/atom/ps, of 0.5 ps
    assert deviation < 0.3  # of the 60 meV/atom that go to and fro
    assert samples[0].temperature_k == pytest.approx(600.0, rel=1e-9)
    assert 200 < np.mean([s.temperature_k for s in samples[20:]]) < 400  # half has gone into the bonds


@pytest.mark.parametrize("isolated", [True, False])
def test_nve_keeps_the_momenta_that_it_starts_with_at_zero(isolated):
    atoms = triangle() if isolated else _copper()
    simulation = Simulation(atoms, DynamicsConfig(ensemble="nve", timestep=2.0))
    assert simulation.degrees_of_freedom == (3 * 3 - 6 if isolated else 3 * 8 - 3)
    simulation.run(200)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12
    if isolated:
        assert np.abs(atoms.get_angular_momentum()).max() < 1e-10


def test_nvt_samples_the_canonical_distribution_of_an_einstein_crystal():
    temperature, every = 400.0, 25
    atoms = _einstein_crystal()
    samples = _ran(atoms, 10_000, timestep=4.0, temperature=temperature, every=every, thermostat_time=100.0)[40:]
    expected = 1.5 * len(atoms) * units.kB * temperature  # equipartition, of both energies
    for name in ("kinetic_ev", "potential_ev"):
        values = np.array([getattr(sample, name) for sample in samples])
        error = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - expected) < 4 * error
        assert error < 0.01 * expected
        # Fluctuations are canonical too: relative variance 2/(3N).
        assert values.var() == pytest.approx(expected**2 * 2 / (3 * len(atoms)), rel=0.35)


def test_npt_gives_an_ideal_gas_its_volume():
    n, temperature, pressure = 12, 300.0, 0.2
    expected = (n + 1) * units.kB * temperature / (pressure * units.GPa)  # exact, of the ensemble in which V varies
    rng = np.random.default_rng(0)
    length = expected ** (1 / 3)
    atoms = Atoms(f"Ar{n}", positions=length * rng.random((n, 3)), cell=3 * [length], pbc=True)
    atoms.calc = IdealGas()
    samples = _ran(
        atoms, 12_000, ensemble="npt", timestep=5.0, temperature=temperature, pressure=pressure,
        thermostat_time=50.0, barostat_time=100.0, every=5,
    )[100:]  # fmt: skip
    volumes = np.array([sample.volume_a3 for sample in samples])
    error = np.std([block.mean() for block in np.array_split(volumes, 10)], ddof=1) / math.sqrt(10)
    assert abs(volumes.mean() - expected) < 4 * error
    assert error < 0.06 * expected
    assert volumes.std() == pytest.approx(expected / math.sqrt(n + 1), rel=0.25)


def test_npt_with_a_flexible_cell_balances_every_component_of_the_stress():
    pressure, stiffness = 1.0, 40.0
    atoms = Atoms("Ar8", positions=np.random.default_rng(0).random((8, 3)), cell=[9.0, 10.0, 11.0], pbc=True)
    atoms.calc = ElasticBox(atoms.cell.array, stiffness * units.GPa)
    stresses = []
    config = DynamicsConfig(
        ensemble="npt", temperature=100.0, pressure=pressure, flexible_cell=True, timestep=5.0, thermostat_time=50.0,
        barostat_time=200.0, every=5,
    )  # fmt: skip
    simulation = Simulation(atoms, config)
    simulation.run(8000, on_sample=lambda _: stresses.append(atoms.get_stress(include_ideal_gas=True) / units.GPa))
    later = np.array(stresses[100:])
    error = np.std([block.mean(axis=0) for block in np.array_split(later, 10)], axis=0, ddof=1) / math.sqrt(10)
    assert (np.abs(later.mean(axis=0) - [-pressure, -pressure, -pressure, 0, 0, 0]) < 4.5 * error).all()
    assert (error < 0.1 * pressure).all()


@pytest.mark.parametrize("options", [{"ensemble": "nve"}, {"ensemble": "nvt"}, {"ensemble": "npt"},
                                     {"ensemble": "npt", "flexible_cell": True}], ids=str)  # fmt: skip
def test_a_restart_goes_on_bit_for_bit(options):
    config = DynamicsConfig(temperature=500.0, every=7, seed=3, **options)
    whole, first, second = (Simulation(_carbon(), config) for _ in range(3))
    samples: dict[str, list[Sample]] = {"whole": [], "parts": []}
    whole.run(40, on_sample=samples["whole"].append)
    first.run(21, on_sample=samples["parts"].append)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.step == 21
    second.run(40, on_sample=samples["parts"].append)
    for name in ("positions", "momenta"):
        assert np.array_equal(whole.atoms.arrays[name], second.atoms.arrays[name])
    assert np.array_equal(whole.atoms.cell.array, second.atoms.cell.array)
    assert samples["whole"] == samples["parts"]
    assert [sample.step for sample in samples["whole"]] == [0, 7, 14, 21, 28, 35]


def test_seeds_are_what_makes_simulations_differ():
    runs = [_ran(_copper(), 20, seed=seed)[-1] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0].potential_ev != runs[2].potential_ev


def test_velocities_of_the_structure_are_kept():
    atoms = _copper()
    momenta = np.random.default_rng(0).normal(size=(8, 3))
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    Simulation(atoms, DynamicsConfig(ensemble="nve", keep_velocities=True))
    np.testing.assert_allclose(atoms.get_momenta(), momenta - momenta.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
def test_fixed_atoms_do_not_move(ensemble):
    atoms = _copper()
    atoms.set_constraint(FixAtoms([0, 5]))
    start = atoms.positions.copy()
    simulation = Simulation(atoms, DynamicsConfig(ensemble=ensemble, timestep=2.0))
    simulation.run(10)
    moved = np.linalg.norm(atoms.positions - start, axis=1)
    assert (moved[[0, 5]] == 0).all()
    assert (np.delete(moved, [0, 5]) > 1e-4).all()
    assert simulation.degrees_of_freedom == 18


def test_an_explosion_names_step_and_atom():
    atoms = triangle(k=50.0)
    atoms.numbers[1] = 1
    with pytest.raises(FailureError, match=r"step \d+ \(.* ps\): the simulation exploded: .* K, above .*atom 1 \(H\)"):
        _ran(atoms, 500, ensemble="nve", timestep=30.0)


class _Broken(SiteSprings):
    """Forces that are not finite, or a refusal, from some step on."""

    def __init__(self, sites, error=None):
        super().__init__(sites, 1.0)
        self.calls, self.error = 0, error

    def calculate(self, *args, **options):
        super().calculate(*args, **options)
        self.calls += 1
        if self.calls > 5 and self.error is not None:
            raise self.error
        if self.calls > 5:
            self.results["forces"][2, 1] = np.nan


def test_forces_that_are_not_finite_end_the_simulation():
    atoms = triangle()
    atoms.calc = _Broken(atoms.positions)
    with pytest.raises(FailureError, match=r"exploded: nan K.* atom 2 \(C\)"):
        _ran(atoms, 50)


def test_what_the_potential_cannot_describe_ends_the_simulation():
    atoms = triangle()
    atoms.calc = _Broken(atoms.positions, InputError("atoms 0 and 2 are at one place"))
    with pytest.raises(FailureError, match=r"step 4 .* exploded: atoms 0 and 2 are at one place"):
        _ran(atoms, 50)


class _Uncertain(Calculator):
    """Less certain with every call."""

    implemented_properties = ("energy", "forces")

    def __init__(self):
        super().__init__()
        self.calls = 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        uncertainty = np.array([0.01, 0.02 * self.calls, 0.01])
        self.results = {"energy": 0.0, "forces": np.zeros((3, 3)), "force_uncertainty": uncertainty}


def test_a_simulation_can_stop_where_the_potential_is_uncertain():
    atoms = triangle()
    atoms.calc = _Uncertain()
    samples: list[Sample] = []
    simulation = Simulation(atoms, DynamicsConfig(every=1))
    with pytest.raises(FailureError, match=r"atom 1 \(C\) is expected to be wrong by 0\.12 eV/Å, more than 0\.1"):
        simulation.run(50, on_sample=samples.append, max_force_uncertainty=0.1)
    assert [s.force_uncertainty_ev_per_a for s in samples] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])


@pytest.mark.parametrize(
    ("atoms", "options", "words"),
    [
        (triangle(), {"ensemble": "nvp"}, "ensemble must be nve, nvt or npt, got 'nvp'"),
        (triangle(), {"ensemble": "npt"}, "not periodic in all three directions"),
        (triangle(), {"timestep": 0.0}, "timestep must be positive"),
        (triangle(), {"temperature": math.nan}, "temperature must be positive"),
        (triangle(), {"every": 0}, "every must be 1 or more"),
        (triangle(), {"keep_velocities": True}, "no velocities"),
        (Atoms("C"), {"ensemble": "nve"}, "nothing can move"),
    ],
)
def test_what_cannot_be_simulated_is_refused(atoms, options, words):
    with pytest.raises(InputError, match=words):
        Simulation(atoms.copy(), DynamicsConfig(**options))


def test_a_cell_with_fixed_atoms_is_not_simulated_at_constant_pressure():
    atoms = _copper()
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="npt: atoms of the structure are fixed"):
        Simulation(atoms, DynamicsConfig(ensemble="npt"))


def _samples(n: int, **series) -> list[Sample]:
    names = ("temperature_k", "potential_ev", "kinetic_ev", "total_ev")
    rows = {name: np.zeros(n) for name in names} | {"pressure_gpa": [None] * n, "volume_a3": [None] * n} | series
    return [
        Sample(step=i, time_ps=0.001 * i, force_uncertainty_ev_per_a=None, **{name: rows[name][i] for name in rows})
        for i in range(n)
    ]


def test_drift_is_the_slope_of_the_total_energy():
    n = 400
    wave = 0.003 * np.sin(2 * np.pi * np.arange(n) / 10)
    samples = _samples(n, total_ev=-40_000.0 + 0.0002 * np.arange(n) + wave)
    drift, deviation = energy_drift(samples, 10)
    assert drift == pytest.approx(20.0, rel=3e-3)  # 0.0002 eV a femtosecond, 10 atoms
    assert deviation == pytest.approx(0.3 / math.sqrt(2), rel=0.01)


def test_averages_are_of_the_second_half_and_have_the_error_of_independent_samples():
    rng = np.random.default_rng(0)
    n, errors = 400, []
    for _ in range(30):
        temperature = np.concatenate([np.full(n // 2, 1e6), 300 + 10 * rng.normal(size=n // 2)])
        mean, error = averages(_samples(n, temperature_k=temperature), 1.0)["temperature_k"]
        assert abs(mean - 300) < 4 * 10 / math.sqrt(n // 2)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(10 / math.sqrt(n // 2), rel=0.25)


def test_averages_of_a_periodic_structure_have_a_density():
    found = averages(_samples(40, pressure_gpa=np.ones(40), volume_a3=np.full(40, 30.0)), 18.015)
    assert found["density_g_per_cm3"] == (pytest.approx(0.99716, abs=1e-4), pytest.approx(0, abs=1e-12))
    assert found["pressure_gpa"] == (1.0, 0.0)
    assert averages(_samples(8), 1.0)["temperature_k"] == (0.0, None)  # too few for an error
