"""The uncertainty: exact references, what it must obey, and that calibration finds the law that errors follow."""

import copy

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation
from torch.nn import functional

import sciml_zoo as sz
from sciml_zoo.cli import main
from sciml_zoo.errors import InputError
from sciml_zoo.potentials import AtomicUncertainty, ZooCalculator, calibrate_uncertainty, to_graph
from sciml_zoo.potentials.potential import Potential
from tests.potentials.cases import ELEMENTS, inputs, predict, random_molecule, random_potential


def molecules(seed: int, n: int, amplitude: float = 0.1) -> list[Atoms]:
    """Water, formaldehyde and methane, their atoms displaced at random (Å)."""
    rng = np.random.default_rng(seed)
    structures = []
    for index in range(n):
        atoms = molecule(("H2O", "H2CO", "CH4")[index % 3])
        atoms.positions += amplitude * rng.normal(size=atoms.positions.shape)
        structures.append(atoms)
    return structures


def small_potential(dtype: torch.dtype) -> Potential:
    """A potential with random weights whose features are of order one on these molecules."""
    model = random_potential("gto_potential", dtype)
    model.calibrate(**inputs(molecules(20, 30), model.cutoff))
    return model


def labelled(
    model: Potential, structures: list[Atoms], rng: np.random.Generator, truth: Potential | None = None
) -> list[Atoms]:
    """Structures labelled with predictions and Gaussian errors, of one size or as another model expects."""
    output = predict(model, structures)
    forces, energies = output["forces"].double().numpy(), output["energy"].numpy()
    sigma = np.full(len(forces), 0.05) if truth is None else uncertainties(truth, structures).numpy()
    sigma_energy = np.full(len(energies), 0.01) if truth is None else energy_uncertainties(truth, structures).numpy()
    forces += sigma[:, None] * rng.normal(size=forces.shape)
    energies += sigma_energy * rng.normal(size=energies.shape)
    copies = []
    for atoms, energy, own in zip(structures, energies, forces_of_each(forces, structures), strict=True):
        one = atoms.copy()
        one.calc = SinglePointCalculator(one, energy=energy, forces=own)
        copies.append(one)
    return copies


def forces_of_each(forces: np.ndarray, structures: list[Atoms]) -> list[np.ndarray]:
    """The rows of each structure."""
    return np.split(forces, np.cumsum([len(atoms) for atoms in structures])[:-1])


def graphs(model, structures: list[Atoms], labels: bool = False) -> list:
    """Their graphs."""
    return [to_graph(atoms, model.cutoff, labels=labels) for atoms in structures]


def uncertainties(model, structures: list[Atoms]) -> torch.Tensor:
    """The uncertainties of all atoms of some structures."""
    batch = inputs(structures, model.cutoff)
    features = model(**batch, features=True)["features"]
    places = {name: batch[name] for name in ("pos", "edge_index", "edge_shift")}
    return model.uncertainty(features, model.species_of[batch["z"]], **places)


def energy_uncertainties(model: Potential, structures: list[Atoms]) -> torch.Tensor:
    """The uncertainties of the energies of some structures."""
    batch = inputs(structures, model.cutoff)
    return model.uncertainty.energy(model(**batch, features=True)["features"], batch["batch"], len(structures))


@pytest.fixture(scope="module")
def train() -> list[Atoms]:
    return molecules(0, 60)


@pytest.fixture(scope="module")
def model(train):
    model = small_potential(torch.float64)
    validation = labelled(model, molecules(1, 40), np.random.default_rng(0))
    calibrate_uncertainty(model, graphs(model, train), graphs(model, validation, labels=True))
    return model


