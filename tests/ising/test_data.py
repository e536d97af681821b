"""Readers: sign conventions by hand and by known values, guessed formats, and errors that name file and line."""

import csv
import gzip
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from sciml_zoo.errors import InputError
from sciml_zoo.ising.data import read_instances
from sciml_zoo.ising.exact import all_energies, all_states, exact_ground_state
from sciml_zoo.ising.observed_states import read_samples

MAX_CUT = "4 5\n1 2 3\n2 3 -1\n3 4 2\n1 4 1\n1 3 5\n"
QUBO = "3 5\n1 1 -5\n1 2 2\n2 2 3\n2 3 -4\n3 3 1\n"
EA = "# a1 gs_energy -1.5\n0 1 1.5\n1 2 -0.5\n# a2 gs_energy -0.5\n0 1 -1.0\n"
CHIMERA = "#\n1 1 0.5\n2 2 -0.25\n1 2 1.5\n2 3 -1\n"


@pytest.fixture
def write(tmp_path):
    def to(content: str | bytes, name: str = "instance.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to


def test_a_max_cut_file(write):
    (instance,) = read_instances(write(MAX_CUT, "tiny.txt"))
    assert (instance.name, instance.kind) == ("tiny", "cut")
    edges = [(0, 1, 3), (1, 2, -1), (2, 3, 2), (0, 3, 1), (0, 2, 5)]
    for s in all_states(4):
        cut = sum(w for i, j, w in edges if s[i] != s[j])
        assert instance.objective(float(instance.model.energy(s))) == cut


def test_a_qubo_file_counts_off_diagonal_entries_twice(write):
    (instance,) = read_instances(write(QUBO))
    assert instance.kind == "qubo"
    matrix = np.array([[-5, 2, 0], [2, 3, -4], [0, -4, 1]])
    x = (all_states(3) + 1) // 2
    expected = np.einsum("ki,ij,kj->k", x, matrix, x)
    assert [instance.objective(e) for e in all_energies(instance.model)] == expected.tolist()


def test_an_ea_file_holds_several(write):
    first, second = read_instances(write(EA))
    assert [first.name, second.name] == ["a1", "a2"]
    assert (first.model.n, second.model.n) == (3, 2)
    assert first.model.energy([1, 1, -1]) == -1.5 - 0.5
    assert second.model.energy([1, -1]) == -1.0 == second.best_known
    assert first.best_known == pytest.approx(-4.5)
    assert first.objective(-2.0) == -2.0


def test_a_chimera_file_has_the_opposite_sign(write):
    (instance,) = read_instances(write(CHIMERA, "001.txt"))
    assert (instance.name, instance.kind, instance.model.n) == ("001", "energy", 3)
    for s in all_states(3):
        expected = 0.5 * s[0] - 0.25 * s[1] + 1.5 * s[0] * s[1] - s[1] * s[2]
        assert instance.objective(float(instance.model.energy(s))) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(("content", "kind"), [(MAX_CUT, "cut"), (QUBO, "qubo"), (EA, "energy"), (CHIMERA, "energy")])
def test_gzip_and_line_ends_make_no_difference(write, content, kind):
    plain = read_instances(write(content, "one.txt"))
    assert {instance.kind for instance in plain} == {kind}
    for variant in (
        gzip.compress(content.encode()),
        content.replace("\n", "\r\n").encode(),
        content.replace("\n", " \t\n\n").rstrip().encode(),
        b"\xef\xbb\xbf" + content.encode(),
    ):
        other = read_instances(write(variant, "other.txt"))
        assert [a.model for a in other] == [b.model for b in plain]


def test_stray_words_after_the_header_and_missing_weights(write):
    unit = read_instances(write("3 2 J\n1 2\n2 3\n"))[0]
    assert unit.model == read_instances(write("3 2\n1 2 1\n2 3 1\n"))[0].model


def test_a_few_self_loops_do_not_make_a_cut_a_quadratic_program(write):
    ring = [f"{i} {i + 1} 1" for i in range(1, 100)] + ["1 100 1"]
    with pytest.raises(InputError, match=r"line 102: .* 'qubo'"):
        read_instances(write("\n".join(["100 102", *ring, "7 7 1", "9 9 1"])))
    some_of_the_diagonal = [f"{i} {i} -1" for i in range(1, 101, 10)]
    assert read_instances(write("\n".join(["100 110", *ring, *some_of_the_diagonal])))[0].kind == "qubo"


def test_a_format_overrides_the_guess(write):
    one_diagonal = "2 2\n1 1 -3\n1 2 1\n"
    assert read_instances(write(one_diagonal), "qubo")[0].kind == "qubo"
    assert read_instances(write(one_diagonal, "q.sparse.gz"))[0].kind == "qubo"
    assert read_instances(write(MAX_CUT), "qubo")[0].kind == "qubo"
    for name in ("gset", "maxcut", "biqmac"):
        assert read_instances(write(MAX_CUT), name)[0].kind == "cut"
    with pytest.raises(InputError, match=r"line 2: .* self-loop"):
        read_instances(write(QUBO), "gset")


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("3 3\n1 2 1\n2 3 1\n", 1, r"promises 3 entries, but 2 follow \(the last in line 3\): the file is truncated"),
        ("3 1\n1 2 1\n2 3 1\n", 1, "promises 1 entries, but 2 follow"),
        ("3 2\n\n1 2 1\n2 2 1\n", 4, "a self-loop; remove it, or give the format 'qubo'"),
        ("3 2\n1 2 1\n2 4 1\n", 3, "an index is above 3"),
        ("3 2\n0 2 1\n2 3 1\n", 2, "an index is below 1: the file counts from 1"),
        ("3 2\n1 2 nan\n2 3 1\n", 2, "not a finite number"),
        ("3 2\n1 2 1\n2 3 -inf\n", 3, "not a finite number"),
        ("3 2\n1 2 1\n2 3 one\n", 3, "'one' is not a number"),
        ("3 2\n1 2 1\n2.5 3 1\n", 3, "an index is not a whole number"),
        ("3 2\n1 2 1\n2 3\n", 3, "2 numbers; expected"),
        ("3 2\n1 2 1\n2 3 1 1\n", 3, "4 numbers; expected"),
        ("3 2\n1 2 1 1\n2 3 1 1\n", 2, "expected `i j value`"),
        ("3 2\n1\n2\n", 2, "expected `i j value`"),
        ("1 2 1\n2 3 1\n", 1, "expected the header `N E`"),
        ("3\n1 2 1\n", 1, "expected the header `N E`"),
        ("N E\n1 2 1\n", 1, "expected the header `N E`, two whole numbers"),
        ("3.5 1\n1 2 1\n", 1, "two whole numbers"),
        ("-3 1\n1 2 1\n", 1, "needs 1 ≤ N"),
        ("99999999999999 1\n1 2 1\n", 1, "needs 1 ≤ N"),
        ("3 3\n1 1 1\n2 2 1\n1 9 1\n", 4, "an index is above 3"),
        ("# a1 gs_energy -1\n0 1 1\n1 1 1\n", 3, "a self-loop"),
        ("# a1 gs_energy -1\n0 1 1\n-1 1 1\n", 3, "an index is below 0"),
        ("# a1 gs_energy -1\n0 1 1\n# a2\n0 1 1\n", 3, "expected `# id gs_energy e`"),
        ("# a1 gs_energy low\n0 1 1\n", 1, "finite number e"),
        ("# a1 gs_energy -1\n# a2 gs_energy -1\n0 1 1\n", 1, "no coupling follows"),
        ("#\n1 2 0.5\n0 1 1\n", 3, "an index is below 1"),
        ("#\n1 2 0.5\n1 2 x\n", 3, "'x' is not a number"),
        ("#\n1 2 0.5\n1 2 nan\n", 3, "not a finite number"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_an_error_names_file_and_line(write, content, line, problem, compress):
    path = write(gzip.compress(content.encode()) if compress else content, "bad.txt.gz" if compress else "bad.txt")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}, line {line}: .*{problem}"):
        read_instances(path)


@pytest.mark.parametrize(
    ("content", "format", "problem"),
    [
        (b"", None, "the file is empty"),
        (b"\n \n# only words\n", None, "holds no problem"),
        (b"3 2\n1 2 1\n2 \x00 1\n", None, "line 3: a binary file"),
        (b"3 2\n1 2 1\n\xff\xfe 3 1\n", None, "line 3: not text"),
        (gzip.compress(MAX_CUT.encode() * 50)[:40], None, "cannot be read"),
        (b"\x1f\x8bnonsense", None, "cannot be read"),
        (MAX_CUT.encode(), "gsett", "did you mean 'gset'"),
        (MAX_CUT.encode(), "ea", "line 1: .* expected `# id gs_energy e` before"),
        (b"3 1\n2 1 4\n", "qubo", "line 2: .* below the diagonal"),
        (b"1 2\n2 3\n", "chimera", "line 1: .* expected `i j J`"),
    ],
)
def test_damaged_files_and_wrong_formats(write, content, format, problem):
    with pytest.raises(InputError, match=problem):
        read_instances(write(content), format)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_instances(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="not a file"):
        read_instances(tmp_path)
    with pytest.raises(InputError, match="name a file too"):
        read_instances("dataset:gset")


def test_samples_in_all_forms_are_the_same(write, tmp_path):
    bits = np.array([[1, 0, 1], [0, 0, 1]])
    np.save(tmp_path / "bits.npy", bits)
    np.save(tmp_path / "spins.npy", 2.0 * bits - 1)
    np.save(tmp_path / "bool.npy", bits.astype(bool))
    forms = {
        "01": [
            write("101\r\n001\r\n", "a.txt"),
            write("1 0 1\n0 0 1\n", "b.txt"),
            write("x,y,z\n1,0,1\n0,0,1\n", "c.csv"),
        ],
        "pm1": [write("1,-1,1\n-1,-1,1\n", "d.csv"), write(gzip.compress(b"1 -1 1\n-1 -1 1"), "e.gz")],
    }
    forms["01"] += [tmp_path / "bits.npy", tmp_path / "bool.npy"]
    forms["pm1"] += [tmp_path / "spins.npy"]
    for units, paths in forms.items():
        for path in paths:
            samples = read_samples(path)
            assert samples.bits.dtype == np.int8
            assert samples.bits.tolist() == bits.tolist(), path
            assert samples.spins.tolist() == (2 * bits - 1).tolist()
            assert samples.units == units
    assert read_samples(forms["01"][2]).names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("101\n10\n", "line 2: 2 values, where the others have 3"),
        ("1 0 1\n\n1 0 2\n", "line 3: value 2.0 in column 2; expected 0/1"),
        ("1 -1\n0 1\n", "line 2: value 0.0 in column 0; expected ±1"),
        ("a,b\n1,0\n1,x\n", "line 3: 'x' is not a number"),
        ("a,b\n1,0,1\n", "line 2: 3 values"),
        ("a,b\n", "no states"),
        ("1 nan\n", "value nan"),
        ("\n\n", "holds no states"),
    ],
)
def test_bad_samples_are_named(write, content, problem):
    path = write(content)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}.*{problem}"):
        read_samples(path)


