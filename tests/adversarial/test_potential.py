"""The potential: what it computes, what it counts, and what it leaves alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sciml_zoo.adversarial.path import Recorder
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.errors import InputError

from .networks import images, network


def test_the_force_is_minus_the_numerical_gradient():
    inputs, labels = images()
    potential = LossPotential(network(), labels)
    _, gradient = potential.value_and_gradient(inputs)
    torch.testing.assert_close(potential.force(inputs), -gradient)
    step = torch.randn_like(inputs) * 1e-6
    numerical = (potential.value(inputs + step) - potential.value(inputs - step)) / 2
    torch.testing.assert_close(numerical, (gradient * step).flatten(1).sum(1), rtol=1e-5, atol=1e-12)
    assert (potential.gradients, potential.evaluations) == (2 * len(inputs), 2 * len(inputs))


def test_the_callers_module_stays_as_it_is():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(36), nn.Linear(36, 4)).train()
    inputs, labels = images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    potential = LossPotential(model, labels, dtype=torch.float64)
    first, second = potential.value(inputs), potential.value(inputs)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first.dtype == torch.float64
    assert model.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_loss_must_give_a_value_for_each_sample():
    inputs, labels = images()
    with pytest.raises(InputError, match="reduction='none'"):
        LossPotential(network(), labels, loss=nn.CrossEntropyLoss()).value(inputs)
    with pytest.raises(InputError, match="needs labels"):
        LossPotential(network()).value(inputs)


def test_a_foreign_attack_becomes_a_path():
    model, (inputs, labels) = network(), images()
    recorder = Recorder(model)
    moved = inputs.clone()
    for _ in range(4):
        moved = moved.detach().requires_grad_()
        loss = nn.functional.cross_entropy(recorder(moved), labels)
        moved = moved + 0.1 * torch.autograd.grad(loss, moved)[0].sign()
        with torch.no_grad():
            recorder(moved.detach())  # whether it has succeeded: no iterate
    path = recorder.path(inputs, moved, "mine")
    assert path.gradients == 4
    assert len(path.points) == 5
    torch.testing.assert_close(path.start, inputs, rtol=0, atol=0)
    torch.testing.assert_close(path.end, moved.detach(), rtol=0, atol=0)
    torch.testing.assert_close(path.length(float("inf")), torch.full((5,), 0.4, dtype=torch.float64))
    recorder(moved[:2].detach().requires_grad_())
    with pytest.raises(InputError, match="keep the batch together"):
        recorder.path(inputs, moved)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_cross_entropy_is_torchs_and_exact_where_that_rounds(dtype):
    logits = (20 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    labels = torch.arange(50) % 4
    ours, theirs = cross_entropy(logits, labels), F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(ours, theirs)
    (one,), (other,) = (torch.autograd.grad(loss.sum(), logits) for loss in (ours, theirs))
    torch.testing.assert_close(one, other)
    sure = torch.tensor([[60.0, 0.0, -5.0]], dtype=dtype, requires_grad=True)
    loss = cross_entropy(sure, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss.sum(), sure)
    expected = torch.tensor([60.0, 65.0], dtype=torch.float64).neg().exp()
    torch.testing.assert_close(gradient[0, 1:].double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(-gradient[0, 0].double(), expected.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss[0].double(), expected.sum(), rtol=1e-5, atol=0)
