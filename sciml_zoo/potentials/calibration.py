"""Fits a potential's uncertainty: Gram matrices of its training data, scales from the errors of its validation data."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from scipy.stats import linregress, spearmanr
from torch import Tensor
from torch_geometric.data import Batch, Data

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.batches import batches
from sciml_zoo.potentials.data import model_inputs
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.uncertainty import AtomicUncertainty, sums_of_structures, with_constant

__all__ = ["UncertaintyFit", "calibrate_uncertainty", "fit_scales"]

# ς², in units of what an average atom (or structure) adds to each diagonal element of a Gram matrix. With less, the
# slightest step in a direction that no training atom took would be a large one.
_RIDGE, _STRUCTURE_RIDGE = 1.0, 0.01
# β before looking: far from the data, the error of a smooth function grows with the square of the distance. Validation
# may show less (1.0 to 1.6 in crystals and liquids), but of few structures, all alike, it shows little.
_EXPONENT, _EXPONENT_SPREAD = 2.0, 0.3
_LOWEST_EXPONENT = 1.0
# Structures with less than this part of the average error, such as perfect crystals, have it small by symmetry.
_SYMMETRIC = 0.1
# So that the validation itself does not exceed its largest value.
_ROUNDING = 1.001
# Of distances and errors, so that they have a logarithm and a ratio.
_SMALLEST = 1e-9


@dataclass(frozen=True)
class UncertaintyFit:
    """What :func:`calibrate_uncertainty` found.

    Attributes:
        n_training: structures whose features make the Gram matrices.
        n_validation: structures whose errors set the scales.
        exponent: β.
        scales: a of every element, by symbol, eV/Å.
        threshold: eV/Å, the largest uncertainty of any validation atom.
        force_ratio: root-mean-square error of the validation forces, over that expected.
        force_spearman: rank correlation of the validation atoms' force errors with their uncertainties; 0 where either
            is constant.
        energy_ratio: root-mean-square error of the validation energies, over that expected.
    """

    n_training: int
    n_validation: int
    exponent: float
    scales: dict[str, float]
    threshold: float
    force_ratio: float
    force_spearman: float
    energy_ratio: float

    def as_dict(self) -> dict[str, Any]:
        """Returns the attributes, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Errors:
    """Of validation atoms distance, species, structure and mean squared force error; errors of energies."""

    distance: np.ndarray
    species: np.ndarray
    frame: np.ndarray
    square: np.ndarray
    energy: np.ndarray
    energy_distance: np.ndarray


