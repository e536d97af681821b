"""Scores and completions of files, against the exact distribution."""

import csv
import math

import numpy as np
import pytest
import torch

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.ising.exact import enumerate_states
from sciml_zoo.ising.inference import complete, evaluate, predict
from sciml_zoo.ising.model import RBMConfig, RestrictedBoltzmannMachine
from sciml_zoo.ising.observations import load_incomplete, load_samples
from sciml_zoo.ising.partition import log_partition
from tests.ising.machines import CASES, machine, randomised, visible_distribution

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def exact_chance(m, sample):
    """P(u_i = 1 | other known entries) and log P(known), by summing the table of all visible states."""
    visible, chance = visible_distribution(m)
    bits = (visible == m.up).double().numpy()
    p = chance.numpy()
    known = ~np.isnan(sample)
    fits = (bits[:, known] == sample[known]).all(1)
    result = []
    for i in range(4):
        others = known.copy()
        others[i] = False
        agree = (bits[:, others] == sample[others]).all(1)
        result.append(p[agree & (bits[:, i] == 1)].sum() / p[agree].sum())
    return np.array(result), math.log(p[fits].sum())


@every_case
@pytest.mark.parametrize("sample", [[0, 1, 1, 0], [np.nan, 1, np.nan, 0], [np.nan] * 4], ids=["all", "some", "none"])
def test_completions_are_exact(case, sample):
    m = machine(*case)
    chance, free_energy = complete(m, np.array(sample))
    expected, log_likelihood = exact_chance(m, np.array(sample))
    np.testing.assert_allclose(chance, expected, atol=1e-12)
    assert -free_energy - log_partition(m).item() == pytest.approx(log_likelihood, abs=1e-12)


@every_case
def test_completions_by_clamped_chains_agree_with_exact_ones(case, monkeypatch):
    monkeypatch.setattr("sciml_zoo.ising.inference._EXACT_UNKNOWN", 1)
    m = machine(*case)
    sample = np.array([np.nan, 1, np.nan, 0])
    chance, free_energy = complete(m, sample, seed=2)
    assert free_energy is None
    # 10,000 correlated states: at worst as good as 1,000 independent ones.
    np.testing.assert_allclose(chance, exact_chance(m, sample)[0], atol=5 * 0.5 / math.sqrt(1000))


@every_case
def test_scores_of_a_file_are_exact(case, tmp_path):
    m = machine(*case)
    rows = np.random.default_rng(0).integers(0, 2, (40, 4))
    path = tmp_path / "states.txt"
    np.savetxt(path, rows, fmt="%d", delimiter="")
    scores = evaluate(m, path)
    each = np.array([exact_chance(m, row.astype(float))[1] for row in rows])
    assert scores["n"] == 40
    assert scores["log_likelihood"] == pytest.approx(each.mean(), abs=1e-12)
    assert scores["log_likelihood_error"] == pytest.approx(each.std(ddof=1) / math.sqrt(40), abs=1e-12)
    assert scores["bits"] == pytest.approx(-each.mean() / math.log(2), abs=1e-12)
    assert scores["log_z"] == pytest.approx(log_partition(m).item(), abs=1e-12)
    assert scores["log_z_error"] == 0
    conditional = [np.where(row == 1, p, 1 - p) for row in rows for p in [exact_chance(m, row.astype(float))[0]]]
    assert scores["pseudo_log_likelihood"] == pytest.approx(np.log(conditional).sum(1).mean(), abs=1e-12)
    if m.n_hidden == 0:
        visible, chance = visible_distribution(m)
        units = np.where(rows == 1, m.up, m.down)
        difference = np.abs(units.T @ units / 40 - (visible.T * chance @ visible).numpy())
        coupled = difference[tuple(m.edges.numpy())].max()
        means = np.abs(units.mean(0) - (chance @ visible).numpy()).max()
        assert scores["moment_error"] == pytest.approx(max(coupled, means), abs=1e-12)


def test_large_machines_are_scored_by_annealing(tmp_path):
    m = randomised(RestrictedBoltzmannMachine(RBMConfig(10, 8)), scale=0.4)
    rows = np.random.default_rng(0).integers(0, 2, (30, 10))
    path = tmp_path / "states.npy"
    np.save(path, rows)
    exact = evaluate(m, path)
    found = evaluate(m, path, limit="7", chains="300", temperatures="200", seed="1")
    assert 0 < found["log_z_error"] < 0.1
    assert 100 < found["effective_sample_size"] <= 300
    assert abs(found["log_z"] - exact["log_z"]) < 4 * found["log_z_error"]
    assert found["log_likelihood_error"] == pytest.approx(
        math.hypot(exact["log_likelihood_error"], found["log_z_error"]), abs=1e-12
    )


def test_predictions_are_written_a_row_for_each_sample(tmp_path):
    m = machine("full", 0, "spin")
    source = tmp_path / "states.txt"
    source.write_text("0110\n?1?0  # two unknown\n\n????\n")
    done = []
    n = predict(m, source, tmp_path / "out.csv", on_progress=lambda k, total: done.append((k, total)))
    assert n == 3
    assert done == [(1, 3), (2, 3), (3, 3)]
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    samples = [[0, 1, 1, 0], [np.nan, 1, np.nan, 0], [np.nan] * 4]
    for row, sample in zip(rows, samples, strict=True):
        expected, log_likelihood = exact_chance(m, np.array(sample))
        np.testing.assert_allclose([float(row[f"p{i}"]) for i in range(1, 5)], expected, rtol=1e-8)
        assert float(row["log_likelihood"]) == pytest.approx(log_likelihood, abs=1e-8)


