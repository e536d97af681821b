"""Every format gives the same structures and labels, in ASE's units; what is damaged is named."""

import gzip
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import ase.db
import ase.io
import ase.units
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.data import energy_of, forces_of, read_structures, stress_of

KCAL = ase.units.kcal / ase.units.mol
EV_PER_KBAR = 0.1 * ase.units.GPa


def crystals(n: int = 3) -> list[Atoms]:
    """Strained and rattled crystals of two elements, with labels of no symmetry."""
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(n):
        atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.05, size=(8, 3))
        labels = {"energy": float(rng.normal()), "forces": rng.normal(size=(8, 3)), "stress": rng.normal(size=6)}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        structures.append(atoms)
    return structures


def molecules(n: int = 3) -> list[Atoms]:
    """The same crystals cut loose, and so without stress."""
    structures = []
    for atoms in crystals(n):
        free = Atoms(atoms.numbers, atoms.positions)
        labels = {name: atoms.calc.results[name] for name in ("energy", "forces")}
        free.calc = SinglePointCalculator(free, **labels)
        structures.append(free)
    return structures


def require_same(found: list[Atoms], wanted: list[Atoms], *, rtol: float = 1e-12) -> None:
    """Elements, places, cells and all labels agree."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert list(one.numbers) == list(other.numbers)
        assert list(one.pbc) == list(other.pbc)
        close = {"rtol": rtol, "atol": rtol}
        np.testing.assert_allclose(one.positions, other.positions, **close)
        np.testing.assert_allclose(one.cell.array, other.cell.array, **close)
        np.testing.assert_allclose(energy_of(one, ""), energy_of(other, ""), **close)
        np.testing.assert_allclose(forces_of(one, ""), forces_of(other, ""), **close)
        np.testing.assert_allclose(stress_of(one, ""), stress_of(other, ""), **close)


def write_pymatgen(path: Path, structures: list[Atoms]) -> None:
    """Writes entries as those of mlearn, with VASP's stress."""
    entries = []
    for atoms in structures:
        xx, yy, zz, yz, xz, xy = -atoms.calc.results["stress"] / EV_PER_KBAR
        sites = [
            {"species": [{"element": symbol, "occu": 1}], "xyz": list(position), "label": symbol}
            for symbol, position in zip(atoms.symbols, atoms.positions, strict=True)
        ]
        structure = {"@class": "Structure", "lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites}
        outputs = {"energy": atoms.calc.results["energy"], "forces": atoms.calc.results["forces"].tolist()}
        outputs["virial_stress"] = [xx, yy, zz, xy, yz, xz]
        entries.append({"structure": structure, "outputs": outputs, "group": "Elastic", "element": "Si"})
    content = json.dumps(entries).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_deepmd(folder: Path, structures: list[Atoms], *, sets: int = 1) -> None:
    """Writes a system, its frames shared over several sets."""
    folder.mkdir(parents=True)
    symbols = sorted(set(structures[0].symbols))
    (folder / "type_map.raw").write_text("\n".join(symbols))
    (folder / "type.raw").write_text(" ".join(str(symbols.index(symbol)) for symbol in structures[0].symbols))
    for number, part in enumerate(np.array_split(np.arange(len(structures)), sets)):
        directory = folder / f"set.{number:03d}"
        directory.mkdir()
        frames = [structures[index] for index in part]
        arrays = {
            "coord": [atoms.positions for atoms in frames],
            "box": [atoms.cell.array for atoms in frames],
            "energy": [atoms.calc.results["energy"] for atoms in frames],
            "force": [atoms.calc.results["forces"] for atoms in frames],
            "virial": [-atoms.get_volume() * stress_of(atoms, "") for atoms in frames],
        }
        for name, values in arrays.items():
            flat = np.array(values) if name == "energy" else np.reshape(values, (len(frames), -1))
            np.save(directory / f"{name}.npy", flat)


def write_npz(path: Path, structures: list[Atoms], *, rmd17: bool = False, **more: object) -> None:
    """Writes a trajectory in kcal/mol."""
    names = ("nuclear_charges", "coords", "energies", "forces") if rmd17 else ("z", "R", "E", "F")
    values = (
        structures[0].numbers,
        [atoms.positions for atoms in structures],
        [atoms.calc.results["energy"] / KCAL for atoms in structures],
        [atoms.calc.results["forces"] / KCAL for atoms in structures],
    )
    np.savez(path, **dict(zip(names, values, strict=True)), **more)


def write_hdf5(path: Path, structures: list[Atoms], *, units: bool = True) -> None:
    """Writes one group in atomic units, lengths in Å, and stress in GPa."""
    force = ase.units.Hartree / ase.units.Bohr
    with h5py.File(path, "w") as file:
        group = file.create_group("all/MgO")
        group["species"] = [symbol.encode() for symbol in structures[0].symbols]
        columns = {
            "coordinates": ([atoms.positions for atoms in structures], "Å"),
            "cell": ([atoms.cell.array for atoms in structures], "angstrom"),
            "energies": ([atoms.calc.results["energy"] / ase.units.Hartree for atoms in structures], "hartree"),
            "forces": ([atoms.calc.results["forces"] / force for atoms in structures], "hartree/bohr"),
            "stress": ([stress_of(atoms, "") / ase.units.GPa for atoms in structures], "GPa"),
        }
        for name, (values, unit) in columns.items():
            group[name] = np.array(values)
            if units:
                group[name].attrs["units"] = unit


@pytest.mark.parametrize("name", ["data.db", "data.json"])
def test_ase_data_bases(tmp_path, name):
    with ase.db.connect(tmp_path / name) as database:
        for atoms in crystals():
            database.write(atoms)
    require_same(read_structures(tmp_path / name, energy=True, forces=True), crystals())


def test_ase_data_base_with_its_own_units_and_names(tmp_path):
    with ase.db.connect(tmp_path / "spk.db") as database:
        database.metadata = {"_property_unit_dict": {"E": "kcal/mol", "F": "kcal/mol/Ang"}, "_distance_unit": "Bohr"}
        for atoms in molecules():
            bohr = Atoms(atoms.numbers, atoms.positions / ase.units.Bohr)
            data = {"E": np.array([atoms.calc.results["energy"] / KCAL]), "F": atoms.calc.results["forces"] / KCAL}
            database.write(bohr, data=data)
    found = read_structures(tmp_path / "spk.db", energy=True, forces=True, energy_key="E", forces_key="F")
    for one, other in zip(found, molecules(), strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-12)
        assert energy_of(one, "", "E") == pytest.approx(energy_of(other, ""), abs=1e-12)
        np.testing.assert_allclose(forces_of(one, "", "F"), forces_of(other, ""), atol=1e-12)


@pytest.mark.parametrize("name", ["data.json", "data.json.gz"])
def test_pymatgen_json(tmp_path, name):
    write_pymatgen(tmp_path / name, crystals())
    found = read_structures(tmp_path / name, energy=True, forces=True)
    require_same(found, crystals())
    assert found[0].info["group"] == "Elastic"


def test_pymatgen_structures_alone_have_no_labels(tmp_path):
    write_pymatgen(tmp_path / "data.json", crystals())
    entries = json.loads((tmp_path / "data.json").read_text())
    (tmp_path / "one.json").write_text(json.dumps(entries[1]["structure"]))
    (found,) = read_structures(tmp_path / "one.json")
    np.testing.assert_allclose(found.positions, crystals()[1].positions)
    with pytest.raises(InputError, match=r"one\.json, frame 0: no 'energy'"):
        read_structures(tmp_path / "one.json", energy=True)


def test_deepmd_folders_of_several_sets_and_systems(tmp_path):
    write_deepmd(tmp_path / "data" / "b", crystals(5)[2:], sets=2)
    write_deepmd(tmp_path / "data" / "a", crystals(5)[:2])
    require_same(read_structures(tmp_path / "data" / "b", energy=True, forces=True), crystals(5)[2:])
    require_same(read_structures(tmp_path / "data"), crystals(5))


def test_deepmd_molecules_have_no_box(tmp_path):
    write_deepmd(tmp_path / "system", crystals())
    for name in ("box", "virial"):
        (tmp_path / "system" / "set.000" / f"{name}.npy").unlink()
    with pytest.raises(InputError, match=r"set\.000: box\.npy is missing; add it, or an empty file 'nopbc'"):
        read_structures(tmp_path / "system")
    (tmp_path / "system" / "nopbc").touch()
    require_same(read_structures(tmp_path / "system"), molecules())


def test_deepmd_mixed_types_leave_out_what_is_no_atom(tmp_path):
    write_deepmd(tmp_path / "system", crystals(2))
    types = np.array([[1, 0, 1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0, -1, -1]])
    np.save(tmp_path / "system" / "set.000" / "real_atom_types.npy", types)
    whole, part = read_structures(tmp_path / "system", forces=True)
    assert (whole.get_chemical_formula(), part.get_chemical_formula()) == ("Mg4O4", "Mg3O3")
    np.testing.assert_allclose(forces_of(part, ""), forces_of(crystals(2)[1], "")[:6])


@pytest.mark.parametrize("rmd17", [True, False])
def test_md17_npz_in_its_units(tmp_path, rmd17):
    more = {"old_energies": np.zeros(3)} if rmd17 else {"e_unit": "kcal/mol", "r_unit": "Ang"}
    write_npz(tmp_path / "data.npz", molecules(), rmd17=rmd17, **more)
    require_same(read_structures(tmp_path / "data.npz", energy=True, forces=True), molecules())


def test_npz_energies_in_a_column_and_without_forces(tmp_path):
    structures = molecules()
    energies = [[energy_of(atoms, "")] for atoms in structures]
    positions = [atoms.positions / 10 for atoms in structures]
    np.savez(tmp_path / "data.npz", z=structures[0].numbers, R=positions, E=energies, e_unit="eV", r_unit="nm")
    found = read_structures(tmp_path / "data.npz", energy=True, forces_optional=True)
    assert [energy_of(atoms, "") for atoms in found] == [energy for (energy,) in energies]
    np.testing.assert_allclose(found[2].positions, structures[2].positions, atol=1e-12)
    with pytest.raises(InputError, match=r"frame 0: no 'forces'"):
        read_structures(tmp_path / "data.npz", forces=True)


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_hdf5_in_declared_units(tmp_path, suffix):
    write_hdf5(tmp_path / f"data{suffix}", crystals())
    require_same(read_structures(tmp_path / f"data{suffix}", energy=True, forces=True), crystals())


def test_hdf5_with_units_of_the_file_and_labels_of_other_names(tmp_path):
    with h5py.File(tmp_path / "ani.h5", "w") as file:
        for name, atoms in zip("ab", molecules(2), strict=True):
            file[f"{name}/atomic_numbers"] = atoms.numbers
            file[f"{name}/coordinates"] = atoms.positions[None]
            file[f"{name}/wb97x_dz.energy"] = [energy_of(atoms, "") / ase.units.Hartree]
        file.attrs.update({"coordinates_units": "Angstrom", "wb97x_dz.energy_units": "Ha"})
    found = read_structures(tmp_path / "ani.h5", energy=True, energy_key="wb97x_dz.energy")
    energies = [energy_of(atoms, "", "wb97x_dz.energy") for atoms in found]
    assert energies == pytest.approx([energy_of(atoms, "") for atoms in molecules(2)], abs=1e-12)


def test_hdf5_without_h5py_names_the_remedy(tmp_path, monkeypatch):
    write_hdf5(tmp_path / "data.h5", crystals())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"data\.h5: HDF5 needs h5py: pip install 'sciml-zoo\[hdf5\]'"):
        read_structures(tmp_path / "data.h5")