def calibrate_uncertainty(
    model: Potential,
    train: Sequence[Data],
    validation: Sequence[Data],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> UncertaintyFit:
    """Fits ``model.uncertainty`` in place; the potential itself does not change.

    The scales are those of maximum likelihood if the components of the validation forces' errors are Gaussian. An
    element with few validation atoms leans on the others.

    Args:
        model: a trained potential.
        train: the graphs that it was trained on (see :func:`to_graph`); their labels are not used.
        validation: graphs with ``energy`` and ``forces`` that it was not trained on.
        on_progress: called with the number of structures done, and in total.

    Returns:
        The fitted values, and how well they describe the validation data.

    Raises:
        InputError: no training or no validation structures, or validation structures without labels.
    """
    if not train or not validation:
        missing = "validation" if train else "training"
        raise InputError(f"uncertainty: no {missing} structures; give at least one (better 50) of each")
    for index, graph in enumerate(validation):
        if "forces" not in graph or "energy" not in graph or not torch.isfinite(graph.forces).all():
            raise InputError(f"uncertainty: validation structure {index} has no energy and forces to compare with")

    def counted(graphs: Sequence[Data], done: int) -> Iterator[Batch]:
        for batch in batches(graphs, model.shifts.device):
            yield batch
            done += batch.num_graphs
            if on_progress is not None:
                on_progress(done, len(train) + len(validation))

    was_training = model.training
    model.eval()
    uncertainty = copy.deepcopy(model.uncertainty)
    try:
        _fit_grams(uncertainty, model, counted(train, 0))
        errors = _observe(uncertainty, model, counted(validation, len(train)))
    finally:
        model.train(was_training)
    fit = _fit_scales(uncertainty, model.elements, errors)
    model.uncertainty.load_state_dict(uncertainty.state_dict())
    return dataclasses.replace(fit, n_training=len(train), n_validation=len(validation))


def _fit_grams(uncertainty: AtomicUncertainty, model: Potential, data: Iterator[Batch]) -> None:
    n_species, n_features, _ = uncertainty.factor.shape
    options: dict[str, Any] = {"dtype": torch.float64, "device": uncertainty.factor.device}
    grams = torch.zeros(n_species, n_features, n_features, **options)
    counts = torch.zeros(n_species, **options)
    structures = torch.zeros(n_features, n_features, **options)
    n_structures = 0
    for batch in data:
        with torch.no_grad():
            features = model(**model_inputs(batch), features=True, forces=False)["features"]
        features = with_constant(features.double())
        species = model.species_of[batch.z]
        for index in species.unique().tolist():
            own = features[species == index]
            grams[index] += own.T @ own
            counts[index] += len(own)
        sums = sums_of_structures(features, batch.batch, batch.num_graphs)
        structures += sums.T @ sums
        n_structures += batch.num_graphs
    diagonals = grams.diagonal(dim1=1, dim2=2).mean(dim=1)
    sizes = torch.where(counts > 0, diagonals / counts.clamp(min=1), diagonals.sum() / counts.sum())
    for index, size in enumerate(sizes.tolist()):
        uncertainty.factor[index] = _inverse_factor(grams[index], _RIDGE * size)
    size = float(structures.diagonal().mean()) / n_structures
    uncertainty.structure_factor.copy_(_inverse_factor(structures, _STRUCTURE_RIDGE * size))
    for buffer in (uncertainty.scales, uncertainty.exponent, uncertainty.energy_scale):
        buffer.fill_(1.0)


def _inverse_factor(gram: Tensor, ridge: float) -> Tensor:
    """Returns C with C Cᵀ = (gram + ridge I)⁻¹."""
    values, vectors = torch.linalg.eigh(gram)
    return vectors / (values.clamp(min=0) + ridge).sqrt()


def _observe(uncertainty: AtomicUncertainty, model: Potential, data: Iterator[Batch]) -> _Errors:
    columns: tuple[list[Tensor], ...] = ([], [], [], [], [], [])
    n_frames = 0
    for batch in data:
        output = model(**model_inputs(batch), features=True)
        features, species = output["features"], model.species_of[batch.z]
        distance = uncertainty.distances(features, species, batch.pos, batch.edge_index, batch.edge_shift)
        values = (
            distance.double().clamp(min=_SMALLEST),
            species,
            batch.batch + n_frames,
            (output["forces"].double() - batch.forces.double()).square().mean(dim=1),
            (output["energy"] - batch.energy).abs(),
            uncertainty.energy(features, batch.batch, batch.num_graphs).double().clamp(min=_SMALLEST),
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        n_frames += batch.num_graphs
    return _Errors(*(torch.cat(column).cpu().numpy() for column in columns))


def _fit_scales(uncertainty: AtomicUncertainty, elements: Sequence[int], errors: _Errors) -> UncertaintyFit:
    exponent = _exponent(errors)
    powers = errors.distance**exponent
    scales = fit_scales(powers, errors.species, errors.square, len(elements))
    predicted = scales[errors.species] * powers
    farthest = float(errors.energy_distance.max())
    energy_powers = (errors.energy_distance / farthest) ** exponent
    energy_scale = float(np.sqrt(np.mean((errors.energy / energy_powers) ** 2)))
    uncertainty.exponent.fill_(exponent)
    uncertainty.scales.copy_(torch.from_numpy(scales))
    uncertainty.structure_factor.div_(farthest)
    uncertainty.energy_scale.fill_(energy_scale)
    uncertainty.limit.fill_(max(_ROUNDING * float(predicted.max()), _SMALLEST))
    constant = np.ptp(errors.square) == 0 or np.ptp(predicted) == 0
    return UncertaintyFit(
        n_training=0,
        n_validation=0,
        exponent=exponent,
        scales={chemical_symbols[z]: float(scale) for z, scale in zip(elements, scales, strict=True)},
        threshold=uncertainty.threshold,
        force_ratio=_ratio(np.sqrt(errors.square), predicted),
        force_spearman=0.0 if constant else float(spearmanr(errors.square, predicted).statistic),
        energy_ratio=_ratio(errors.energy, energy_scale * energy_powers),
    )


def _ratio(error: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2) / max(np.mean(predicted**2), _SMALLEST**2)))


def _exponent(errors: _Errors) -> float:
    """Returns the slope of the errors of structures over their distances, both as logarithms, drawn to what is usual.

    Structures, because errors of single atoms scatter so much that their slope is lost; the weights of the slope and of
    what is usual are their inverse variances.
    """
    distance, square = errors.distance.copy(), errors.square.copy()
    for index in np.unique(errors.species):
        own = errors.species == index
        distance[own] /= np.exp(np.log(distance[own]).mean())
        square[own] /= max(square[own].mean(), _SMALLEST**2)
    sizes = np.bincount(errors.frame)
    x = np.log(np.bincount(errors.frame, distance**2) / sizes) / 2
    error = np.sqrt(np.bincount(errors.frame, square) / sizes)
    x, y = x[error > _SYMMETRIC], np.log(error[error > _SYMMETRIC])
    if len(x) < 3 or np.ptp(x) == 0:
        return _EXPONENT
    found = linregress(x, y)
    weights = 1 / np.array([max(found.stderr, _SMALLEST), _EXPONENT_SPREAD]) ** 2
    return float(np.clip(np.average([found.slope, _EXPONENT], weights=weights), _LOWEST_EXPONENT, _EXPONENT))


def fit_scales(powers: np.ndarray, species: np.ndarray, square: np.ndarray, n_species: int) -> np.ndarray:
    """Fits errors that are Gaussian with a standard deviation in proportion to a measure of the uncertainty.

    Args:
        powers: the measure of every atom [N], positive.
        species: of every atom [N].
        square: mean over the components of the squared error of the force on every atom [N].
        n_species: S.

    Returns:
        The proportion of maximum likelihood for every element [S]; to the atoms of each is added one that is the
        average of all.
    """
    relative = square / powers**2
    sums = np.bincount(species, relative, minlength=n_species) + relative.mean()
    return np.sqrt(sums / (np.bincount(species, minlength=n_species) + 1))
