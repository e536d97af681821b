"""Relaxation against known minima."""

import torch

from sciml_zoo.adversarial.minima import relax, share_minimum
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.valley import ValleyPotential
from tests.adversarial.surfaces import MINIMA, MINIMUM_ENERGIES, muller_brown, of_energy, pairs, rotation, tensor


def test_the_minimum_of_a_quadratic_form_is_that_of_its_equations():
    generator = torch.Generator().manual_seed(0)
    turn = rotation(20)
    matrix = turn @ torch.diag(torch.logspace(-1, 3, 20, dtype=torch.float64)) @ turn.T
    aims = torch.randn(5, 20, dtype=torch.float64, generator=generator)

    def energy(points, labels):
        return (((points - labels) @ matrix) * (points - labels)).sum(1) / 2

    potential = LossPotential(lambda points: points, aims, loss=energy, dtype=torch.float64)
    found = relax(potential, torch.zeros(5, 20, dtype=torch.float64), max_step=10.0)
    assert found.converged.all()
    torch.testing.assert_close(found.points, aims, rtol=0, atol=1e-7)


def test_the_minima_of_muller_and_brown_are_the_published_ones():
    start = tensor(MINIMA) + 0.07
    found = relax(of_energy(muller_brown), start, tolerance=1e-8, max_step=0.05)
    assert found.converged.all()
    torch.testing.assert_close(found.points, tensor(MINIMA), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.values, tensor(MINIMUM_ENERGIES), rtol=0, atol=1e-3)


def test_a_batch_gives_the_same_as_each_alone_and_leaves_the_inputs_as_they_are():
    model, clean, _, twin, _ = pairs()
    before = clean.clone()
    valley = ValleyPotential(model, clean, twin)
    together = relax(valley, clean)
    assert together.converged.all()
    assert torch.equal(clean, before)
    for row in range(len(clean)):
        alone = relax(valley, clean[row : row + 1], rows=torch.tensor([row]))
        torch.testing.assert_close(alone.points[0], together.points[row], rtol=0, atol=1e-7)


def test_minima_do_not_depend_on_the_orientation_of_the_axes():
    turn = rotation(2)
    start = tensor(MINIMA) + 0.07
    turned = relax(of_energy(lambda x: muller_brown(x @ turn.T)), start @ turn, max_step=0.05)
    torch.testing.assert_close(turned.points @ turn.T, tensor(MINIMA), rtol=0, atol=1e-6)


def test_shared_minima_are_known_by_their_distance():
    potential = of_energy(muller_brown)
    first = relax(potential, tensor([MINIMA[0], MINIMA[1]]) + 0.05, max_step=0.05)
    second = relax(potential, tensor([MINIMA[0], MINIMA[2]]) - 0.05, max_step=0.05)
    assert share_minimum(first, second).tolist() == [True, False]
