"""What every verb does with good input, in files and numbers."""

import gzip
import json
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from statistics import median

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.errors import InputError
from sciml_zoo.potentials import ZooCalculator
from sciml_zoo.potentials.potential import Potential

METRICS = {
    "n",
    "energy_mae_mev",
    "energy_rmse_mev",
    "energy_mae_mev_per_atom",
    "energy_rmse_mev_per_atom",
    "force_mae_mev_per_a",
    "force_rmse_mev_per_a",
}
TWO_RANKS = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sciml_zoo"]


def result(*argv: str) -> object:
    """What a verb that succeeds writes with ``--json``."""
    assert main([*argv, "--json", "result.json"]) == 0
    return json.loads(Path("result.json").read_text())


def expected(atoms: Atoms, calculator: ZooCalculator) -> Atoms:
    """The structure with the calculator's results."""
    atoms = atoms.copy()
    atoms.calc = calculator
    atoms.get_potential_energy()
    return atoms


def require_equal_predictions(written: list[Atoms], source: list[Atoms], calculator: ZooCalculator) -> None:
    """Energies (eV) and forces (eV/Å) are the calculator's."""
    assert len(written) == len(source)
    for found, atoms in zip(written, source, strict=True):
        wanted = expected(atoms, calculator)
        assert found.get_potential_energy() == pytest.approx(wanted.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(found.get_forces(), wanted.get_forces(), atol=1e-6)
        np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-7)
        assert found.get_chemical_formula("all") == atoms.get_chemical_formula("all")


@pytest.fixture
def calculator(here: Path) -> ZooCalculator:
    return ZooCalculator(f"local-dir:{here / 'model'}")


def test_list_writes_a_row_for_each_of_the_weights(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = result("list")
    assert set(row) >= {"name", "architecture", "domain", "parameters", "licence", "sha256", "metrics"}
    assert (row["name"], row["architecture"], row["domain"]) == ("gto_potential.tiny", "gto_potential", "potentials")
    assert row["parameters"] == sum(p.numel() for p in sz.load_model("local-dir:model").parameters())
    assert row["metrics"][0]["value"] == 123.456
    shown = capsys.readouterr().out
    assert "gto_potential.tiny" in shown
    assert "force MAE 123.5 meV/Å" in " ".join(shown.split())


def test_list_architectures(here: Path) -> None:
    rows = result("list", "--architectures", "--domain", "potentials", "gto*")
    assert [row["name"] for row in rows] == ["gto_potential"]
    assert rows[0]["summary"]


@pytest.mark.parametrize("reference", ["gto_potential.tiny", "local-dir:model"])
def test_verify_reports_the_error_and_the_tolerance(reference: str, here: Path) -> None:
    (row,) = result("verify", reference)
    assert row["name"] == reference
    assert row["verified"] is True
    assert row["max_abs_error"] <= row["atol"]


def test_verify_without_names_verifies_the_shelf(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [row["name"] for row in result("verify")] == ["gto_potential.tiny"]
    assert "verified" in capsys.readouterr().out


def test_verify_goes_on_after_a_failure_and_reports_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "local-dir:none", "local-dir:model", "--json", "result.json"]) == 2
    rows = json.loads(Path("result.json").read_text())
    assert [(row["name"], row["verified"]) for row in rows] == [("local-dir:none", False), ("local-dir:model", True)]
    assert "no such directory" in rows[0]["error"]


def test_info_of_an_architecture_shows_its_options(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "gto_potential"]) == 0
    shown = capsys.readouterr().out
    assert "| `n_radial` | `10` |" in shown
    assert "n_rounds: rounds of message passing" in shown


def test_info_of_weights_shows_their_card_as_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "local-dir:model"]) == 0
    assert capsys.readouterr().out.strip() == Path("model/README.md").read_text().strip()


