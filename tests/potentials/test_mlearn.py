"""What the stresses of the mlearn data sets mean: sign, unit and order, found out from the data themselves."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms

from sciml_zoo.datasets import referenced_file
from sciml_zoo.potentials.data import energy_of, forces_of, neighbours, read_structures, stress_of

pytestmark = pytest.mark.data


def group(element: str, name: str) -> list[Atoms]:
    """Returns the structures of one kind."""
    structures = read_structures(referenced_file(f"dataset:mlearn/{element}/training.json"), energy=True, forces=True)
    return [atoms for atoms in structures if atoms.info["group"] == name]


def strained(element: str) -> dict[str, list[tuple[float, Atoms]]]:
    """Returns the strained cells of every mode, by strain."""
    modes = defaultdict(list)
    for atoms in group(element, "Elastic"):
        _, _, text = atoms.info["description"].partition("mode ")
        if text:
            mode, _, strain = text.partition(", strain ")
            modes[mode].append((float(strain), atoms))
    return {mode: sorted(pairs, key=lambda pair: pair[0]) for mode, pairs in modes.items()}


def test_stress_is_the_derivative_of_the_energy():
    found, expected = [], []
    for pairs in strained("Si").values():
        for (_, one), (_, other) in pairwise(pairs):
            deformation = np.linalg.solve(one.cell.array, other.cell.array)
            strain = 0.5 * (deformation + deformation.T) - np.eye(3)
            if abs(strain).max() < 0.03:
                stress = 0.5 * (stress_of(one, "") + stress_of(other, ""))
                volume = 0.5 * (one.get_volume() + other.get_volume())
                found.append(volume * np.sum(stress * strain))
                expected.append(energy_of(other, "") - energy_of(one, ""))
    assert len(found) > 20
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("element", ["Si", "Mo"])
def test_each_shear_goes_with_its_own_component(element):
    sheared = 0
    for pairs in strained(element).values():
        for _, atoms in pairs:
            cell = atoms.cell.array / atoms.get_volume() ** (1 / 3)
            shear = (cell + cell.T)[[1, 0, 0], [2, 2, 1]]
            if np.abs(shear).max() > 0.01:
                stress = stress_of(atoms, "")[[1, 0, 0], [2, 2, 1]]
                component = np.abs(shear).argmax()
                assert np.abs(stress).argmax() == component
                assert np.sign(stress[component]) == np.sign(shear[component])
                sheared += 1
    assert sheared > 20


@pytest.mark.parametrize(("element", "cutoff"), [("Si", 5.5), ("Mo", 6.0), ("Li", 7.0)])
def test_shear_of_hot_crystals_is_that_of_a_potential_fitted_to_the_forces(element, cutoff):
    structures = group(element, "AIMD-NVT")[::4]
    designs, targets, stresses, shears = [], [], [], []
    for atoms in structures:
        forces, stress = linear_potential(atoms, cutoff)
        designs.append(forces.reshape(-1, forces.shape[-1]))
        targets.append(forces_of(atoms, "").ravel())
        stresses.append(stress[[1, 0, 0], [2, 2, 1]])
        shears.append(stress_of(atoms, "")[[1, 0, 0], [2, 2, 1]])
    design = np.concatenate(designs)
    scale = np.sqrt(np.mean(design**2, axis=0))
    coefficients = np.linalg.lstsq(design / scale, np.concatenate(targets), rcond=1e-6)[0] / scale
    predicted, reference = np.array(stresses) @ coefficients, np.array(shears)
    correlation = np.corrcoef(predicted.T, reference.T)[:3, 3:]
    assert (correlation.diagonal() > 0.8).all(), correlation
    assert (abs(correlation - np.diag(correlation.diagonal())) < 0.5).all(), correlation


def linear_potential(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Forces [N, 3, K] and stress [3, 3, K] of the energies Σ_i ρ_ik and Σ_i ρ_ik², ρ_ik = Σ_j φ_k(r_ij)."""
    centre, neighbour, vectors = neighbours(atoms, cutoff, "ijD")
    r = np.linalg.norm(vectors, axis=1)
    centres, width = np.linspace(1.5, cutoff - 0.3, 16, retstep=True)
    gauss = np.exp(-((r[:, None] - centres) ** 2) / (2 * width**2))
    switch = 0.5 * (1 + np.cos(np.pi * r / cutoff))[:, None]
    slope = -0.5 * np.pi / cutoff * np.sin(np.pi * r / cutoff)[:, None]
    derivative = gauss * slope - gauss * switch * (r[:, None] - centres) / width**2
    density = np.zeros((len(atoms), len(centres)))
    np.add.at(density, centre, gauss * switch)
    of_pair = np.concatenate([derivative, 2 * density[centre] * derivative], axis=1)
    pull = of_pair[:, None, :] * (vectors / r[:, None])[:, :, None]
    forces = np.zeros((len(atoms), 3, of_pair.shape[1]))
    np.add.at(forces, centre, pull)
    np.add.at(forces, neighbour, -pull)
    return forces, np.einsum("eak,eb->abk", pull, vectors) / atoms.get_volume()
