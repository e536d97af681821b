"""``sciml-zoo ising``: its numbers against exact enumeration, its files, and bad input."""

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sciml_zoo as sz
from sciml_zoo.cli import ising, main
from sciml_zoo.ising.data import FORMATS, read_instances
from sciml_zoo.ising.exact import enumerate_states
from sciml_zoo.ising.generators import edwards_anderson
from sciml_zoo.ising.ground_states import METHODS
from sciml_zoo.ising.observations import load_samples

SAMPLE = ["ising", "sample", "cut.txt", "--temperature", "1.5", "--sweeps", "4000"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a cut, a QUBO, two Edwards–Anderson glasses in one file, a Chimera file, and samples."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pairs = [pair for pair in itertools.combinations(range(1, 9), 2) if rng.random() < 0.6]
    weights = rng.choice([-1, 1], len(pairs))
    lines = [f"{i} {j} {w}" for (i, j), w in zip(pairs, weights, strict=True)]
    Path("cut.txt").write_text("\n".join([f"8 {len(lines)}", *lines]))
    lines = [f"{i} {i} {rng.integers(-9, 9)}" for i in range(1, 7)] + ["1 2 -4", "2 5 7", "3 6 -8", "4 5 3"]
    Path("qubo.txt").write_text("\n".join([f"6 {len(lines)}", *lines]))
    blocks = []
    for seed in (0, 1):
        model = edwards_anderson((3, 4), seed=seed)
        lowest = enumerate_states(model).ground_state.energy / model.n
        blocks += [f"# glass{seed} gs_energy {lowest:.10f}"]
        blocks += [f"{i} {j} {w:.17g}" for i, j, w in zip(*model.edges, strict=True)]
    Path("ea.txt").write_text("\n".join(blocks))
    Path("chimera.txt").write_text("#\n1 2 1.5\n2 3 -1\n1 1 0.25\n3 3 -0.5\n")
    states = rng.integers(0, 2, (300, 4))
    states[:, 1] = np.where(rng.random(300) < 0.8, states[:, 0], states[:, 1])
    Path("states.txt").write_text("\n".join("".join(map(str, row)) for row in states))
    return tmp_path


def result(*argv: str) -> object:
    """What a verb that succeeds writes with ``--json``."""
    assert main([*argv, "--json", "result.json"]) == 0
    return json.loads(Path("result.json").read_text())


@pytest.mark.parametrize(("file", "kind"), [("cut.txt", "cut"), ("qubo.txt", "qubo"), ("chimera.txt", "energy")])
def test_ground_states_are_those_of_enumeration(file: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = result("ising", "ground-state", file, "--sweeps", "300", "--seed", "3")
    (instance,) = read_instances(file)
    assert set(found) >= {"instance", "energy", "objective", "spins", "seconds_to_best", "proven", "method", "sweeps"}
    assert (found["instance"], found["kind"]) == (instance.name, kind)
    assert found["energy"] == pytest.approx(enumerate_states(instance.model).ground_state.energy)
    assert found["energy"] == pytest.approx(float(instance.model.energy(found["spins"])))
    assert 0 <= found["seconds_to_best"] <= found["seconds"]
    assert isinstance(found["proven"], bool)
    assert f"{kind} {found['objective']:.10g} " in " ".join(capsys.readouterr().out.split())


def test_the_objective_is_counted_as_the_file_does() -> None:
    found = result("ising", "ground-state", "cut.txt", "--sweeps", "300")
    side = dict(enumerate(found["spins"], 1))
    edges = [map(int, line.split()) for line in Path("cut.txt").read_text().splitlines()[1:]]
    assert found["objective"] == sum(w for i, j, w in edges if side[i] != side[j])
    found = result("ising", "ground-state", "qubo.txt", "--sweeps", "300", "--format", "qubo")
    x = dict(enumerate(((1 + spin) // 2 for spin in found["spins"]), 1))
    entries = [map(int, line.split()) for line in Path("qubo.txt").read_text().splitlines()[1:]]
    assert found["objective"] == sum((1 if i == j else 2) * q * x[i] * x[j] for i, j, q in entries)


def test_several_problems_of_a_file_are_a_list_and_each_has_its_time() -> None:
    found = result("ising", "ground-state", "ea.txt", "--time-limit", "0.2")
    instances = read_instances("ea.txt")
    assert [row["instance"] for row in found] == ["glass0", "glass1"]
    for row, instance in zip(found, instances, strict=True):
        assert row["objective"] / instance.model.n == pytest.approx(instance.best_known / instance.model.n, abs=1e-9)


def test_a_number_of_sweeps_gives_the_same_state_again() -> None:
    argv = ("ising", "ground-state", "cut.txt", "--method", "annealing", "--sweeps", "50", "--seed", "7")
    timed = {"seconds", "seconds_to_best", "time_to_solution"}
    first, second = ({key: value for key, value in result(*argv).items() if key not in timed} for _ in range(2))
    assert first == second


def test_estimates_agree_with_the_exact_ones(capsys: pytest.CaptureFixture[str]) -> None:
    found = result(*SAMPLE, "--replicas", "32", "--seed", "1")
    (instance,) = read_instances("cut.txt")
    exact = enumerate_states(instance.model, 1 / 1.5)
    energy = found["quantities"]["energy_per_spin"]
    assert energy["mean"] == pytest.approx(exact.energy_mean / 8, abs=4.5 * energy["standard_error"])
    assert 0 < energy["standard_error"] < 0.01
    assert energy["effective_sample_size"] > 400
    assert energy["rhat"] < 1.01
    assert found["converged"] is True
    assert (found["temperature"], found["replicas"], found["sweeps"]) == (pytest.approx(1.5), 32, 4000)
    captured = capsys.readouterr()
    assert f"{energy['mean']:.6f}" in captured.out
    assert "warning" not in captured.err


def test_fields_have_a_magnetisation_with_a_sign_and_beta_is_the_inverse_temperature() -> None:
    found = result("ising", "sample", "chimera.txt", "--beta", "0.8", "--sweeps", "4000", "--method", "heat_bath")
    (instance,) = read_instances("chimera.txt")
    exact = enumerate_states(instance.model, 0.8)
    one = found["quantities"]["magnetisation"]
    assert one["mean"] == pytest.approx(exact.magnetisation.mean(), abs=4.5 * one["standard_error"])
    assert (found["beta"], found["method"]) == (0.8, "heat_bath")
    infinite = result("ising", "sample", "chimera.txt", "--beta", "0")
    assert infinite["temperature"] is None
    assert infinite["quantities"]["magnetisation"]["mean"] == pytest.approx(0, abs=0.01)


def test_an_unconverged_run_warns_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = result("ising", "sample", "cut.txt", "--temperature", "1", "--sweeps", "3", "--replicas", "2")
    assert found["converged"] is False
    assert "energy" in found["unconverged"]
    assert "sciml-zoo: warning: cut: not converged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["states.npz", "states.csv"])
def test_states_that_are_written_are_those_that_were_measured(name: str) -> None:
    found = result(*SAMPLE, "--thin", "4", "--replicas", "6", "--output", name)
    (instance,) = read_instances("cut.txt")
    if name.endswith("npz"):
        with np.load(name, allow_pickle=False) as content:
            spins, energies = content["spins"], content["energies"]
        assert spins.shape == (1000, 6, 8)
        np.testing.assert_array_equal(instance.model.energy(spins), energies)
    else:
        with Path(name).open(newline="") as file:
            spins = np.array([[int(word) for word in row] for row in csv.reader(file)])
        assert spins.shape == (6000, 8)
        np.testing.assert_array_equal(load_samples(name), (1 + spins) // 2)  # `learn` reads them back
    mean = instance.model.energy(spins).mean() / 8
    assert mean == pytest.approx(found["quantities"]["energy_per_spin"]["mean"])


@pytest.mark.parametrize(("method", "starts"), [("tempering", b"\x89PNG"), ("heat_bath", b"%PDF")])
def test_figures_are_written_in_the_format_of_their_name(method: str, starts: bytes) -> None:
    name = "figure.png" if starts == b"\x89PNG" else "figure.pdf"
    found = result(*SAMPLE, "--method", method, "--figure", name)
    assert Path(name).read_bytes().startswith(starts)
    assert (found["ladder"] is None) == (method != "tempering")


def test_learning_recovers_what_was_sampled() -> None:
    assert main([*SAMPLE, "--sweeps", "8000", "--thin", "4", "--output", "states.csv"]) == 0
    found = result("ising", "learn", "states.csv", "--objective", "exact", "--steps", "400", "--out", "run")
    (instance,) = read_instances("cut.txt")
    couplings = instance.model.dense() / 1.5
    assert len(found["couplings"]) == 10
    for one in found["couplings"]:
        assert one["coupling"] == pytest.approx(couplings[one["i"], one["j"]], abs=0.05)
        assert one["at_infinity"] is False
    exact = enumerate_states(instance.model, 1 / 1.5)
    assert found["metrics"]["log_likelihood"] == pytest.approx(-exact.entropy, abs=0.03)
    machine = sz.load_model("local-dir:run/best")
    largest = found["couplings"][0]
    assert machine.to_ising().dense()[largest["i"], largest["j"]] == pytest.approx(largest["coupling"])


@pytest.mark.parametrize("objective", ["pseudo_likelihood", "cd", "pcd", "mpf"])
def test_every_objective_finds_the_one_coupling(objective: str) -> None:
    found = result("ising", "learn", "states.txt", "--objective", objective, "--steps", "300", "--out", "run")
    assert (found["couplings"][0]["i"], found["couplings"][0]["j"]) == (0, 1)
    assert found["couplings"][0]["coupling"] > 0.4


def test_hidden_units_and_a_changed_recipe_and_going_on(capsys: pytest.CaptureFixture[str]) -> None:
    learn = ["ising", "learn", "states.txt", "--objective", "pcd", "--hidden", "2", "--restricted", "--out", "run"]
    first = result(*learn, "--steps", "10", "--model.units", "spin", "--trainer.validate_every=5")
    assert first["step"] == 10
    assert {one["j"] for one in first["couplings"]} == {4, 5}
    assert "hidden 2" in capsys.readouterr().out
    again = result(*learn, "--steps", "15", "--model.units", "spin", "--trainer.validate_every=5", "--resume")
    assert again["step"] == 15


def test_couplings_at_infinity_are_marked() -> None:
    Path("never.txt").write_text("\n".join(["110", "001", "100", "010", "011", "101"] * 3 + ["000"]))
    found = result("ising", "learn", "never.txt", "--objective", "exact", "--steps", "50", "--out", "run")
    rows = load_samples("never.txt")
    marked = {(one["i"], one["j"]) for one in found["couplings"] if one["at_infinity"]}
    joint = {pair: len(np.unique(rows[:, pair], axis=0)) for pair in itertools.combinations(range(3), 2)}
    assert marked == {pair for pair, seen in joint.items() if seen < 4}


def test_formats_are_those_that_the_reader_takes() -> None:
    assert ising._FORMATS == FORMATS


def test_methods_are_those_of_the_solver() -> None:
    assert ising._SOLVERS == METHODS


def test_ground_states_start_without_torch() -> None:
    code = (
        "import sys; from sciml_zoo.cli import main\n"
        "assert main(['ising', 'ground-state', 'cut.txt', '--sweeps', '5']) == 0\n"
        "print(*{'torch', 'dimod', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("ising ground-state none.txt", ("none.txt", "no such file")),
        ("ising ground-state bad.txt", ("bad.txt, line 2", "self-loop")),
        ("ising ground-state short.txt", ("short.txt",)),
        ("ising ground-state cut.txt --format gsett", ("gsett", "did you mean 'gset'")),
        ("ising ground-state cut.txt --method anealing", ("anealing", "did you mean 'annealing'")),
        ("ising ground-state cut.txt --time-limit 0", ("--time-limit", "'0' is not a positive number")),
        ("ising ground-state cut.txt --time-limit nan", ("--time-limit", "'nan' is not a positive number")),
        ("ising ground-state cut.txt --sweeps 1.5", ("--sweeps", "'1.5' is not a whole number")),
        ("ising ground-state cut.txt --sweeps 5 --time-limit 1", ("not allowed with",)),
        ("ising ground-state cut.txt --seed -1", ("--seed", "'-1'")),
        ("ising ground-state cut.txt --json none/out.json", ("none", "no such directory")),
        ("ising ground-state dataset:gset", ("name a file",)),
        ("ising ground-state dataset:gsett/G1.txt", ("gset",)),
        ("ising sample cut.txt", ("--temperature", "--beta")),
        ("ising sample cut.txt --temperature 0", ("--temperature", "positive")),
        ("ising sample cut.txt --beta -1", ("--beta",)),
        ("ising sample cut.txt --beta 1 --method wolf", ("did you mean 'wolff'",)),
        ("ising sample cut.txt --beta 1 --thin 20 --sweeps 10", ("thin 20",)),
        ("ising sample cut.txt --beta 1 --output states.txt", ("--output", ".npz, .csv")),
        ("ising sample cut.txt --beta 1 --figure out.gif", ("--figure", ".png")),
        ("ising sample ea.txt --beta 1 --output out.npz", ("ea.txt holds 2 problems",)),
        ("ising learn none.txt --out run", ("none.txt", "no such file")),
        ("ising learn states.txt --out run --objective exakt", ("did you mean 'exact'",)),
        ("ising learn states.txt --out run --restricted", ("--hidden",)),
        ("ising learn states.txt --out run --trainer.max_stepps 3", ("did you mean 'max_steps'",)),
        ("ising learn states.txt --out cut.txt", ("cut.txt is a file",)),
        ("ising", ("VERB",)),
        ("ising solve", ("solve",)),
    ],
)
def test_bad_input_is_refused(argv: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.txt").write_text("3 2\n1 1 1\n1 2 1\n")
    Path("short.txt").write_text("3 5\n1 2 1\n")
    before = sorted(path.name for path in Path().iterdir())
    try:
        status = main(argv.split())
    except SystemExit as end:
        status = end.code
    assert status == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert not [word for word in words if word not in shown], shown
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.data
def test_a_dataset_of_the_catalogue_can_be_named() -> None:
    found = result("ising", "ground-state", "dataset:gset/G1.txt", "--sweeps", "20", "--method", "annealing")
    (instance,) = read_instances("dataset:gset/G1.txt")
    assert found["objective"] == -float(instance.model.energy(found["spins"])) > 11_000
