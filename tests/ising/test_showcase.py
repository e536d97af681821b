"""The domain's face: its lazy names, the example in its docstring, and its part of the demo."""

import re
import subprocess
import sys

import pytest

import sciml_zoo as sz
from sciml_zoo import ising
from sciml_zoo.ising.showcase import demo


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_the_package_imports_nothing_heavy():
    loaded = run("import sciml_zoo.ising, sys; print(*sys.modules)").split()
    assert "sciml_zoo.ising" in loaded
    assert not {"torch", "numba", "dimod", "numpy", "scipy", "matplotlib"} & set(loaded)


def test_solving_and_sampling_need_no_torch():
    loaded = run("from sciml_zoo.ising import ground_state, sample, read_instances; import sys; print(*sys.modules)")
    assert "numba" in loaded.split()
    assert not {"torch", "dimod", "matplotlib"} & set(loaded.split())


def test_every_promised_name_is_there_whichever_module_was_imported_before():
    pytest.importorskip("dimod")
    modules = ", ".join(f"sciml_zoo.ising.{module}" for module in ising._MODULES)
    code = f"import sciml_zoo.ising as i, {modules}\nprint(*(n for n in i.__all__ if type(getattr(i, n)) is type(i)))"
    assert run(code).split() == []  # a name that a module of the package bears would be the module
    assert set(ising.__all__) == {name for names in ising._MODULES.values() for name in names} <= set(dir(ising))


def test_the_example_in_the_docstring_runs():
    code = "import doctest, sciml_zoo.ising as i; print(*doctest.testmod(i, raise_on_error=True))"
    failed, attempted = map(int, run(code).split())
    assert failed == 0
    assert attempted >= 8


def test_the_demo_agrees_with_every_exact_result(tmp_path):
    said: list[str] = []
    report = demo(tmp_path, said.append)
    shelf, magnet, glass, learned = report.tables
    names = sz.list_models(pretrained=True, domain="ising")
    assert [row[0] for row in shelf.rows] == names
    assert all(float(row[2]) < 1e-10 for row in shelf.rows)
    assert all(any(name in line for line in said) for name in names)
    deviations = [float(row[3]) for row in magnet.rows]
    assert max(map(abs, deviations)) < 4.5
    assert len({row[1] for row in magnet.rows}) == len(magnet.rows) >= 8
    assert re.fullmatch(re.escape(glass.rows[0][1]) + r" \(\d+ states\)", glass.rows[0][2])  # the enumerated minimum
    slope, error = map(float, glass.rows[-1][1].split(" ± "))
    assert abs(slope - float(glass.rows[-1][2])) < 4.5 * error
    values = {row[0]: float(row[1]) for row in learned.rows}
    assert values["root mean square error of the couplings"] < 0.2 * values["root mean square coupling"]
    assert values["log-likelihood, nats a draw"] == pytest.approx(
        values["that of the glass itself, expected: −entropy"], abs=0.05
    )
    assert len(report.figures) >= 6
    assert list(tmp_path.iterdir()) == []