def test_extxyz_virial_is_minus_volume_times_stress(tmp_path):
    structures = crystals()
    for atoms in structures:
        atoms.info["virial"] = -atoms.get_volume() * stress_of(atoms, "")
        del atoms.calc.results["stress"]
    ase.io.write(tmp_path / "data.xyz", structures, format="extxyz")
    for one, other in zip(read_structures(tmp_path / "data.xyz"), crystals(), strict=True):
        np.testing.assert_allclose(stress_of(one, ""), stress_of(other, ""), rtol=1e-6)


def truncated(path: Path) -> None:
    """Cuts a file in two."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edited(change: Callable[[list], object]) -> Callable[[Path], None]:
    """Changes the entries of a JSON file."""

    def edit(path: Path) -> None:
        entries = json.loads(path.read_text())
        change(entries)
        path.write_text(json.dumps(entries))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, r"data\.json: not JSON .* truncated or damaged, copy it again"),
        (edited(lambda entries: entries[1].pop("structure")), r"data\.json, frame 1: 'structure' is missing"),
        (edited(lambda entries: entries.insert(2, [1, 2])), r"data\.json, frame 2: not an entry"),
        (edited(lambda entries: entries[0]["outputs"].pop("forces")), r"frame 0: no 'forces' \(eV/Å\)"),
        (edited(lambda entries: entries[2]["outputs"]["forces"].pop()), r"frame 2: 'forces' are \[7, 3\]"),
        (edited(lambda entries: entries[1]["outputs"]["virial_stress"].pop()), r"frame 1: 'virial_stress' must be 6"),
        (
            edited(lambda entries: entries[1]["structure"]["sites"][3]["species"][0].update(occu=0.5)),
            r"frame 1, atom 3: the site is shared",
        ),
        (
            edited(lambda entries: entries[1]["structure"]["sites"][3]["species"][0].update(element="Qq")),
            r"frame 1, atom 3: 'Qq' is not an element",
        ),
    ],
)
def test_damaged_json_is_named(tmp_path, damage, message):
    write_pymatgen(tmp_path / "data.json", crystals())
    damage(tmp_path / "data.json")
    with pytest.raises(InputError, match=message):
        read_structures(tmp_path / "data.json", energy=True, forces=True)


def test_a_packed_data_base_of_ase_is_to_be_unpacked(tmp_path):
    with ase.db.connect(tmp_path / "data.json") as database:
        database.write(crystals()[0])
    (tmp_path / "data.json.gz").write_bytes(gzip.compress((tmp_path / "data.json").read_bytes()))
    with pytest.raises(InputError, match=r"data\.json\.gz: ASE reads its data bases only unpacked; run gunzip"):
        read_structures(tmp_path / "data.json.gz")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("type.raw", lambda path: path.write_text("0 1 x"), r"type\.raw: not whole numbers"),
        ("type.raw", lambda path: path.write_text("0 1 0 1 0 1 0"), r"coord\.npy: shape \[3, 24\], but \[frames, 21\]"),
        ("type.raw", lambda path: path.write_text("5 1 0 1 0 1 0 1"), r"atom 0: type 5 is not in type_map\.raw"),
        ("type_map.raw", Path.unlink, r"type_map\.raw: missing; write the element of every type"),
        ("type_map.raw", lambda path: path.write_text("O Qq"), r"type_map\.raw: 'Qq' is not an element"),
        ("set.000/coord.npy", Path.unlink, r"set\.000: coord\.npy is missing"),
        ("set.000/force.npy", truncated, r"force\.npy: cannot be read"),
        ("set.000/force.npy", lambda path: path.write_bytes(b"text"), r"force\.npy: cannot be read"),
        ("set.000/energy.npy", lambda path: np.save(path, [1.0]), r"energy\.npy: shape \[1\], but \[3, 1\]"),
        ("set.000/energy.npy", Path.unlink, r"set\.000, frame 0: no 'energy'"),
        ("set.000", shutil.rmtree, r"no set\.\*/ folder beside type\.raw"),
        ("type.raw", Path.unlink, r"system: not a file; give a structure file, or a folder of DeePMD-kit"),
    ],
)
def test_damaged_deepmd_folders_are_named(tmp_path, file, change, message):
    write_deepmd(tmp_path / "system", crystals())
    change(tmp_path / "system" / file)
    with pytest.raises(InputError, match=message):
        read_structures(tmp_path / "system", energy=True, forces=True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"E": None, "e_unit": None}, r"data\.npz: the units are not known; add them"),
        ({"e_unit": "parsec"}, r"data\.npz, e_unit: 'parsec' is not a unit of energy"),
        ({"z": None}, r"data\.npz: no nuclear_charges or z; found"),
        (
            {"R": np.zeros((3, 8, 2))},
            r"data\.npz: coords or R is float64 of the shape \[3, 8, 2\], not numbers of \[3, 8",
        ),
        ({"E": np.zeros(2)}, r"data\.npz: energies or E is float64 of the shape \[2\], not numbers of \[3\]"),
        ({"F": np.zeros((3, 7, 3))}, r"data\.npz: forces or F .* \[3, 7, 3\], not numbers of \[3, 8, 3\]"),
        ({"R": np.array([{}])}, r"data\.npz: cannot be read"),
    ],
)
def test_npz_that_does_not_fit_together_is_refused(tmp_path, arrays, message):
    write_npz(tmp_path / "data.npz", molecules(), e_unit="kcal/mol", r_unit="Ang")
    content = {**np.load(tmp_path / "data.npz"), **arrays}
    np.savez(tmp_path / "data.npz", **{name: values for name, values in content.items() if values is not None})
    with pytest.raises(InputError, match=message):
        read_structures(tmp_path / "data.npz")


def test_truncated_archives_are_named(tmp_path):
    write_npz(tmp_path / "data.npz", molecules(), e_unit="kcal/mol", r_unit="Ang")
    write_hdf5(tmp_path / "data.h5", crystals())
    for name in ("data.npz", "data.h5"):
        truncated(tmp_path / name)
        with pytest.raises(InputError, match=rf"{name}: cannot be read .* truncated, damaged"):
            read_structures(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda group: group["forces"].attrs.pop("units"), r"all/MgO, forces: its unit .*'forces_units'\] = 'eV/Å'"),
        (lambda group: group["energies"].attrs.update(units="volt"), r"energies: 'volt' is not a unit of energy"),
        (lambda group: group.pop("species"), r"group all/MgO: no species or atomic_numbers beside 'coordinates'"),
        (lambda group: group.pop("coordinates"), r"data\.h5: no group holds 'coordinates'"),
        (lambda group: group.move("forces", "push"), r"all/MgO, frame 0: no 'forces'"),
    ],
)
def test_hdf5_that_lacks_something_is_refused(tmp_path, change, message):
    write_hdf5(tmp_path / "data.h5", crystals())
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        change(file["all/MgO"])
    with pytest.raises(InputError, match=message):
        read_structures(tmp_path / "data.h5", energy=True, forces=True)


@pytest.mark.parametrize(("name", "content"), [("data.h5", b"text"), ("data.npz", b"text"), ("data.db", b"text")])
def test_files_that_are_not_what_their_name_says(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*: cannot be read"):
        read_structures(tmp_path / name)
