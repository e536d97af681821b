"""The ZBL repulsion against LAMMPS, against its formula in fifty digits, and where formulas usually break."""

import itertools

import mpmath
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.repulsion import ZBLRepulsion

# LAMMPS 22 Jul 2025, units metal, two atoms at r, pair_style zbl 17.0 18.0: Z, Z, r in Å, energy in eV, force in eV/Å.
LAMMPS = (
    (1, 1, 0.05, 228.3444149127086, 5545.13264764073),
    (1, 1, 0.2, 33.28232661904629, 270.1680161505977),
    (1, 6, 0.5, 26.356987591132743, 127.03661856371156),
    (6, 8, 0.3, 510.91213202265953, 3671.737452406507),
    (8, 8, 0.5, 191.54648631546846, 1014.8190143443516),
    (3, 3, 0.7, 15.926504729794706, 62.82128847692192),
    (14, 14, 1.0, 50.97436199120799, 189.7962194262398),
    (42, 42, 0.8, 528.7208232028365, 2496.2312111508654),
)
RADII = {1: 0.31, 6: 0.76, 8: 0.66, 14: 1.11}  # Cordero et al. 2008, Å


def pair_energy(repulsion: ZBLRepulsion, first: int, second: int, distance: torch.Tensor) -> torch.Tensor:
    """Energy of two atoms, eV."""
    edges = torch.tensor([[0, 1], [1, 0]])
    return repulsion(torch.tensor([first, second]), distance.square().expand(2), edges).sum()


def derivatives(repulsion: ZBLRepulsion, distance: float, order: int, dtype=torch.float64) -> list[float]:
    """Energy of a pair of the first element and its derivatives with respect to the distance."""
    r = torch.tensor(distance, dtype=dtype, requires_grad=True)
    values = [pair_energy(repulsion, 0, 0, r)]
    for _ in range(order):
        values.append(torch.autograd.grad(values[-1], r, create_graph=True)[0])
    return [value.item() for value in values]


@pytest.mark.parametrize(("first", "second", "distance", "energy", "force"), LAMMPS)
def test_energy_and_force_at_short_distance_are_those_of_lammps(first, second, distance, energy, force):
    elements = sorted({first, second})
    r = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
    value = pair_energy(ZBLRepulsion(elements, 5.0), elements.index(first), elements.index(second), r)
    (slope,) = torch.autograd.grad(value, r)
    # 1e-7 are the constants of LAMMPS (e² = 14.399645 eV Å); the softening is 5e-9/r² at most.
    assert value.item() == pytest.approx(energy, rel=1e-7 + 1e-8 / distance**2)
    assert -slope.item() == pytest.approx(force, rel=1e-7 + 2e-8 / distance**2)


@pytest.mark.parametrize(("numbers", "distance"), [*itertools.product([(1, 6), (8, 14)], [0.1, 0.6, 0.8, 1.0])])
def test_energy_is_its_formula_everywhere(numbers, distance):
    first, second = numbers
    with mpmath.workdps(50):
        r = mpmath.mpf(distance)
        rho = mpmath.sqrt(r**2 + mpmath.mpf("1e-8"))
        a = mpmath.mpf("0.4685") / (mpmath.mpf(first) ** mpmath.mpf("0.23") + mpmath.mpf(second) ** mpmath.mpf("0.23"))
        phi = sum(
            mpmath.mpf(c) * mpmath.exp(-mpmath.mpf(d) * rho / a)
            for c, d in (("0.18175", "3.1998"), ("0.50986", "0.94229"), ("0.28022", "0.4029"), ("0.02817", "0.20162"))
        )
        outer = mpmath.mpf(RADII[first]) + mpmath.mpf(RADII[second])
        t = (r**2 - outer**2 / 4) / (outer**2 * 3 / 4)
        g = lambda s: mpmath.exp(-1 / s) if s > 0 else mpmath.mpf(0)  # noqa: E731
        expected = float(mpmath.mpf("14.3996454784") * first * second * phi / rho * g(1 - t) / (g(t) + g(1 - t)))
    value = pair_energy(ZBLRepulsion(numbers, 5.0), 0, 1, torch.tensor(distance, dtype=torch.float64))
    assert value.item() == pytest.approx(expected, rel=1e-8)


def test_it_falls_monotonically_to_nothing_at_the_sum_of_the_covalent_radii():
    repulsion = ZBLRepulsion([14], 5.0)
    energies = [derivatives(repulsion, r, 0)[0] for r in torch.linspace(0.0, 2.3, 231, dtype=torch.float64).tolist()]
    falling = [a > b for a, b in itertools.pairwise(energies) if a > 0]
    assert all(falling)
    assert len(falling) > 200
    assert derivatives(repulsion, 2 * RADII[14], 4) == [0.0] * 5
    assert derivatives(repulsion, 2.4, 4) == [0.0] * 5


