"""Hooke's neuron: the springs are the principal directions of the inputs, and 1 − ηh is exact."""

import json
import math

import pytest
import torch
from matplotlib.figure import Figure

from sciml_zoo.errors import InputError
from sciml_zoo.instruments import hooke


def examples(d: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(d)
    x = torch.randn(50, d, dtype=dtype, generator=generator)
    return x, x.sum(1) + torch.randn(50, dtype=dtype, generator=generator)


def test_the_demonstration_obeys_the_law_to_rounding() -> None:
    result = hooke.measure()
    assert result.deviation < 1e-15
    torch.testing.assert_close(result.measured_stiffness, result.stiffness, rtol=1e-13, atol=0)
    torch.testing.assert_close(result.measured_contraction, 1 - 0.1 * result.stiffness, rtol=1e-13, atol=0)
    assert (result.stiffness_error < 1e-13).all()
    assert (result.contraction_error < 1e-13).all()
    assert result.gradients == 1 + 2 * 10 + 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_springs_are_eigenvalues_of_the_hessian_and_rest_at_the_regression(dtype: torch.dtype) -> None:
    x, y = examples(4, dtype)
    result = hooke.measure(x, y)
    wide = x.double()
    hessian = torch.func.hessian(lambda w: (wide @ w - y.double()).square().mean() / 2)(torch.zeros(4).double())
    torch.testing.assert_close(result.stiffness, torch.linalg.eigvalsh(hessian).flip(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(result.optimum, torch.linalg.lstsq(wide, y[:, None].double()).solution[:, 0])
    digits = torch.finfo(dtype).eps
    torch.testing.assert_close(result.measured_stiffness, result.stiffness, rtol=20 * digits, atol=0)
    assert result.deviation < 20 * digits
    energies = result.stiffness[:, None] * result.displacements.square() / 2
    torch.testing.assert_close(result.energies, energies, rtol=0, atol=50 * digits)


@pytest.mark.parametrize("product", [0.5, 1.0, 1.7, 2.0, 2.5])
def test_the_error_after_n_steps_is_a_power(product: float) -> None:
    x, y = examples(1)
    h = float(x.square().mean())
    result = hooke.measure(x[:, 0], y, learning_rate=product / h, steps=12, start=torch.tensor([3.0]))
    displacement = 3.0 - float((x[:, 0] * y).mean()) / h
    expected = torch.tensor([displacement * (1 - product) ** n for n in range(13)], dtype=torch.float64)
    torch.testing.assert_close(result.trajectory[:, 0], expected, rtol=1e-12, atol=1e-14)


def test_directions_without_data_have_no_spring() -> None:
    x, y = examples(2)
    result = hooke.measure(torch.cat([x, x.sum(1, keepdim=True)], dim=1), y)
    assert result.stiffness.shape == (2,)
    assert result.deviation < 1e-14
    few = hooke.measure(x[:1], y[:1])
    assert few.stiffness.tolist() == pytest.approx([float(x[0].square().sum())])


def test_a_spring_at_rest_has_no_measured_contraction() -> None:
    x, y = torch.eye(2).double(), torch.zeros(2)
    result = hooke.measure(x, y, start=torch.tensor([1.0, 0.0]))
    moving = result.trajectory[0].abs() > 0
    assert moving.sum() == 1
    assert result.measured_contraction[moving].item() == pytest.approx(0.95)
    assert result.measured_contraction[~moving].isnan().all()
    assert None in result.to_dict()["measured_contraction"]


def test_the_global_random_state_stays_and_the_seed_makes_the_examples() -> None:
    before = torch.get_rng_state()
    first, second, other = (hooke.measure(seed=seed, steps=1).stiffness for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_it_draws_and_is_written() -> None:
    result = hooke.measure(*examples(3, torch.float32), learning_rate=2.2)
    figure = result.plot()
    assert isinstance(figure, Figure)
    assert [len(axes.lines) for axes in figure.axes] == [6, 6, 6]
    figure.savefig("/dev/null", format="png")
    assert json.loads(json.dumps(result.to_dict()))["stiffness"] == result.stiffness.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": torch.ones(3)}, "inputs and targets, or neither"),
        ({"inputs": torch.ones(3, 2), "targets": torch.ones(2)}, r"shape \[3, 2\] and targets of shape \[2\]"),
        ({"inputs": torch.ones(3, dtype=torch.int64), "targets": torch.ones(3)}, r"torch\.int64"),
        ({"inputs": torch.tensor([1.0, math.nan]), "targets": torch.ones(2)}, "inputs: example 1 is not finite"),
        ({"inputs": torch.ones(2), "targets": torch.tensor([math.inf, 1.0])}, "targets: example 0"),
        ({"inputs": torch.zeros(2), "targets": torch.ones(2)}, "all zero"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
        ({"steps": 0}, "steps is 0"),
        ({"start": torch.ones(3)}, r"start has shape \[3\]"),
        ({"learning_rate": 1e9}, "overflowed within 60 steps: take learning_rate below 2/h"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hooke.measure(**arguments)
