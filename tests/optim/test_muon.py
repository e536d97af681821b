"""Muon: what its update is, exactly, and what it reaches."""

import copy

import pytest
import torch
from torch import nn

from sciml_zoo.optim import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5), (3, 6, 4), (2, 3, 4, 7)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonalise(matrices))
    assert singular.min() > 0.6
    assert singular.max() < 1.3


def test_orthogonalising_keeps_the_singular_vectors():
    matrix = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.T @ orthogonalise(matrix) @ vh.T
    torch.testing.assert_close(rotated, torch.diag(rotated.diagonal()), atol=1e-10, rtol=0)


def test_a_stack_is_updated_like_its_matrices_one_by_one():
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(3, 4, 6, generator=generator)
    gradients = [torch.randn(3, 4, 6, generator=generator) for _ in range(4)]
    stack = nn.Parameter(start.clone())
    single = [nn.Parameter(matrix.clone()) for matrix in start]
    together = Muon([{"params": [stack], "orthogonal": True}], lr=0.01)
    apart = Muon([{"params": single, "orthogonal": True}], lr=0.01)
    for gradient in gradients:
        stack.grad = gradient
        for parameter, part in zip(single, gradient, strict=True):
            parameter.grad = part
        together.step()
        apart.step()
    torch.testing.assert_close(stack.detach(), torch.stack([p.detach() for p in single]))


def test_the_update_has_the_stated_size():
    weight = nn.Parameter(torch.zeros(16, 16))
    weight.grad = torch.randn(16, 16, generator=torch.Generator().manual_seed(3))
    Muon([{"params": [weight], "orthogonal": True}], lr=0.1).step()
    # Singular values s of the update lie near lr · 0.2 · √16; its rms is then near 0.2 · lr.
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.1 * 0.2, rel=0.3)


def test_vectors_follow_adam():
    generator = torch.Generator().manual_seed(4)
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    muon = Muon([ours], lr=0.02, betas=(0.8, 0.95), eps=1e-8, weight_decay=0.1)
    adam = torch.optim.AdamW([theirs], lr=0.02, betas=(0.8, 0.95), eps=1e-8, weight_decay=0.1)
    for _ in range(10):
        ours.grad = torch.randn(5, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_parameters_are_sorted_by_kind():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Linear(3, 1))
    optimizer = Muon.from_model(model)
    matrices, others = (group["params"] for group in optimizer.param_groups)
    assert [p.shape for p in matrices] == [torch.Size([3, 4])]  # a single row has no direction to orthogonalise
    assert len(others) == 4


def test_it_solves_a_linear_problem_better_than_it_began():
    generator = torch.Generator().manual_seed(5)
    x, target = torch.randn(64, 8, generator=generator), torch.randn(8, 8, generator=generator)
    layer = nn.Linear(8, 8)
    optimizer = Muon.from_model(layer, lr=0.05)
    losses = []
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 400)
        loss = (layer(x) - x @ target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]


def test_its_state_survives_saving():
    weights = [nn.Parameter(torch.eye(3)) for _ in range(2)]
    optimizers = [Muon([{"params": [w], "orthogonal": True}], lr=0.1) for w in weights]
    gradients = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(6))
    for gradient in gradients[:3]:
        weights[0].grad = gradient
        optimizers[0].step()
    weights[1].data.copy_(weights[0].data)
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for gradient in gradients[3:]:
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = gradient
            optimizer.step()
    assert torch.equal(weights[0], weights[1])
