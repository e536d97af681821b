"""The choice of structures to label: exactly the greedy D-optimal one, diverse, and honest about what it refuses."""

import copy
import json

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.errors import InputError
from sciml_zoo.potentials import calibrate_uncertainty, select_structures, to_graph
from sciml_zoo.potentials.data import collate, model_inputs
from sciml_zoo.potentials.potential import Potential
from tests.potentials.cases import inputs, predict, random_potential


def structures_of(seed: int, n: int, amplitude: float = 0.1) -> list[Atoms]:
    """Water, formaldehyde and methane, their atoms displaced at random (Å)."""
    rng = np.random.default_rng(seed)
    structures = []
    for index in range(n):
        atoms = molecule(("H2O", "H2CO", "CH4")[index % 3])
        atoms.positions += amplitude * rng.normal(size=atoms.positions.shape)
        structures.append(atoms)
    return structures


def calibrated(dtype: torch.dtype, train: list[Atoms]) -> Potential:
    """A potential with random weights that has seen these structures."""
    model = random_potential("gto_potential", dtype)
    model.calibrate(**inputs(structures_of(20, 30), model.cutoff))
    graphs = [to_graph(atoms, model.cutoff) for atoms in structures_of(1, 12)]
    output = model(**model_inputs(collate(graphs)))
    errors = 0.05 * np.random.default_rng(0).normal(size=output["forces"].shape)
    forces = (output["forces"] + torch.from_numpy(errors).to(dtype)).split([graph.num_nodes for graph in graphs])
    for graph, energy, own in zip(graphs, output["energy"], forces, strict=True):
        graph.energy, graph.forces = energy[None], own
    calibrate_uncertainty(model, [to_graph(atoms, model.cutoff) for atoms in train], graphs)
    return model


@pytest.fixture(scope="module")
def model() -> Potential:
    return calibrated(torch.float64, structures_of(0, 30))


@pytest.fixture(scope="module")
def pool() -> list[Atoms]:
    return [*structures_of(2, 9, 0.05), *structures_of(3, 9, 0.6)]


def rows(model: Potential, atoms: Atoms) -> np.ndarray:
    """Whitened features of a structure, those of each element in columns of their own."""
    batch = inputs([atoms], model.cutoff)
    species = model.species_of[batch["z"]]
    whitened = model.uncertainty.whitened(model(**batch, features=True)["features"], species)
    return (torch.nn.functional.one_hot(species, 3)[:, :, None] * whitened[:, None, :]).flatten(1).numpy()


def information(features: list[np.ndarray]) -> float:
    """What structures say together: half the logarithm of the ratio of determinants."""
    stacked = np.concatenate([np.zeros((1, features[0].shape[1])), *features])
    return 0.5 * np.linalg.slogdet(np.eye(stacked.shape[1]) + stacked.T @ stacked)[1]


def test_the_choice_is_that_of_trying_all(model, pool):
    features = [rows(model, atoms) for atoms in pool]
    known: list[np.ndarray] = [np.zeros_like(features[0])]
    frames, gains = [], []
    for _ in range(6):
        gain = {
            frame: information([*known, own]) - information(known)
            for frame, own in enumerate(features)
            if frame not in frames
        }
        best = max(gain, key=gain.__getitem__)
        frames.append(best)
        gains.append(gain[best])
        known.append(features[best])
    found = select_structures(model, pool, 6)
    assert found.frames == frames
    np.testing.assert_allclose(found.gains, gains, rtol=1e-8)


def test_gains_fall_and_add_up_whatever_the_order(model, pool):
    found = select_structures(model, pool, len(pool))
    assert sorted(found.frames) == list(range(len(pool)))
    assert np.all(np.diff(found.gains) <= 1e-12)
    assert sum(found.gains) == pytest.approx(information([rows(model, atoms) for atoms in pool]), rel=1e-9)


def test_copies_of_a_structure_say_less_and_less_and_others_come_first(model):
    strange, other = structures_of(4, 2, 0.6)
    copies = select_structures(model, [strange] * 3, 3)
    assert sorted(copies.frames) == [0, 1, 2]
    assert copies.gains[0] > 1.5 * copies.gains[1] > 1.5 * copies.gains[2]
    assert 2 in select_structures(model, [strange, strange, other], 2).frames


def test_what_was_chosen_and_added_to_the_training_data_is_known(model, pool):
    chosen = select_structures(model, pool, 3)
    after = calibrated(torch.float64, [*structures_of(0, 30), *(pool[frame] for frame in chosen.frames)])
    again = select_structures(after, pool, len(pool))
    place = dict(zip(again.frames, again.gains, strict=True))
    assert all(place[frame] < gain for frame, gain in zip(chosen.frames, chosen.gains, strict=True))


def test_a_structure_with_more_atoms_than_features_has_the_same_gain_as_its_rows(model):
    crystal = bulk("C", "diamond", a=3.6, cubic=True) * (2, 2, 1)
    crystal.rattle(0.2, seed=0)
    atoms = crystal * (2, 1, 1)
    assert len(atoms) > model.uncertainty.factor.shape[1]
    found = select_structures(model, [atoms], 1)
    assert found.gains[0] == pytest.approx(information([rows(model, atoms)]), rel=1e-6)