def test_an_array_that_is_no_samples_is_refused(tmp_path):
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    for name in ("cube.npy", "words.npy"):
        with pytest.raises(InputError, match="expected numbers"):
            read_samples(tmp_path / name)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cube.npy").read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot be read as .npy"):
        read_samples(tmp_path / "cut.npy")


def folder() -> Path:
    return Path(os.environ["SCIML_ZOO_DATA"]) / "ising"


def rows(path: str) -> list[dict[str, str]]:
    with (folder() / path).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.data
@pytest.mark.parametrize(
    ("pattern", "count", "kind"),
    [
        ("gset/G*.gz", 58, "cut"),
        ("dimacs_torus/*.gz", 4, "cut"),
        ("biqmac/rudy/*.gz", 98, "cut"),
        ("biqmac/ising/*.gz", 36, "cut"),
        ("biqmac/be/*.gz", 60, "qubo"),
        ("biqmac/gka/*.gz", 34, "qubo"),
        ("biqmac/beasley/*.gz", 36, "qubo"),
        ("ea2d_torus/*.gz", 5, "energy"),
        ("chimera_droplet/L512/[0-9]*.gz", 100, "energy"),
    ],
)
def test_every_file_is_read_and_told_by_its_content(pattern, count, kind, tmp_path):
    paths = sorted(folder().glob(pattern))
    assert len(paths) == count
    slowest = 0.0
    for path in paths:
        copy = tmp_path / "renamed"
        copy.write_bytes(path.read_bytes())
        begun = time.perf_counter()
        instances = read_instances(copy)
        slowest = max(slowest, time.perf_counter() - begun)
        assert {instance.kind for instance in instances} == {kind}
        assert len(instances) == (100 if "ea2d" in pattern else 1)
    assert slowest < 1.0