class TwoRanks:
    """Gathers what the other rank computed in an earlier call."""

    world_size = 2

    def __init__(self, rank, shared):
        self.rank, self.shared = rank, shared

    def gather(self, value):
        self.shared[self.rank] = value
        return [self.shared[rank] for rank in sorted(self.shared)]


def test_predictions_do_not_depend_on_the_number_of_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr("sciml_zoo.ising.inference._EXACT_UNKNOWN", 1)
    m = machine("restricted", 3, "binary")
    source = tmp_path / "states.txt"
    source.write_text("0??0\n1100\n?1?0\n1111\n0?01\n")
    predict(m, source, tmp_path / "one.csv")
    shared: dict = {}
    for rank in (1, 0):
        predict(m, source, tmp_path / "two.csv", ranks=TwoRanks(rank, shared))
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0?1\n012\n", r"states\.txt, line 2: '012' is not 0, 1 or \? \(unknown\)"),
        ("0?1\n01\n", r"states\.txt, line 2: 2 values, where the first has 3"),
        ("1 -1 ?\n1 0 1\n", r"states\.txt, line 2: '0' is not -1, 1 or \?"),
    ],
)
def test_bad_incomplete_files_are_named(text, message, tmp_path):
    path = tmp_path / "states.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_incomplete(path)


def test_incomplete_files_in_all_forms(tmp_path):
    expected = np.array([[0, np.nan, 1], [1, 1, 0]])
    for text in ("0?1\n110\n", "0,?,1\n1,1,0\n", "-1 nan 1\n1 1 -1\n"):
        path = tmp_path / "states.txt"
        path.write_text(text)
        np.testing.assert_array_equal(load_incomplete(path), expected)
    np.save(tmp_path / "states.npy", expected)
    np.testing.assert_array_equal(load_incomplete(tmp_path / "states.npy"), expected)
    np.save(tmp_path / "states.npy", 2 * expected - 1)
    np.testing.assert_array_equal(load_incomplete(tmp_path / "states.npy"), expected)
    np.save(tmp_path / "states.npy", 3 * expected)
    with pytest.raises(InputError, match=r"row 0: value 3.0 in column 2; expected 0, 1 or NaN"):
        load_incomplete(tmp_path / "states.npy")


def test_other_bad_input_is_named(tmp_path):
    m = machine("full", 0, "spin")
    path = tmp_path / "states.txt"
    path.write_text("01\n")
    with pytest.raises(InputError, match="samples have 2 units, the machine 4"):
        evaluate(m, path)
    with pytest.raises(InputError, match=r"out\.txt: predictions are written as CSV"):
        predict(m, path, tmp_path / "out.txt")
    with pytest.raises(InputError, match="no such directory"):
        predict(m, path, tmp_path / "nowhere" / "out.csv")
    with pytest.raises(InputError, match="chains: 'many' is not an integer"):
        evaluate(m, path, chains="many")
    with pytest.raises(InputError, match="sklearn:digits/test"):
        load_samples("sklearn:digits/tset")
    with pytest.raises(InputError):
        load_incomplete(tmp_path / "missing.txt")


def test_evaluation_moves_nothing_and_is_reproducible(tmp_path):
    m = randomised(RestrictedBoltzmannMachine(RBMConfig(64, 40)), scale=0.1)
    before = [p.detach().clone() for p in m.parameters()]
    torch.manual_seed(0)
    first = evaluate(m, "sklearn:digits/test", chains=20, temperatures=20)
    torch.manual_seed(1)
    assert first == evaluate(m, "sklearn:digits/test", chains=20, temperatures=20)
    assert all(torch.equal(a, b) for a, b in zip(before, m.parameters(), strict=True))
    assert first["n"] == 360


@pytest.mark.parametrize(
    ("name", "bits"), [("boltzmann_machine.scotus", 4.7298), ("boltzmann_machine.spikes15", 6.4727)]
)
def test_shipped_machines_have_the_published_entropy(name, bits):
    """At the maximum of likelihood the entropy of the model is the cross-entropy of the data."""
    ising = sz.load_model(name).to_ising(beta=0.5)
    assert enumerate_states(ising, 0.5).entropy / math.log(2) == pytest.approx(bits, abs=2e-4)


def test_shipped_digits_are_completed_better_than_by_the_mean():
    """The lower half of test digits from the upper: more likely pixels than by their frequencies."""
    m = sz.load_model("rbm.digits")
    test = load_samples("sklearn:digits/test")
    rate = load_samples("sklearn:digits/train").mean(0)
    rows = test[:12]
    loss, by_rate = [], []
    for index, row in enumerate(rows):
        masked = np.where(np.arange(64) < 32, row, np.nan)
        chance = complete(m, masked, seed=index)[0][32:]
        clipped = np.clip(rate[32:], 1e-3, 1 - 1e-3)
        truth = row[32:] == 1
        loss.append(-np.log(np.where(truth, chance, 1 - chance)).mean())
        by_rate.append(-np.log(np.where(truth, clipped, 1 - clipped)).mean())
    assert np.mean(loss) < 0.9 * np.mean(by_rate)