def test_evaluate_gives_the_errors_of_the_calculator(here: Path, calculator: ZooCalculator) -> None:
    scores = result("evaluate", "local-dir:model", "many.xyz")
    structures = ase.io.read("many.xyz", index=":")
    found = [expected(atoms, calculator) for atoms in structures]
    energy = np.array(
        [f.get_potential_energy() - a.get_potential_energy() for f, a in zip(found, structures, strict=True)]
    )
    forces = np.concatenate([(f.get_forces() - a.get_forces()).ravel() for f, a in zip(found, structures, strict=True)])
    assert set(scores) == METRICS
    assert scores["n"] == len(structures)
    assert scores["energy_mae_mev"] == pytest.approx(1e3 * abs(energy).mean(), rel=1e-5)
    assert scores["energy_rmse_mev"] == pytest.approx(1e3 * np.sqrt((energy**2).mean()), rel=1e-5)
    assert scores["force_mae_mev_per_a"] == pytest.approx(1e3 * abs(forces).mean(), rel=1e-5)
    assert scores["force_rmse_mev_per_a"] == pytest.approx(1e3 * np.sqrt((forces**2).mean()), rel=1e-5)


def test_evaluate_with_other_keys_and_by_the_name_on_the_shelf(here: Path) -> None:
    text = Path("train.xyz").read_text().replace(" energy=", " REF_energy=").replace("forces:R:3", "REF_forces:R:3")
    Path("renamed.xyz").write_text(text)
    keys = ["--energy_key", "REF_energy", "--forces-key=REF_forces"]
    renamed = result("evaluate", *keys, "gto_potential.tiny", "renamed.xyz")  # also before the positional arguments
    assert renamed == result("evaluate", "local-dir:model", "train.xyz")


