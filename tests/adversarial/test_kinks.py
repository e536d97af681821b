"""Kinks: found where a network bends, and only there."""

import pytest
import torch
from torch import nn

from sciml_zoo.adversarial.kinks import locate_kinks, recorded_switches
from sciml_zoo.adversarial.line_integral import work
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.adversarial.segments import Segments

from .networks import images, network


def test_the_kinks_of_known_hinges():
    places = torch.tensor([0.2, 0.5, 0.50001, 0.9], dtype=torch.float64)

    def switches(line, t):
        # The third unit's switch bends at the first one's kink: a deeper layer.
        own = t[:, None] - places
        own[:, 2] = own[:, 2] + torch.relu(t - 0.2) * 0.1 - 0.1 * (places[2] - 0.2)
        return torch.where(line[:, None] == 1, -own, own)

    lines = torch.tensor([0, 1])
    of, at = locate_kinks(switches, lines, torch.zeros(2).double(), torch.ones(2).double())
    assert of.tolist() == [0] * 4 + [1] * 4
    torch.testing.assert_close(at, places.repeat(2), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("activation", "pool"), [(nn.ReLU, False), (nn.LeakyReLU, False), (nn.Hardtanh, False), (nn.ReLU, True)]
)
def test_between_kinks_the_outputs_are_linear(activation, pool):
    model = network(activation, pool=pool)
    start, labels = images(4)
    end, _ = images(4, seed=7)
    segments = Segments(LossPotential(model, labels), Path.straight(start, end))
    pieces = segments.cut(segments.whole().divided(128))
    wide = pieces.select(pieces.high - pieces.low > 1e-6)
    assert len(wide) > 20
    quarter = (wide.high - wide.low) / 4
    first, middle, last = (
        model(segments.points(wide.segment, wide.low + place * quarter)).detach() for place in (1, 2, 3)
    )
    bent = (first + last - 2 * middle).abs().amax(1)
    # A unit that switches twice inside one of the 128 parts is not seen.
    assert (bent < 1e-12).double().mean() > 0.99


def test_a_smooth_network_has_no_switches():
    start, labels = images(2)
    segments = Segments(LossPotential(network(nn.GELU), labels), Path.straight(start, 1 - start))
    assert segments.units == 0
    assert len(segments.cut(segments.whole())) == 2


def test_switches_of_all_kinds_are_recorded():
    x = torch.randn(3, 5)
    with recorded_switches() as layers:
        torch.relu(x), x.abs(), x.clamp(min=0.5), torch.maximum(x, -x), nn.functional.hardtanh(x)
    assert [layer.shape[1] for layer in layers] == [5] * 6
    torch.testing.assert_close(layers[2], x - 0.5)
    torch.testing.assert_close(layers[3], 2 * x)


def test_pools_of_rectified_units_are_cut_quickly():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 49, 4)).double()
    start = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    end = (start + 0.05 * torch.randn(start.shape, dtype=torch.float64)).clamp(0, 1)
    potential = LossPotential(model, torch.tensor([0, 1]), dtype=torch.float64)
    segments = Segments(potential, Path.straight(start, end))
    pieces = segments.cut(segments.whole())
    assert len(pieces) > 50
    # A few values for each piece: differences of units that both rest are no reason to look closer.
    assert potential.evaluations < 4 * len(pieces)
    assert (work(potential, Path.straight(start, end)).relative_closure < 1e-6).all()