def test_uncertainties_are_those_of_the_model_and_say_which_structures_extrapolate(model, pool):
    model = copy.deepcopy(model)
    model.uncertainty.limit.fill_(0.05)  # in between
    found = select_structures(model, pool, 2)
    batch = inputs(pool, model.cutoff)
    sigma = model.uncertainty(
        model(**batch, features=True)["features"],
        model.species_of[batch["z"]],
        batch["pos"],
        batch["edge_index"],
        batch["edge_shift"],
    ).numpy()
    np.testing.assert_allclose(np.concatenate(found.uncertainties), sigma, rtol=1e-9)
    assert [len(own) for own in found.uncertainties] == [len(atoms) for atoms in pool]
    largest = np.array([own.max() for own in found.uncertainties])
    assert found.threshold == model.uncertainty.threshold
    assert np.array_equal(found.extrapolated, largest > found.threshold)
    assert 0 < found.extrapolated.sum() < len(pool)


def test_structures_that_have_fallen_apart_can_be_left_out(model, pool):
    everything = select_structures(model, pool, 4)
    limit = float(np.median([own.max() for own in everything.uncertainties]))
    found = select_structures(model, pool, 4, max_uncertainty=limit)
    assert all(found.uncertainties[frame].max() <= limit for frame in found.frames)
    assert any(everything.uncertainties[frame].max() > limit for frame in everything.frames)
    with pytest.raises(InputError, match="18 structures cannot be chosen of 9 with no atom beyond"):
        select_structures(model, pool, 18, max_uncertainty=limit)


def test_bad_requests_are_refused(model, pool):
    with pytest.raises(InputError, match="0 structures cannot be chosen"):
        select_structures(model, pool, 0)
    with pytest.raises(InputError, match="19 structures cannot be chosen of 18; ask for fewer"):
        select_structures(model, pool, 19)
    with pytest.raises(InputError, match="frame 1, atom 0: the model does not know N"):
        select_structures(model, [pool[0], molecule("N2")], 1)
    fresh = random_potential("gto_potential", torch.float32)
    with pytest.raises(InputError, match="has not been calibrated"):
        select_structures(fresh, pool, 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory, pool):
    """A stored potential and a pool."""
    folder = tmp_path_factory.mktemp("files")
    model = calibrated(torch.float32, structures_of(0, 30))
    sz.save_model(model, folder / "model")
    named = copy.deepcopy(pool)
    for index, atoms in enumerate(named):
        atoms.info["name"] = f"n{index}"
    ase.io.write(folder / "pool.xyz", named, format="extxyz")
    return folder


def test_the_command_writes_the_choice(files, capsys):
    arguments = ["--model", f"local-dir:{files / 'model'}", "-n", "3", "--out", str(files / "chosen.extxyz")]
    arguments += ["--device", "cpu", "--json", str(files / "chosen.json")]
    assert main(["potentials", "select", str(files / "pool.xyz"), *arguments]) == 0
    model = sz.load_model(f"local-dir:{files / 'model'}")
    expected = select_structures(model, ase.io.read(files / "pool.xyz", index=":"), 3)
    written = ase.io.read(files / "chosen.extxyz", index=":")
    assert [atoms.info["pool_frame"] for atoms in written] == expected.frames
    assert [atoms.info["name"] for atoms in written] == [f"n{frame}" for frame in expected.frames]
    for atoms, frame in zip(written, expected.frames, strict=True):
        np.testing.assert_allclose(
            atoms.arrays["force_uncertainty"], expected.uncertainties[frame], rtol=1e-4, atol=1e-8
        )
    result = json.loads((files / "chosen.json").read_text())
    assert [row["frame"] for row in result["chosen"]] == expected.frames
    assert result["extrapolated"] == expected.extrapolated.sum()
    worst = expected.uncertainties[expected.frames[0]]
    assert result["chosen"][0]["atom"] == worst.argmax()
    assert f"{expected.extrapolated.sum()} of 18 structures extrapolate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"-n": "40"}, "40 structures cannot be chosen of 18"),
        ({"--out": "pool.xyz"}, "would overwrite the pool"),
        ({"--max-uncertainty": "1e-9"}, "with no atom beyond 1e-09 eV/Å"),
    ],
)
def test_the_command_refuses(files, capsys, changes, words):
    before = (files / "pool.xyz").read_bytes()
    options = {"-n": "3", "--out": "refused.extxyz", **changes}
    options["--out"] = str(files / options["--out"])
    given = [word for option in options.items() for word in option]
    model = f"local-dir:{files / 'model'}"
    assert main(["potentials", "select", str(files / "pool.xyz"), "--model", model, "--device", "cpu", *given]) == 2
    assert words in capsys.readouterr().err
    assert not (files / "refused.extxyz").exists()
    assert (files / "pool.xyz").read_bytes() == before


def test_the_command_refuses_a_potential_without_uncertainty(tmp_path, pool, capsys):
    sz.save_model(random_potential("gto_potential", torch.float32), tmp_path / "model")
    ase.io.write(tmp_path / "pool.xyz", pool, format="extxyz")
    arguments = ["--model", f"local-dir:{tmp_path / 'model'}", "--out", str(tmp_path / "chosen.extxyz")]
    assert main(["potentials", "select", str(tmp_path / "pool.xyz"), *arguments]) == 2
    assert "sciml-zoo potentials calibrate" in capsys.readouterr().err


def test_predictions_do_not_depend_on_the_selection(model, pool):
    before = predict(model, pool)
    select_structures(model, pool, 2)
    assert torch.equal(predict(model, pool)["forces"], before["forces"])