@pytest.mark.data
def test_sizes_are_those_of_the_tables():
    table = {row["instance"]: row for row in rows("gset/best_known.csv")}
    for path in folder().glob("gset/G*.gz"):
        (instance,) = read_instances(path)
        row = table[instance.name]
        assert (instance.model.n, instance.model.n_edges) == (int(row["n"]), int(row["m"]))
    names = {row["instance"] for row in rows("biqmac/best_known.csv")}
    for path in folder().glob("biqmac/*/*.gz"):
        assert read_instances(path)[0].name in names


@pytest.mark.data
def test_energies_of_the_published_ground_states_of_chimera():
    with gzip.open(folder() / "chimera_droplet/L512/groundstates.csv.gz", "rt") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 100
    for row in table:
        (instance,) = read_instances(f"dataset:chimera_droplet/L512/{row['instance']}")
        spins = 2 * np.array(list(row["state01"]), dtype=int) - 1
        energy = instance.objective(float(instance.model.energy(spins)))
        assert energy == pytest.approx(float(row["energy"]), abs=1e-4)  # couplings have six digits
        assert instance.model.energy(-spins) > energy + 1


@pytest.mark.data
def test_ground_energies_of_the_4x4_tori():
    instances = read_instances("dataset:ea2d_torus/4x4.txt")
    assert len(instances) == 100
    for instance in instances:
        assert exact_ground_state(instance.model).energy == pytest.approx(instance.best_known, abs=5e-5)  # rounded


