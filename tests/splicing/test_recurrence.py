"""The compiled recurrence and its gradient against the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.splicing import recurrence
from sciml_zoo.splicing.recurrence import gated_recurrence, sequential_recurrence


def case(batch: int, length: int, half: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length, 2 * half)
    update = torch.rand(shape, generator=generator, dtype=dtype)
    candidate = torch.randn(shape, generator=generator, dtype=dtype)
    initial = torch.randn((batch, 2 * half), generator=generator, dtype=dtype)
    return tuple(x.requires_grad_() for x in (update, candidate, initial))


def doubling(update: torch.Tensor, candidate: torch.Tensor, initial: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    """The path of other devices, on the CPU."""
    monkeypatch.setattr(recurrence, "_is_compiled", lambda tensor: False)
    return gated_recurrence(update, candidate, initial)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 5), st.integers(0, 1000))
def test_compiled_equals_definition(batch: int, length: int, half: int, seed: int) -> None:
    inputs = case(batch, length, half, seed)
    found, expected = gated_recurrence(*inputs), sequential_recurrence(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(found)
    gradients = [torch.autograd.grad((states * weight).sum(), inputs) for states in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 3, 31, 32, 33])
def test_doubling_equals_definition(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = case(2, length, 3, length)
    found, expected = doubling(*inputs, monkeypatch), sequential_recurrence(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(found)
    gradients = [torch.autograd.grad((states * weight).sum(), inputs) for states in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(gated_recurrence, case(2, 7, 3, 0))


def test_gradcheck_of_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.autograd.gradcheck(lambda *x: doubling(*x, monkeypatch), case(2, 6, 2, 1))


def test_directions_do_not_mix() -> None:
    update, candidate, initial = (x.detach() for x in case(1, 20, 2, 3))
    changed = candidate.clone()
    changed[:, 10] += 1
    difference = gated_recurrence(update, changed, initial) - gated_recurrence(update, candidate, initial)
    assert (difference[:, :10, :2] == 0).all()
    assert (difference[:, 11:, 2:] == 0).all()
    assert (difference[:, 10] != 0).all()


def test_cut_in_two_equals_whole() -> None:
    update, candidate, initial = (x.detach() for x in case(2, 30, 3, 4))
    whole = gated_recurrence(update, candidate, initial)
    left = gated_recurrence(update[:, :11], candidate[:, :11], torch.cat([initial[:, :3], whole[:, 11, 3:]], 1))
    right = gated_recurrence(update[:, 11:], candidate[:, 11:], torch.cat([whole[:, 10, :3], initial[:, 3:]], 1))
    torch.testing.assert_close(torch.cat([left, right], 1), whole, rtol=0, atol=1e-14)


def test_single_precision_stays_near_double() -> None:
    inputs = [x.detach() for x in case(1, 2000, 4, 5)]
    single = gated_recurrence(*(x.float() for x in inputs))
    torch.testing.assert_close(single.double(), gated_recurrence(*inputs), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "shapes", [((1, 3, 3), (1, 3, 3), (1, 3)), ((1, 3, 2), (1, 4, 2), (1, 2)), ((2, 3, 2), (2, 3, 2), (1, 2))]
)
def test_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        gated_recurrence(*(torch.zeros(shape) for shape in shapes))