def test_evaluate_energies_alone_up_to_a_constant(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = ase.io.read("many.xyz", index=":9")
    for atoms in scan:
        atoms.calc.results = {"energy": atoms.get_potential_energy()}
    ase.io.write("scan.xyz", scan, format="extxyz")
    absolute, relative, also = (
        result("evaluate", "local-dir:model", "scan.xyz", *option)
        for option in ([], ["--relative"], ["--relative=true"])
    )
    assert set(absolute) == set(relative) == {name for name in METRICS if "force" not in name}
    assert relative == also
    assert relative["energy_rmse_mev_per_atom"] < absolute["energy_rmse_mev_per_atom"]
    assert "scan.xyz: no 'forces'; the scores of forces are left out" in capsys.readouterr().err


def test_evaluate_and_predict_a_deepmd_folder(here: Path, calculator: ZooCalculator) -> None:
    frames = [atoms for atoms in ase.io.read("many.xyz", index=":") if len(atoms) == 6][:4]
    symbols = list(frames[0].symbols)
    Path("system/set.000").mkdir(parents=True)
    Path("system/nopbc").touch()
    Path("system/type_map.raw").write_text("H C O")
    Path("system/type.raw").write_text(" ".join(str("HCO".index(symbol)) for symbol in symbols))
    np.save("system/set.000/coord.npy", [atoms.positions.ravel() for atoms in frames])
    np.save("system/set.000/energy.npy", [atoms.get_potential_energy() for atoms in frames])
    np.save("system/set.000/force.npy", [atoms.get_forces().ravel() for atoms in frames])
    ase.io.write("same.xyz", frames, format="extxyz")
    assert result("evaluate", "local-dir:model", "system") == pytest.approx(
        result("evaluate", "local-dir:model", "same.xyz"), rel=1e-4
    )
    assert main(["predict", "local-dir:model", "system", "-o", "out.xyz"]) == 0
    require_equal_predictions(ase.io.read("out.xyz", index=":"), frames, calculator)


def test_predict_keeps_what_else_is_in_the_file(here: Path, calculator: ZooCalculator) -> None:
    source = ase.io.read("train.xyz", index=":")
    for i, atoms in enumerate(source):
        atoms.info = {"label": f"number {i}", "REF_energy": -3.25}
        atoms.arrays["spread"] = np.arange(3.0 * len(atoms)).reshape(-1, 3)
        atoms.arrays["site"] = np.arange(len(atoms))
    ase.io.write("source.xyz", source, format="extxyz")
    assert result("predict", "local-dir:model", "source.xyz", "-o", "out.xyz") == {"n": 9, "out": "out.xyz"}
    written = ase.io.read("out.xyz", index=":")
    require_equal_predictions(written, source, calculator)
    for found, atoms in zip(written, source, strict=True):
        assert found.info == atoms.info
        np.testing.assert_array_equal(found.arrays["spread"], atoms.arrays["spread"])
        np.testing.assert_array_equal(found.arrays["site"], atoms.arrays["site"])


def test_predict_reads_gzip_and_replaces_an_older_output(here: Path, calculator: ZooCalculator) -> None:
    Path("many.xyz.gz").write_bytes(gzip.compress(Path("many.xyz").read_bytes()))
    Path("out.extxyz").write_text("old")
    assert main(["predict", "local-dir:model", "many.xyz.gz", "--out", "out.extxyz"]) == 0
    require_equal_predictions(ase.io.read("out.extxyz", index=":"), ase.io.read("many.xyz", index=":"), calculator)


def test_predict_of_crystals_has_stress(here: Path, calculator: ZooCalculator) -> None:
    assert main(["predict", "local-dir:model", "crystal.xyz", "-o", "out.xyz"]) == 0
    written, source = ase.io.read("out.xyz", index=":"), ase.io.read("crystal.xyz", index=":")
    require_equal_predictions(written, source, calculator)
    for found, atoms in zip(written, source, strict=True):
        assert abs(atoms.get_stress()).max() > 1e-3, "the reference in the source is another one"
        np.testing.assert_allclose(found.get_stress(), expected(atoms, calculator).get_stress(), atol=1e-6)
        np.testing.assert_allclose(found.cell.array, atoms.cell.array, atol=1e-7)
        assert found.pbc.all()


@pytest.mark.parametrize("distance", [1e3, 5e3])
def test_molecules_far_apart_have_the_energy_of_both(distance: float, here: Path) -> None:
    # Flat and long: where a search for neighbours by cells of the cutoff would need too many of them.
    near = molecule("H2O")
    pair = near.copy()
    for axis in (1, 2):
        far = near.copy()
        far.positions[:, axis] += distance
        pair += far
    ase.io.write("apart.xyz", [near, pair], format="extxyz")
    assert main(["predict", "local-dir:model", "apart.xyz", "-o", "out.xyz"]) == 0
    one, three = ase.io.read("out.xyz", index=":")
    assert three.get_potential_energy() == pytest.approx(3 * one.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(three.get_forces()[:3], one.get_forces(), atol=1e-5)


def test_train_resume_and_load(here: Path) -> None:
    options = ["--data.train", "many.xyz", "--trainer.max_steps", "6", "--trainer.validate_every=3"]
    # Overrides may stand before the recipe, too.
    first = result("train", *options, "recipe.yaml", "--out", "runs/x")
    assert (first["step"], first["stopped_because"]) == (6, "max_steps")
    assert first["monitor"] == "force_mae_mev_per_a"
    assert "43 for training, 2 for validation" in first["chosen_from_data"]["structures"]
    more = [*options, "--trainer.max_steps", "9"]
    second = result("train", "recipe.yaml", "--out", "runs/x", *more, "--resume")
    assert second["step"] == 9
    assert second["best"] <= first["best"]
    model = sz.load_model("local-dir:runs/x/best")
    assert isinstance(model, Potential)
    assert model.elements == (1, 6, 8)
    assert result("evaluate", "local-dir:runs/x/best", "many.xyz")["n"] == 45
    at_once = result("train", "recipe.yaml", "--out", "runs/y", *more)
    assert at_once["metrics"] == second["metrics"]


def test_the_saved_recipe_trains_the_same_model(here: Path) -> None:
    first = result("train", "recipe.yaml", "--out", "runs/x", "--model.n_hidden", "6")
    again = result("train", "runs/x/recipe.yaml", "--out", "runs/y")
    assert again["metrics"] == first["metrics"]


def test_train_stopped_before_the_first_validation(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = result("train", "recipe.yaml", "--out", "run", "--trainer.max_minutes", "1e-9")
    assert (summary["stopped_because"], summary["best"], summary["checkpoint"]) == ("time_limit", None, None)
    assert "--resume" in capsys.readouterr().out
    assert result("train", "recipe.yaml", "--out", "run", "--resume")["best"] > 0


def test_debug_raises(here: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        main(["--debug", "evaluate", "local-dir:model", "none.xyz"])
    with pytest.raises(InputError, match="no such file"):
        main(["evaluate", "local-dir:model", "none.xyz", "--debug"])


def test_an_error_of_our_own_is_status_1_and_says_how_to_see_more(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("nothing to divide")

    monkeypatch.setattr("sciml_zoo.zoo.verify.verify", broken)
    assert main(["verify", "local-dir:model"]) == 1
    message = capsys.readouterr().err
    assert "ZeroDivisionError: nothing to divide" in message
    assert "--debug" in message
    assert "Traceback" not in message


def python(*argv: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in the working directory."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *argv], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_module_is_the_command(here: Path) -> None:
    ran = python("-m", "sciml_zoo", "--version")
    assert (ran.returncode, ran.stdout) == (0, f"sciml-zoo {sz.__version__}\n")
    command = subprocess.run(
        [Path(sys.executable).with_name("sciml-zoo"), "--version"], capture_output=True, text=True, check=False
    )
    assert (command.returncode, command.stdout) == (0, ran.stdout)
    refused = python("-m", "sciml_zoo", "list", "--domain", "none")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr


def test_two_ranks_evaluate_as_one(here: Path) -> None:
    alone = result("evaluate", "local-dir:model", "many.xyz")
    ran = python(*TWO_RANKS, "evaluate", "local-dir:model", "many.xyz", "--json", "two.json", "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(Path("two.json").read_text()) == pytest.approx(alone, rel=1e-12)
    assert ran.stdout.count("force_mae_mev_per_a") == 1, "only one rank prints"


def test_two_ranks_predict_as_one(here: Path) -> None:
    assert main(["predict", "local-dir:model", "many.xyz", "-o", "one.xyz"]) == 0
    ran = python(*TWO_RANKS, "predict", "local-dir:model", "many.xyz", "-o", "two.xyz", "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert Path("two.xyz").read_bytes() == Path("one.xyz").read_bytes()


def processor_seconds(code: str) -> float:
    """The median processor time of three runs: waiting for other processes does not count."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(3):
        before = used()
        ran = python("-c", code)
        assert ran.returncode == 0, ran.stderr
        seconds.append(used() - before)
    return median(seconds)


def test_import_takes_at_most_a_fifth_of_a_second(here: Path) -> None:
    code = "import sys, sciml_zoo; assert not {'torch', 'numpy', 'ase'} & set(sys.modules)"
    assert processor_seconds(code) - processor_seconds("pass") <= 0.2


def test_list_takes_at_most_a_second(here: Path) -> None:
    code = "import sys; from sciml_zoo.cli import main; assert main(['list']) == 0; assert 'torch' not in sys.modules"
    assert processor_seconds(code) <= 1.0


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--seed", "5", "seed was 0, now 5"), ("--loss.force_weight", "100", "loss.force_weight was 1.0, now 100.0")],
)
def test_a_run_is_not_resumed_as_another(here: Path, capsys: pytest.CaptureFixture[str], option, value, words) -> None:
    options = ["--trainer.max_steps", "4", "--trainer.validate_every", "2"]
    assert main(["train", "recipe.yaml", "--out", "run", *options]) == 0
    before = (here / "run" / "recipe.yaml").read_bytes()
    assert main(["train", "recipe.yaml", "--out", "run", "--resume", *options, option, value]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert (here / "run" / "recipe.yaml").read_bytes() == before


def test_warnings_are_one_line_without_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(_: object) -> int:
        warnings.warn("the file has three odd rows", stacklevel=1)
        return 0

    monkeypatch.setattr("sciml_zoo.cli.shelf._list", warn)
    assert main(["list"]) == 0
    assert capsys.readouterr().err == "sciml-zoo: warning: the file has three odd rows\n"