@pytest.mark.data
def test_known_minima_of_small_quadratic_programs():
    """The best known values are minima of x'Qx: reached by descents, and passed by none."""
    best = {row["instance"]: row["best_known_openising_readme"] for row in rows("biqmac/best_known.csv")}
    found = {}
    for path in sorted(folder().glob("biqmac/*/*.sparse.gz")):
        (instance,) = read_instances(path)
        if instance.model.n <= 50 and best[instance.name]:
            found[instance.name] = instance.objective(_descend(instance.model))
    assert len(found) >= 10
    assert found == {name: float(best[name]) for name in found}


def _descend(model) -> float:
    """Returns the best energy of 400 descents by single flips from random states."""
    s = np.random.default_rng(0).choice([-1, 1], size=(400, model.n))
    while True:
        cost = 2 * s * model.local_fields(s)
        flip = cost.argmin(axis=1)
        active = np.flatnonzero(cost[np.arange(len(s)), flip] < -1e-9)
        if len(active) == 0:
            return float(model.energy(s).min())
        s[active, flip[active]] *= -1


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "shape"), [("scotus/SCOTUS_n9_N895.txt", (895, 9)), ("spikes/spikes15.txt", (40000, 15))]
)
def test_observed_states(file, shape):
    samples = read_samples(f"dataset:{file}")
    assert samples.bits.shape == shape
    assert samples.units == "01"
    assert 0 < samples.bits.mean() < 1
