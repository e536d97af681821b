"""Products of densities: rotation, the power spectrum, and tables that grow with elements and not with their pairs."""

import pytest
import torch
from e3nn import o3

from sciml_zoo.potentials.pairs import PairTable
from sciml_zoo.potentials.products import L_MAX, ChannelProduct, coupling, degree_of_component, even_paths


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def _rotation(matrix: torch.Tensor, l_max: int) -> torch.Tensor:
    return torch.block_diag(*(o3.Irrep(degree, 1).D_from_matrix(matrix) for degree in range(l_max + 1)))


def test_products_turn_with_their_factors():
    paths = even_paths(L_MAX, L_MAX, range(L_MAX + 1))
    product = ChannelProduct(paths, [path[2] ** 2 for path in paths], 4)
    left, right = torch.randn(5, 16, 4), torch.randn(5, 16, 4)
    turn = _rotation(o3.rand_matrix(), L_MAX)
    turned = product(torch.einsum("ab,nbc->nac", turn, left), torch.einsum("ab,nbc->nac", turn, right))
    expected = torch.einsum("ab,nbc->nac", turn, product(left, right))
    torch.testing.assert_close(turned, expected, rtol=1e-10, atol=1e-10)


def test_the_square_of_a_density_is_its_power_spectrum():
    norms = [(degree, degree, 0) for degree in range(L_MAX + 1)]
    product = ChannelProduct(norms, list(range(L_MAX + 1)), 3, same=True)
    density = torch.randn(6, 16, 3)
    spectrum = torch.zeros(6, 4, 3).index_add(1, degree_of_component(L_MAX), density.square())
    expected = spectrum / (2 * torch.arange(4.0) + 1).sqrt()[:, None] * product.weights
    torch.testing.assert_close(product(density, density), expected, rtol=1e-12, atol=1e-12)


def test_couplings_keep_the_variance():
    for path in even_paths(L_MAX, L_MAX, range(L_MAX + 1)):
        assert coupling(path).square().sum(dim=(1, 2)).tolist() == pytest.approx([1.0] * (2 * path[2] + 1))


def test_parameters_of_pairs_grow_with_the_number_of_elements():
    sizes = [sum(p.numel() for p in PairTable(n, lambda k: torch.randn(k, 40)).parameters()) for n in (2, 4, 8, 16, 32)]
    assert sizes[:2] == [4 * 40, 16 * 40]
    assert sizes[2:] == [16 * 40 + 2 * n * 16 for n in (8, 16, 32)]
    table = PairTable(32, lambda k: torch.randn(k, 40))()
    assert table.shape == (1024, 40)
    assert 0.5 < float(table.detach().std()) < 2.0  # as large as a table of its own