def test_no_derivative_jumps_where_it_is_switched():
    repulsion = ZBLRepulsion([14], 5.0)
    bare = ZBLRepulsion([14], 5.0)
    bare.outer.fill_(1e6)
    for edge, beyond in ((RADII[14], bare), (2 * RADII[14], None)):
        for offset in (-1e-3, -1e-4, 1e-4, 1e-3):
            values = derivatives(repulsion, edge + offset, 4)
            continued = derivatives(beyond, edge + offset, 4) if beyond else [0.0] * 5
            assert values == pytest.approx(continued, rel=1e-9, abs=1e-9)
    # Between the ends it is not what it continues there.
    assert derivatives(repulsion, 1.6, 0)[0] < 0.9 * derivatives(bare, 1.6, 0)[0]


def test_a_cutoff_shorter_than_the_covalent_radii_ends_it_as_smoothly():
    repulsion = ZBLRepulsion([14], 1.5)
    assert derivatives(repulsion, 1.4, 0)[0] > 0
    for distance in (1.5 - 1e-3, 1.5, 1.6):
        assert derivatives(repulsion, distance, 4) == pytest.approx([0.0] * 5, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distance", [0.0, 1e-30, 1e-8, 1e-4, 0.3, 1.11, 1.1100001, 1.5, 2.2199999, 2.22, 2.3, 1e4])
def test_derivatives_are_finite_at_the_extremes(dtype, distance):
    repulsion = ZBLRepulsion([14], 5.0).to(dtype)
    position = torch.tensor([0.6, 0.0, 0.8], dtype=dtype) * distance
    position.requires_grad_()
    squared = position.square().sum().expand(2)
    value = repulsion(torch.tensor([0, 0]), squared, torch.tensor([[0, 1], [1, 0]])).sum()
    values = [value]
    for _ in range(4):
        values.append(torch.autograd.grad(values[-1].sum(), position, create_graph=True)[0])
    assert all(v.isfinite().all() for v in values)
    assert value.dtype == dtype


def test_coinciding_atoms_have_a_finite_energy_and_feel_no_force():
    value, slope = derivatives(ZBLRepulsion([8], 5.0), 0.0, 1)
    assert value == pytest.approx(64 * 14.3996 / 1e-4, rel=1e-2)
    assert slope == 0.0


def test_single_precision_agrees_with_double():
    distances = torch.linspace(0.02, 2.2, 300, dtype=torch.float64)
    edges = torch.stack([torch.ones(300, dtype=torch.long), torch.zeros(300, dtype=torch.long)])
    repulsion = ZBLRepulsion([14], 5.0)
    parts = []
    for dtype in (torch.float64, torch.float32):
        r = distances.to(dtype).requires_grad_()
        energy = repulsion(torch.tensor([0, 0]), r.square(), edges)
        parts.append((energy[0].double(), torch.autograd.grad(energy.sum(), r)[0].double()))
    torch.testing.assert_close(parts[1], parts[0], rtol=2e-5, atol=1e-5)


def test_each_atom_gets_half_of_each_of_its_pairs():
    species = torch.tensor([0, 1, 1])
    position = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.6, 0.0]], dtype=torch.float64)
    edges = torch.tensor([[1, 0, 2, 0, 2, 1], [0, 1, 0, 2, 1, 2]])
    squared = (position[edges[0]] - position[edges[1]]).square().sum(1)
    repulsion = ZBLRepulsion([1, 6], 5.0)
    atomic = repulsion(species, squared, edges)
    pair = {
        (i, j): pair_energy(repulsion, species[i], species[j], (position[i] - position[j]).norm())
        for i, j in ((0, 1), (0, 2), (1, 2))
    }
    expected = [pair[0, 1] + pair[0, 2], pair[0, 1] + pair[1, 2], pair[0, 2] + pair[1, 2]]
    torch.testing.assert_close(atomic, torch.stack(expected) / 2)


def test_what_it_does_not_know_is_refused():
    with pytest.raises(InputError, match="Bk has no known covalent radius"):
        ZBLRepulsion([6, 97], 5.0)
    with pytest.raises(InputError, match="element 0 has no known"):
        ZBLRepulsion([0], 5.0)
    with pytest.raises(InputError, match="cutoff must be positive"):
        ZBLRepulsion([6], 0.0)
