"""Annealed importance sampling against exact sums."""

import math

import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising.annealed_importance import (
    FewEffectiveSamplesWarning,
    annealed_importance_sampling,
    base_rate_fields,
)
from sciml_zoo.ising.model import BoltzmannMachine, BoltzmannMachineConfig
from sciml_zoo.ising.partition import log_partition
from tests.ising.machines import CASES, every_state, machine, randomised

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
@pytest.mark.parametrize("from_base_rate", [False, True])
def test_log_z_within_its_error_bar(case, from_base_rate):
    m = machine(*case)
    base = base_rate_fields(m, every_state(m, 4)[:5]) if from_base_rate else None
    estimate = annealed_importance_sampling(m, chains=400, temperatures=60, base_fields=base, seed=1)
    exact = log_partition(m).item()
    assert 0 < estimate.log_z_error < 0.1
    assert abs(estimate.log_z - exact) < 4 * estimate.log_z_error
    assert 0.5 * 400 < estimate.effective_sample_size <= 400


def test_one_temperature_is_plain_importance_sampling_and_unbiased():
    """Over many repetitions the mean of Z (not log Z) is exact, and the error bar is the spread of the estimates."""
    m = machine("restricted", 3, "binary", scale=0.8)
    exact = log_partition(m).item()
    runs = [annealed_importance_sampling(m, chains=100, temperatures=1, seed=seed) for seed in range(300)]
    ratios = torch.tensor([math.exp(run.log_z - exact) for run in runs], dtype=torch.float64)
    assert abs(ratios.mean().item() - 1) < 4 * ratios.std().item() / math.sqrt(300)
    spread = torch.tensor([run.log_z for run in runs]).std().item()
    assert sum(run.log_z_error for run in runs) / 300 == pytest.approx(spread, rel=0.2)


def test_independent_units_are_exact_at_once():
    m = randomised(BoltzmannMachine(BoltzmannMachineConfig(30, 0, "given", "binary", 0)))
    estimate = annealed_importance_sampling(m, chains=2, temperatures=1, base_fields=m.fields.detach())
    assert estimate.log_z == pytest.approx(log_partition_of_independent(m), abs=1e-12)
    assert estimate.log_z_error < 1e-12


def log_partition_of_independent(m: BoltzmannMachine) -> float:
    return torch.log1p(m.fields.detach().exp()).sum().item() - m.offset.item()


def test_the_base_rate_has_the_means_of_the_samples():
    for units in ("spin", "binary"):
        m = machine("full", 3, units)
        samples = m.from_bits(torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 1]]))
        fields = base_rate_fields(m, samples)
        expected = torch.tensor([4, 1, 2, 2], dtype=torch.float64) / 5
        torch.testing.assert_close(torch.sigmoid(m.gap * fields[:4]), expected)
        assert (fields[4:] == 0).all()


def test_the_seed_decides_and_few_effective_samples_warn():
    m = machine("full", 0, "spin", scale=6.0)
    with pytest.warns(FewEffectiveSamplesWarning, match="raise temperatures"):
        first = annealed_importance_sampling(m, chains=200, temperatures=1, seed=3)
    with pytest.warns(FewEffectiveSamplesWarning):
        second = annealed_importance_sampling(m, chains=200, temperatures=1, seed=3)
    assert first == second
    assert first.effective_sample_size < 20


def test_machines_without_a_free_energy_are_annealed_over_all_units():
    m = randomised(BoltzmannMachine(BoltzmannMachineConfig(2, 17)), scale=0.2)
    estimate = annealed_importance_sampling(m, chains=300, temperatures=100)
    assert abs(estimate.log_z - log_partition(m).item()) < 4 * estimate.log_z_error


def test_settings_that_make_no_sense():
    m = machine("full", 0, "spin")
    with pytest.raises(InputError, match="at least 2 chains"):
        annealed_importance_sampling(m, chains=1)
    with pytest.raises(InputError, match=r"shape \[3\]; expected \[4\]"):
        annealed_importance_sampling(m, base_fields=torch.zeros(3))
