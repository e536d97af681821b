"""The torch backend draws from the same distribution; here on the CPU, which runs the code of a GPU."""

import numpy as np
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising._sampling_kernels import colour_spins
from sciml_zoo.ising.generators import edwards_anderson, square_lattice
from sciml_zoo.ising.onsager import kaufman_energy
from sciml_zoo.ising.sampling import sample
from tests.ising.sampled import BETA, chance_of_counts, frustrated

METHODS = ("heat_bath", "metropolis", "tempering")
pytestmark = pytest.mark.filterwarnings("ignore::sciml_zoo.ising.draws.UnconvergedWarning")


@pytest.mark.parametrize("clamped", [None, {1: 1, 4: -1}], ids=["free", "clamped"])
@pytest.mark.parametrize("method", METHODS)
def test_independent_draws_follow_the_exact_distribution(method: str, clamped: dict | None) -> None:
    model, run = frustrated(), {"n_sweeps": 1, "burn_in": 100, "n_replicas": 16000, "seed": 1, "backend": "torch"}
    drawn = sample(model, BETA, method=method, clamped=clamped, **run)
    assert chance_of_counts(drawn.final, model, clamped) > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_sparse_lattice_has_kaufmans_energy(method: str) -> None:
    model, beta = square_lattice(12), 1 / 2.6
    options = {"n_rungs": 8} if method == "tempering" else {}
    drawn = sample(model, beta, n_sweeps=600, n_replicas=64, method=method, seed=2, backend="torch", **options)
    mean, error = drawn.estimate("energy")
    assert abs(mean / model.n - kaufman_energy(12, 12, beta)) < 4 * error / model.n
    assert error / model.n < 6e-3
    np.testing.assert_allclose(model.energy(drawn.spins[-1]), drawn.energies[-1], atol=1e-9)
    np.testing.assert_allclose(drawn.spins.mean(-1), drawn.magnetisation, atol=1e-12)
    assert 0 < drawn.acceptance < 1


def test_both_backends_measure_alike() -> None:
    model = edwards_anderson((6, 6), "gaussian", seed=1)
    start = np.where(np.random.default_rng(1).random((4, 36)) < 0.5, 1, -1)
    run = {"n_sweeps": 1, "burn_in": 0, "n_replicas": 4, "method": "heat_bath", "clamped": start}
    one, other = (sample(model, 0.5, backend=backend, **run) for backend in ("numba", "torch"))
    np.testing.assert_allclose(one.energies, other.energies, atol=1e-12)
    np.testing.assert_allclose(one.probe, other.probe, atol=1e-12)
    np.testing.assert_array_equal(one.magnetisation, other.magnetisation)
    np.testing.assert_array_equal(one.final, start)
    np.testing.assert_array_equal(other.final, start)


def test_ladders_of_both_backends_agree() -> None:
    model, betas = edwards_anderson((6, 6), "gaussian", seed=1), np.linspace(0, 1.5, 6)
    run = {"n_sweeps": 2000, "n_replicas": 32, "cluster_moves": False, "seed": 3}
    one, other = (sample(model, betas, backend=backend, **run).ladder for backend in ("numba", "torch"))
    np.testing.assert_allclose(one.exchange_rates, other.exchange_rates, atol=0.02)
    means = [ladder.energies.mean((0, 1)) for ladder in (one, other)]
    errors = [ladder.energies.mean(0).std(0, ddof=1) / np.sqrt(32) for ladder in (one, other)]
    assert (np.abs(means[0] - means[1]) < 4.5 * np.hypot(*errors)).all()


def test_a_seed_gives_the_same_draws() -> None:
    model, run = frustrated(), {"n_sweeps": 10, "backend": "torch", "method": "tempering"}
    first, again, other = (sample(model, 1.0, seed=seed, **run).spins for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_colours_of_neighbours_differ() -> None:
    model = edwards_anderson((5, 5, 5), "pm1", seed=1)
    couplings = model.csr()
    free = np.delete(np.arange(125), [3, 50]).astype(np.int32)
    colours = colour_spins(couplings.indptr, couplings.indices, free)
    i, j, _ = model.edges
    inside = np.isin(i, free) & np.isin(j, free)
    assert (colours[i[inside]] != colours[j[inside]]).all()
    assert colours[3] == colours[50] == -1
    assert colours.max() <= 6
    assert colour_spins(*_csr(square_lattice(6)), np.arange(36, dtype=np.int32)).max() == 1


def _csr(model):
    return model.csr().indptr, model.csr().indices


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_device_is_named() -> None:
    with pytest.raises(InputError, match=r"cuda.*device='cpu'"):
        sample(frustrated(), 1.0, n_sweeps=1, device="cuda")
