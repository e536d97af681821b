"""The dimod sampler: its interface, energies and labels by dimod's own checks, seeds, time limits, and bad input."""

import subprocess
import sys
import time
import warnings
from dataclasses import dataclass

import dimod
import numpy as np
import pytest
from dimod.testing.asserts import assert_response_energies, assert_sampler_api

from sciml_zoo.errors import InputError
from sciml_zoo.ising.conversions import to_bqm
from sciml_zoo.ising.dimod_sampler import IsingSampler
from sciml_zoo.ising.exact import exact_ground_state
from sciml_zoo.ising.generators import edwards_anderson
from tests.ising.test_hamiltonian import random_model


@dataclass
class Run:
    spins: np.ndarray
    energies: np.ndarray


class RandomStates:
    """Stands for the annealer where its quality does not matter: states that depend on the seed, and their energies."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(self, model, *, n_sweeps, n_replicas, beta_range, seed):
        self.calls.append({"n_sweeps": n_sweeps, "n_replicas": n_replicas, "beta_range": beta_range, "seed": seed})
        spins = np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), size=(n_replicas, model.n))
        return Run(spins, model.energy(spins))


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_energies_and_labels_are_dimods(vartype):
    model = random_model(9, 4)
    bqm = to_bqm(model, vartype).relabel_variables({k: f"v{8 - k}" for k in range(9)}, inplace=False)
    sampler = IsingSampler(RandomStates())
    assert_sampler_api(sampler)
    sampleset = sampler.sample(bqm, num_reads=20, seed=1)
    assert sampleset.vartype is bqm.vartype
    assert set(sampleset.variables) == set(bqm.variables)
    assert len(sampleset) == 20
    assert_response_energies(sampleset, bqm)


def test_sample_ising_and_sample_qubo_take_dicts():
    sampler = IsingSampler(RandomStates())
    spins = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=8, seed=0)
    assert spins.vartype is dimod.SPIN
    for sample, energy in spins.data(["sample", "energy"]):
        assert energy == 0.5 * sample["a"] - sample["a"] * sample["b"]
    bits = sampler.sample_qubo({("a", "a"): -1.0, ("a", "b"): 2.0}, num_reads=8, seed=0)
    assert bits.vartype is dimod.BINARY
    for sample, energy in bits.data(["sample", "energy"]):
        assert energy == pytest.approx(-sample["a"] + 2 * sample["a"] * sample["b"], abs=1e-12)


def test_arguments_reach_the_solver():
    solver = RandomStates()
    IsingSampler(solver).sample_ising({}, {(0, 1): 1.0}, num_reads=3, num_sweeps=7, beta_range=[0.1, 4], seed=5)
    assert solver.calls == [{"n_sweeps": 7, "n_replicas": 3, "beta_range": (0.1, 4.0), "seed": 5}]


def test_the_seed_in_info_gives_the_same_states_again():
    bqm = to_bqm(edwards_anderson((5, 5), seed=0))
    first = IsingSampler(RandomStates()).sample(bqm, num_reads=6)
    again = IsingSampler(RandomStates()).sample(bqm, num_reads=6, seed=first.info["seed"])
    assert np.array_equal(first.record.sample, again.record.sample)


def test_a_time_limit_keeps_the_best_of_several_runs():
    solver = RandomStates()
    bqm = to_bqm(edwards_anderson((5, 5), seed=0))
    begun = time.perf_counter()
    sampleset = IsingSampler(solver).sample(bqm, num_reads=4, seed=3, time_limit=0.2)
    assert 0.2 <= time.perf_counter() - begun < 5
    seeds = [call["seed"] for call in solver.calls]
    assert len(seeds) == len(set(seeds)) == sampleset.info["runs"] > 1
    assert seeds[0] == 3
    replay = RandomStates()
    runs = [replay(edwards_anderson((5, 5), seed=0), **call).energies for call in solver.calls]
    np.testing.assert_allclose(np.sort(sampleset.record.energy), np.sort(np.concatenate(runs))[:4], atol=1e-12)
    assert_response_energies(sampleset, bqm)


def test_a_model_without_variables_has_its_offset():
    sampleset = IsingSampler(RandomStates()).sample(dimod.BinaryQuadraticModel({}, {}, 2.5, "SPIN"), num_reads=2)
    assert sampleset.record.energy.tolist() == [2.5, 2.5]


def test_arguments_of_other_samplers_are_passed_over_with_a_warning():
    with pytest.warns(dimod.exceptions.SamplerUnknownArgWarning, match="beta_schedule_type"):
        IsingSampler(RandomStates()).sample_ising({}, {(0, 1): 1.0}, beta_schedule_type="geometric")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IsingSampler(RandomStates()).sample_ising({}, {(0, 1): 1.0}, num_reads=1, num_sweeps=1, beta_range=(1, 2))


def test_the_annealer_finds_the_ground_state():
    model = edwards_anderson((5, 5), seed=2)
    bqm = to_bqm(model, "BINARY")
    sampler = IsingSampler()
    sampleset = sampler.sample(bqm, num_reads=32, num_sweeps=500, seed=1)
    assert sampleset.first.energy == pytest.approx(exact_ground_state(model).energy)
    assert_response_energies(sampleset, bqm)
    again = sampler.sample(bqm, num_reads=32, num_sweeps=500, seed=1)
    assert np.array_equal(sampleset.record.sample, again.record.sample)


def test_importing_the_domain_does_not_import_dimod():
    modules = "conversions, data, exact, generators, hamiltonian, onsager, transfer_matrix"
    code = f"import sys, sciml_zoo.ising; from sciml_zoo.ising import {modules}; sys.exit('dimod' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_dimod_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['dimod'] = None\n"
        "from sciml_zoo.errors import InputError\n"
        "try: import sciml_zoo.ising.dimod_sampler\n"
        "except InputError as error: sys.exit(0 if \"pip install 'sciml-zoo[dimod]'\" in str(error) else 3)\n"
        "sys.exit(4)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_reads": 0}, "num_reads is 0"),
        ({"num_sweeps": -5}, "num_sweeps is -5"),
        ({"num_reads": 2.5}, "num_reads is 2.5"),
        ({"beta_range": [1.0]}, "two inverse temperatures"),
        ({"beta_range": [0.0, 1.0]}, "two inverse temperatures"),
        ({"seed": -1}, "seed is -1"),
        ({"time_limit": 0.0}, "time_limit is 0"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        IsingSampler(RandomStates()).sample_ising({}, {(0, 1): 1.0}, **arguments)
