"""Work: exact where it is known, and the same along every path."""

import pytest
import torch
from torch import nn

from sciml_zoo.adversarial.line_integral import loops, random_paths, work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

from .networks import images, network


def bowl(stiffness: torch.Tensor) -> LossPotential:
    return LossPotential(lambda x: (x.square() * stiffness).flatten(1).sum(1) / 2, loss=None, dtype=torch.float64)


def test_a_quadratic_bowl_exactly():
    stiffness = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    start, end = torch.zeros(1, 3).double(), torch.tensor([[1.0, -1.0, 0.5]]).double()
    found = work(bowl(stiffness), Path.straight(start, end))
    assert float(found.work) == pytest.approx((1 + 10 + 25) / 2, rel=1e-14)
    # Straight up along one axis nothing is dissipated.
    assert float(work(bowl(stiffness), Path.straight(start, torch.tensor([[0, 2.0, 0]]))).dissipation) == pytest.approx(
        0, abs=1e-12
    )
    back_and_forth = Path(torch.stack([start, end, start]))
    there_and_back = work(bowl(stiffness), back_and_forth)
    assert float(there_and_back.work) == pytest.approx(0, abs=1e-12)
    assert float(there_and_back.dissipation) > 2 * 18


@pytest.mark.parametrize("activation", [nn.GELU, nn.Tanh, nn.ReLU])
def test_work_closes_and_does_not_depend_on_the_path(activation):
    start, labels = images()
    end, _ = images(seed=3)
    potential = LossPotential(network(activation), labels, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    straight = work(potential, Path.straight(start, end))
    bound = 1e-8 if activation is not nn.ReLU else 1e-6
    for path in [Path.straight(start, end), *(random_paths(start, end, generator=generator) for _ in range(3))]:
        found = work(potential, path)
        assert found.relative_closure.max() <= bound
        torch.testing.assert_close(found.work, straight.work, rtol=0, atol=bound)
        assert (found.closure <= found.error_estimate + 1e-11).all()
        assert (found.dissipation >= -1e-9).all()


@pytest.mark.parametrize("activation", [nn.GELU, nn.ReLU])
def test_around_loops_there_is_no_work(activation):
    start, labels = images()
    potential = LossPotential(network(activation), labels, dtype=torch.float64)
    path = loops(start, corners=4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(path.start, path.end, rtol=0, atol=0)
    found = work(potential, path)
    perimeter = found.dissipation + found.delta_loss.abs()
    assert (found.work.abs() <= 1e-8 * perimeter).all()


def test_a_sample_does_not_depend_on_its_neighbours_and_costs_are_counted():
    start, labels = images()
    potential = LossPotential(network(), labels, dtype=torch.float64)
    path = random_paths(start, 1 - start, generator=torch.Generator().manual_seed(0))
    together = work(potential, path)
    assert int(together.gradients.sum()) == potential.gradients
    assert together.segments.tolist() == [6] * 5
    alone = work(LossPotential(network(), labels[2:3], dtype=torch.float64), path.select([2]))
    torch.testing.assert_close(alone.work, together.work[2:3], rtol=1e-13, atol=0)
    assert alone.gradients.tolist() == together.gradients[2:3].tolist()


def test_a_path_that_stands_still_is_no_work():
    start, labels = images()
    found = work(LossPotential(network(), labels, dtype=torch.float64), Path(torch.stack([start, start, start])))
    assert found.work.abs().max() == found.gradients.max() == found.segments.max() == 0


def test_atoms_are_moved_like_pixels():
    # Two bodies on a spring: positions [batch, atoms, 3].
    def energy(positions: torch.Tensor) -> torch.Tensor:
        return ((positions[:, 1] - positions[:, 0]).norm(dim=1) - 1).square() / 2

    start = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]).double()
    end = torch.tensor([[[0.0, 0, 0], [0, 3, 0]]]).double()
    found = work(LossPotential(energy, loss=None, dtype=torch.float64), Path.straight(start, end))
    assert float(found.work) == pytest.approx(2.0, rel=1e-9)


def test_what_is_not_finite_or_not_a_tolerance_is_refused():
    start, labels = images()
    potential = LossPotential(network(), labels, dtype=torch.float64)
    with pytest.raises(InputError, match="tolerance 0"):
        work(potential, Path.straight(start, 1 - start), tolerance=0)
    bad = start.clone()
    bad[3] = torch.nan
    with pytest.raises(InputError, match="sample 3"):
        work(potential, Path.straight(start, bad))


def test_single_precision_and_noise_end():
    inputs, labels = images(4)
    inputs = inputs.float()
    moved = (inputs + 0.3 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for activation in (nn.GELU, nn.ReLU):
        single = work(LossPotential(network(activation).float(), labels), Path.straight(inputs, moved))
        assert (single.closure < 1e-4 * (single.dissipation + single.delta_loss.abs())).all()
        assert (single.gradients < 20_000).all()
    noise = torch.Generator().manual_seed(1)
    smooth = network(nn.GELU)

    def noisy(x):
        return smooth(x + 0.01 * torch.randn(x.shape, generator=noise, dtype=x.dtype))

    found = work(LossPotential(noisy, labels), Path.straight(inputs.double(), moved.double()), max_gradients=5_000)
    assert (found.gradients < 20_000).all()
    assert (found.error_estimate > found.tolerance).any()