def dense(model, train: list[Atoms], structures: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """The uncertainty of forces and the distance of energies, written down as in the books."""
    features, where = [], []
    for group in (train, structures):
        batch = inputs(group, model.cutoff)
        seen = model(**batch, features=True)["features"].numpy()
        features.append(np.column_stack([seen, np.ones(len(seen))]))
        where.append({name: value.numpy() for name, value in batch.items()})
    u = np.empty(len(features[1]))
    for z in ELEMENTS:
        own = features[0][where[0]["z"] == z]
        gram = own.T @ own + np.mean(own**2) * np.eye(own.shape[1])
        other = features[1][where[1]["z"] == z]
        u[where[1]["z"] == z] = np.sqrt(np.sum(other * np.linalg.solve(gram, other.T).T, axis=1))
    scales = dict(zip(ELEMENTS, model.uncertainty.scales.tolist(), strict=True))
    sigma, start = [], 0
    for atoms in structures:
        near = np.exp(-(atoms.get_all_distances() ** 2) / (2 * 1.2**2)) * (atoms.get_all_distances() < model.cutoff)
        np.fill_diagonal(near, 0.05)
        own = u[start : start + len(atoms)]
        distance = np.sqrt(own * (near @ own) / near.sum(axis=1))
        a = np.array([scales[z] for z in atoms.numbers])
        beta, limit = float(model.uncertainty.exponent), model.uncertainty.threshold
        power = a * distance**beta
        sigma.append(np.where(power > limit, limit * (power / limit) ** (1 / beta), power))
        start += len(atoms)
    sums = [
        np.array([f[w["batch"] == g].sum(axis=0) for g in range(w["batch"].max() + 1)])
        for f, w in zip(features, where, strict=True)
    ]
    gram = sums[0].T @ sums[0]
    gram += 0.01 * np.trace(gram) / len(gram) / len(train) * np.eye(len(gram))
    return np.concatenate(sigma), np.sqrt(np.sum(sums[1] * np.linalg.solve(gram, sums[1].T).T, axis=1))


def test_it_is_the_dense_formula(model, train):
    structures = molecules(2, 10)
    sigma, energy = dense(model, train, structures)
    np.testing.assert_allclose(uncertainties(model, structures).numpy(), sigma, rtol=1e-9)
    _, of_validation = dense(model, train, molecules(1, 40))
    energy /= of_validation.max()
    steeper = np.minimum(energy, 1) ** (float(model.uncertainty.exponent) - 1)
    expected = float(model.uncertainty.energy_scale) * energy * steeper
    np.testing.assert_allclose(energy_uncertainties(model, structures).numpy(), expected, rtol=1e-8)


def test_beyond_the_threshold_it_grows_as_the_distance(model, train):
    steep = copy.deepcopy(model)
    steep.uncertainty.exponent.fill_(1.7)
    structures = [*molecules(2, 6), *molecules(3, 6, amplitude=0.6)]
    steep.uncertainty.limit.fill_(float(uncertainties(steep, structures).median()))
    sigma, _ = dense(steep, train, structures)
    np.testing.assert_allclose(uncertainties(steep, structures).numpy(), sigma, rtol=1e-9)
    batch = inputs(structures, model.cutoff)
    places = [batch[name] for name in ("pos", "edge_index", "edge_shift")]
    species = model.species_of[batch["z"]]
    features = model(**batch, features=True)["features"]
    distance = steep.uncertainty.distances(features, species, *places)
    far = (sigma > steep.uncertainty.threshold) & (species.numpy() == 0)
    slope = np.polyfit(np.log(distance.numpy()[far]), np.log(sigma[far]), 1)[0]
    assert slope == pytest.approx(1.0, abs=1e-6)


def test_the_calculator_returns_it(model):
    (atoms,) = molecules(2, 1)
    expected = uncertainties(model, [atoms]).numpy()
    atoms.calc = ZooCalculator(model)
    atoms.get_forces()
    np.testing.assert_allclose(atoms.calc.results["force_uncertainty"], expected, rtol=1e-9)


def test_float32_agrees_with_float64(model):
    structures = molecules(3, 10)
    single = copy.deepcopy(model).float()
    torch.testing.assert_close(
        uncertainties(single, structures).double(), uncertainties(model, structures), rtol=2e-3, atol=0
    )


def test_training_atoms_use_up_the_degrees_of_freedom(model, train):
    batch = inputs(train, model.cutoff)
    species, features = model.species_of[batch["z"]], model(**batch, features=True)["features"]
    lengths = model.uncertainty.whitened(features, species).square().sum(dim=1)
    for index, factor in enumerate(model.uncertainty.factor):
        own = species == index
        ridge = functional.pad(features[own], (0, 1), value=1.0).square().mean()
        # tr (G − ς² I) G⁻¹, with tr G⁻¹ the squared norm of its factor
        freedom = factor.shape[1] - ridge * factor.square().sum()
        torch.testing.assert_close(lengths[own].sum(), freedom, rtol=1e-8, atol=0)


def test_rotations_permutations_and_company_do_not_matter(model):
    rng = np.random.default_rng(4)
    for atoms in molecules(5, 10):
        before = uncertainties(model, [atoms]).numpy()
        order = rng.permutation(len(atoms))
        moved = Atoms(atoms.numbers[order], atoms.positions[order] @ Rotation.random(rng=rng).as_matrix() + 3.0)
        together = uncertainties(model, [random_molecule(rng), moved]).numpy()[-len(atoms) :]
        np.testing.assert_allclose(together, before[order], rtol=1e-8)


def test_atoms_of_a_supercell_are_as_uncertain_as_those_of_the_cell(model):
    cell = bulk("C", "diamond", a=3.6)
    cell.rattle(0.05, seed=0)
    one, many = uncertainties(model, [cell]), uncertainties(model, [cell * (2, 2, 1)])
    torch.testing.assert_close(many, one.repeat(4), rtol=1e-8, atol=0)


def test_an_atom_alone_is_as_far_as_its_own_features(model):
    batch = inputs([Atoms("O")], model.cutoff)
    features, species = model(**batch, features=True)["features"], torch.tensor([2])
    places = [batch[name] for name in ("pos", "edge_index", "edge_shift")]
    own = model.uncertainty.whitened(features, species).norm(dim=1)
    torch.testing.assert_close(model.uncertainty.distances(features, species, *places), own)


def test_an_atom_that_crosses_the_cutoff_hardly_matters(model):
    chain = Atoms("OCH", positions=[[0, 0, 0], [1.2, 0, 0], [0, 0, 0]])
    values = []
    for distance in (model.cutoff - 1e-3, model.cutoff + 1e-3):
        chain.positions[2, 0] = distance
        values.append(uncertainties(model, [chain]).numpy())
    np.testing.assert_allclose(values[0], values[1], rtol=0.02)


def test_what_was_learned_is_less_uncertain(model, train):
    stranger = Atoms("OOHC", positions=[[0, 0, 0], [0.85, 0, 0], [0, 0.85, 0], [0, 0, 0.85]])
    validation = labelled(model, molecules(1, 40), np.random.default_rng(0))
    informed, plain = copy.deepcopy(model), copy.deepcopy(model)
    calibrate_uncertainty(informed, graphs(model, [*train, stranger]), graphs(model, validation, labels=True))
    for other in (informed, plain):  # of equal scales, to compare what the features say
        other.uncertainty.scales.fill_(1.0)
        other.uncertainty.exponent.fill_(1.0)
    assert (uncertainties(informed, [stranger]) < 0.9 * uncertainties(plain, [stranger])).all()


@pytest.mark.parametrize("exponent", [1.3, 2.0])
def test_calibration_finds_the_law_of_the_errors(model, train, exponent):
    truth = copy.deepcopy(model)
    truth.uncertainty.exponent.fill_(exponent)
    truth.uncertainty.scales.copy_(torch.tensor([0.05, 0.2, 0.1]))
    truth.uncertainty.energy_scale.fill_(0.3)
    validation = labelled(model, molecules(7, 240), np.random.default_rng(6), truth)
    found = copy.deepcopy(model)
    fit = calibrate_uncertainty(found, graphs(model, train), graphs(model, validation, labels=True))
    # 240 to 560 atoms of an element, three components: the relative error of a scale is about 1/√(2 · 3 · 240) = 3 %,
    # and that of the energy's 1/√(2 · 240).
    assert fit.exponent == pytest.approx(exponent, abs=0.15)
    assert list(fit.scales) == ["H", "C", "O"]
    fresh = molecules(8, 60)
    ratio = uncertainties(found, fresh) / uncertainties(truth, fresh)
    assert float(ratio.log().square().mean().sqrt()) < 0.15
    of_energies = energy_uncertainties(found, fresh) / energy_uncertainties(truth, fresh)
    assert float(of_energies.median()) == pytest.approx(1.0, abs=0.15)
    assert fit.force_spearman > 0.4


def test_no_validation_atom_is_beyond_the_threshold_and_one_in_n_structures_is(model):
    water = [molecules(seed, 1)[0] for seed in range(360)]
    model = copy.deepcopy(model)
    validation = labelled(model, water[60:100], np.random.default_rng(0))
    calibrate_uncertainty(model, graphs(model, water[:60]), graphs(model, validation, labels=True))
    largest = float(uncertainties(model, validation).max())
    assert largest < model.uncertainty.threshold < 1.002 * largest
    fresh = water[100:]
    beyond = uncertainties(model, fresh) > model.uncertainty.threshold
    frames = {int(frame) for frame in inputs(fresh, model.cutoff)["batch"][beyond]}
    # The share of new structures beyond is Beta(1, 40) distributed over choices of the validation: < 0.11 in 99 %.
    assert len(frames) < 0.11 * len(fresh)
    strangers = [molecules(seed, 1, amplitude=0.6)[0] for seed in range(400, 420)]
    assert sum(bool(uncertainties(model, [one]).max() > model.uncertainty.threshold) for one in strangers) > 10


def test_an_element_without_validation_atoms_has_the_scale_of_the_others(model):
    structures = [atoms for atoms in molecules(12, 60) if 8 not in atoms.numbers]
    validation = labelled(model, structures, np.random.default_rng(2))
    other = copy.deepcopy(model)
    fit = calibrate_uncertainty(other, graphs(model, molecules(0, 60)), graphs(model, validation, labels=True))
    assert min(fit.scales["H"], fit.scales["C"]) < fit.scales["O"] < max(fit.scales["H"], fit.scales["C"])


def test_an_element_without_training_atoms_is_far_from_all(model):
    known = [atoms for atoms in molecules(12, 60) if 8 not in atoms.numbers]
    validation = labelled(model, known[:5], np.random.default_rng(2))
    other = copy.deepcopy(model)
    calibrate_uncertainty(other, graphs(model, known[5:]), graphs(model, validation, labels=True))
    assert float(uncertainties(other, molecules(13, 1)).max()) > other.uncertainty.threshold


def test_calibration_leaves_the_potential_as_it_is(train):
    model = small_potential(torch.float32).train()
    before = {name: value.clone() for name, value in model.state_dict().items() if "uncertainty" not in name}
    validation = labelled(model.eval(), molecules(1, 5), np.random.default_rng(0))
    calls = []
    calibrate_uncertainty(
        model.train(), graphs(model, train), graphs(model, validation, True), on_progress=lambda *n: calls.append(n)
    )
    assert model.training
    assert calls[-1] == (65, 65)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_what_is_not_calibrated_says_so():
    model = random_potential("gto_potential", torch.float32)
    assert not model.uncertainty.calibrated
    with pytest.raises(InputError, match="has not been calibrated: run `sciml-zoo potentials calibrate`"):
        uncertainties(model, [Atoms("OH", positions=[[0, 0, 0], [1, 0, 0]])])
    with pytest.raises(InputError, match="has not been calibrated"):
        AtomicUncertainty(3, 1).energy(torch.ones(2, 3), torch.zeros(2, dtype=torch.long), 1)


def test_bad_data_are_refused_and_change_nothing(model, train):
    other = copy.deepcopy(model)
    before = {name: value.clone() for name, value in other.uncertainty.state_dict().items()}
    some = graphs(model, train[:2])
    with pytest.raises(InputError, match="no training structures"):
        calibrate_uncertainty(other, [], some)
    with pytest.raises(InputError, match="no validation structures"):
        calibrate_uncertainty(other, some, [])
    with pytest.raises(InputError, match="validation structure 0 has no energy and forces"):
        calibrate_uncertainty(other, some, some)
    assert all(torch.equal(value, before[name]) for name, value in other.uncertainty.state_dict().items())


@pytest.fixture(scope="module")
def files(tmp_path_factory, train):
    """A stored potential without uncertainty, its training data, and validation data with labels."""
    folder = tmp_path_factory.mktemp("files")
    model = small_potential(torch.float32)
    sz.save_model(model, folder / "model", metadata={"license": "MIT"})
    ase.io.write(folder / "train.xyz", train, format="extxyz")
    validation = labelled(model, molecules(1, 10), np.random.default_rng(0))
    ase.io.write(folder / "validation.xyz", validation, format="extxyz")
    return folder


def test_the_command_saves_a_potential_that_knows_its_uncertainty(files, capsys):
    arguments = ["--train", str(files / "train.xyz"), "--validation", str(files / "validation.xyz")]
    arguments += ["-o", str(files / "out"), "--device", "cpu", "--json", str(files / "fit.json")]
    assert main(["potentials", "calibrate", f"local-dir:{files / 'model'}", *arguments]) == 0
    assert "extrapolation beyond" in capsys.readouterr().out
    plain, found = sz.load_model(f"local-dir:{files / 'model'}"), sz.load_model(f"local-dir:{files / 'out'}")
    assert found.uncertainty.calibrated
    structures = molecules(2, 5)
    assert torch.equal(predict(plain, structures)["forces"], predict(found, structures)["forces"])
    train, validation = (ase.io.read(files / f"{name}.xyz", index=":") for name in ("train", "validation"))
    calibrate_uncertainty(plain, graphs(plain, train), graphs(plain, validation, labels=True))
    torch.testing.assert_close(uncertainties(plain, structures), uncertainties(found, structures))
    config = (files / "out" / "config.json").read_text()
    assert '"license": "MIT"' in config
    assert '"threshold"' in config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--validation": "train.xyz"}, "the file of --train"),
        ({"--train": "missing.xyz"}, "no such file"),
        ({"--forces-key": "mine"}, "no 'mine'"),
    ],
)
def test_the_command_refuses(files, capsys, changes, words):
    options = {"--train": "train.xyz", "--validation": "validation.xyz", "--out": "refused", **changes}
    given = [
        word
        for name, value in options.items()
        for word in (name, str(files / value) if name != "--forces-key" else value)
    ]
    assert main(["potentials", "calibrate", f"local-dir:{files / 'model'}", "--device", "cpu", *given]) == 2
    assert words in capsys.readouterr().err
    assert not (files / "refused").exists()
