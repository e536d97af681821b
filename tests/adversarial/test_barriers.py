"""Barriers against known ones, and between digits and their twins."""

from dataclasses import replace

import pytest
import torch

from sciml_zoo.adversarial import _saddle_chain
from sciml_zoo.adversarial.barriers import barrier, path_maximum
from sciml_zoo.adversarial.basins import gradient_flow
from sciml_zoo.adversarial.elastic_band import elastic_band
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.valley import ValleyPotential
from sciml_zoo.errors import InputError
from tests.adversarial.surfaces import (
    ARC_END,
    MINIMA,
    MINIMUM_ENERGIES,
    SADDLE_ENERGIES,
    SADDLES,
    arc,
    double_well,
    muller_brown,
    of_energy,
    on_arc,
    pairs,
    rotation,
    tensor,
)


@pytest.mark.parametrize("method", ["band", "string"])
def test_the_barrier_and_path_of_a_double_well_are_exact(method):
    clean, twin = tensor([[-0.9, 0.2], [-1.0, 0.0]]), tensor([[0.8, 0.3], [-1.1, 0.1]])
    found = barrier(of_energy(double_well), clean, twin, method=method)
    assert found.distinct.tolist() == [True, False]
    assert found.found.tolist() == [True, False]
    torch.testing.assert_close(found.forward[0], tensor(1.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.backward[0], tensor(1.0), rtol=0, atol=1e-6)
    assert found.path.points[:, 0, 1].abs().max() < 1e-6
    assert found.forward[1].isnan()


def test_the_path_over_an_arc_is_exact_though_the_straight_line_leads_over_a_mountain():
    found = barrier(of_energy(arc), on_arc(-1.3) * 1.05, on_arc(1.25) * 0.9)
    assert found.found.all()
    assert (torch.linalg.vector_norm(found.path.points, dim=2) - 1).abs().max() < 1e-6
    torch.testing.assert_close(found.forward, tensor([1.0]), rtol=0, atol=1e-6)
    assert found.climbs.line.item() > 2
    torch.testing.assert_close(found.path.length(), tensor([2 * ARC_END]), rtol=0, atol=1e-3)


def test_between_the_deep_minima_of_muller_and_brown_lie_two_saddles_of_which_the_higher_is_the_barrier():
    start, end = tensor([MINIMA[0], MINIMA[1]]), tensor([MINIMA[1], MINIMA[2]])
    found = barrier(of_energy(muller_brown), start, end, images=21, tolerance=1e-6)
    assert found.found.all()
    assert found.links.tolist() == [2, 1]
    torch.testing.assert_close(found.saddles.points, tensor(SADDLES), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.forward, tensor(SADDLE_ENERGIES) - tensor(MINIMUM_ENERGIES[:2]), rtol=0, atol=2e-3)
    torch.testing.assert_close(
        found.backward, tensor(SADDLE_ENERGIES) - tensor(MINIMUM_ENERGIES[1:]), rtol=0, atol=2e-3
    )
    middle = torch.linalg.vector_norm(found.path.points[:, 0] - tensor(MINIMA[2]), dim=1).min()
    assert middle < 1e-4


def test_barriers_do_not_depend_on_the_orientation_of_the_axes():
    turn = rotation(2)
    start, end = tensor([MINIMA[1]]), tensor([MINIMA[2]])
    turned = barrier(of_energy(lambda x: muller_brown(x @ turn.T)), start @ turn, end @ turn, tolerance=1e-6)
    torch.testing.assert_close(turned.saddles.points @ turn.T, tensor(SADDLES)[1:], rtol=0, atol=1e-6)


def test_the_maximum_of_a_path_is_found_between_the_points_of_the_grid():
    potential = of_energy(lambda x: 1 - (x[:, 0] - 0.3333) ** 2)
    found = path_maximum(potential, Path.straight(tensor([[0.0]]), tensor([[1.0]])), samples=4)
    torch.testing.assert_close(found, tensor([1.0]), rtol=0, atol=1e-14)


def test_digits_and_their_twins_lie_in_valleys_joined_by_saddles():
    model, clean, labels, twin, way = pairs()
    valley = ValleyPotential(model, clean, twin, stiffness=1.0)
    loss = LossPotential(model, labels, dtype=torch.float64)
    found = barrier(valley, clean, twin, attack=Path(way), loss=loss)
    assert int(found.gradients.sum()) == valley.gradients
    assert found.distinct.all()
    assert found.found.all()
    assert (found.saddles.gradient_norms <= 1e-6).all()
    assert ((found.saddles.eigenvalues < 0).sum(1) == 1).all()
    assert (found.forward > 0).all()
    assert (found.backward > 0).all()
    # The lowest pass is not above any path between the two basins.
    assert (found.climbs.line >= found.forward - 1e-9).all()
    assert (found.climbs.attack >= found.forward - 1e-9).all()
    torch.testing.assert_close(found.climbs.path, found.forward, rtol=0, atol=1e-9)
    # Down either side of the saddle lies a minimum of the pair.
    single = (found.links == 1).nonzero()[:, 0]
    for sign, side in ((-1, found.start), (1, found.end)):
        flow = gradient_flow(valley, (found.saddles.points + sign * 1e-3 * found.saddles.unstable)[single], rows=single)
        torch.testing.assert_close(flow.minima.points, side.points[single], rtol=0, atol=1e-5)
    assert (found.loss_climbs.attack > 0).all()


def test_a_batch_of_pairs_gives_the_same_in_another_order():
    model, clean, _, twin, _ = pairs()
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    first = barrier(ValleyPotential(model, clean, twin), clean, twin)
    second = barrier(ValleyPotential(model, clean[order], twin[order]), clean[order], twin[order])
    torch.testing.assert_close(second.forward, first.forward[order], rtol=0, atol=1e-8)
    alone = barrier(ValleyPotential(model, clean[:1], twin[:1]), clean[:1], twin[:1])
    torch.testing.assert_close(alone.forward, first.forward[:1], rtol=0, atol=1e-8)


def test_it_says_what_is_wrong():
    with pytest.raises(InputError, match="string"):
        barrier(of_energy(double_well), tensor([[-1.0, 0]]), tensor([[1.0, 0]]), method="dimer")
    with pytest.raises(InputError, match="float64"):
        barrier(LossPotential(double_well, loss=None, dtype=torch.float32), tensor([[-1.0, 0]]), tensor([[1.0, 0]]))


def test_pairs_that_the_band_fails_are_sought_again_by_the_string(monkeypatch):
    def misled(potential, start, end, *, rows, images, steps):
        band = elastic_band(potential, start, end, rows=rows, images=images, steps=steps)
        stuck = band.images.clone()
        stuck[:, 0] = start[0]
        return replace(band, images=stuck)

    monkeypatch.setattr(_saddle_chain, "elastic_band", misled)
    start, end = tensor([MINIMA[1], MINIMA[0]]), tensor([MINIMA[2], MINIMA[2]])
    found = barrier(of_energy(muller_brown), start, end, tolerance=1e-6)
    assert found.found.all()
    torch.testing.assert_close(found.saddles.points, tensor(SADDLES)[[1, 0]], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.path.start, start, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.path.end, end, rtol=0, atol=1e-5)


def test_a_chain_with_a_gap_is_reported_as_not_connected():
    found = barrier(
        of_energy(muller_brown), tensor([MINIMA[0]]), tensor([MINIMA[1]]), images=21, tolerance=1e-6, rounds=1
    )
    assert found.distinct.all()
    assert found.links.tolist() == [1]
    assert not found.connected.any()
    assert not found.found.any()
