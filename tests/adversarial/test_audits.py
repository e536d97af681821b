"""The audit: broken gradients are found, honest ones are not accused."""

import pytest
import torch
from torch import Tensor, nn

from sciml_zoo.adversarial.audits import _sampled, audit
from sciml_zoo.adversarial.path import Path
from sciml_zoo.adversarial.potential import LossPotential, cross_entropy
from sciml_zoo.adversarial.segments import Segments
from sciml_zoo.errors import InputError

from .networks import images, network


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.read = nn.Linear(6, 8), nn.Linear(8, 4)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.layer(self.embed(x.squeeze(1))).mean(1))


class MaskedSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sigmoid(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        value = torch.sigmoid(x)
        return upstream * value * (1 - value) * (x.abs() < 0.5)


class Before(nn.Module):
    """A network with something done to its input."""

    def __init__(self, change, model: nn.Module) -> None:
        super().__init__()
        self.change, self.model = change, model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.change(x))


def quantised(x: Tensor) -> Tensor:
    return torch.round(x * 7) / 7


def clipped(x: Tensor) -> Tensor:
    x = x * 1.0
    if x.requires_grad:
        x.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
    return x


def scaled(x: Tensor) -> Tensor:
    return 1.05 * x - 0.05 * x.detach()


def wrong_label(outputs: Tensor, labels: Tensor | None) -> Tensor:
    assert labels is not None
    right, wrong = cross_entropy(outputs, labels), cross_entropy(outputs, (labels + 1) % 4)
    return right.detach() + wrong - wrong.detach()


def flat(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), *layers).eval()


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    return flat(*(layer for _ in range(8) for layer in (nn.Linear(36, 36), nn.SiLU())), nn.Linear(36, 4))


HONEST = {
    "gelu": lambda: network(nn.GELU),
    "relu": lambda: network(nn.ReLU),
    "tanh": lambda: network(nn.Tanh),
    "softplus": lambda: network(nn.Softplus),
    "deep": deep,
    "wide": lambda: flat(nn.Linear(36, 512), nn.GELU(), nn.Linear(512, 4)),
    "batch norm": lambda: flat(nn.Linear(36, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)),
    "batch norm, training": lambda: flat(nn.Linear(36, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Linear(16, 4)).train(),
    "deep ReLU": lambda: flat(
        *(layer for _ in range(12) for layer in (nn.Linear(36, 36), nn.ReLU())), nn.Linear(36, 4)
    ),
    "wide ReLU": lambda: flat(nn.Linear(36, 4096), nn.ReLU(), nn.Linear(4096, 4)),
    "kinks that are not known": lambda: network(lambda: nn.ELU(2.0)),
    "max pool": lambda: network(nn.ReLU, pool=True),
    "attention": lambda: Attention().eval(),
}
BROKEN = {
    "masked sigmoid": lambda: flat(nn.Linear(36, 16), Before(MaskedSigmoid.apply, nn.Linear(16, 4))),
    "quantised": lambda: Before(quantised, network()),
    "straight-through": lambda: Before(lambda x: x + (quantised(x) - x).detach(), network()),
    "dropout": lambda: flat(nn.Linear(36, 16), nn.Dropout(0.2), nn.GELU(), nn.Linear(16, 4)).train(),
    "noise": lambda: Before(lambda x: x + 0.01 * torch.randn_like(x), network()),
    "detached branch": lambda: Before(lambda x: x + 0.5 * torch.tanh(x).detach(), network()),
    "clipped": lambda: Before(clipped, network()),
    "quantised finely": lambda: Before(lambda x: x + (torch.round(x * 256) / 256 - x).detach(), network(nn.ReLU)),
    "scaled, ReLU": lambda: Before(scaled, network(nn.ReLU)),
    "no gradient": lambda: Before(lambda x: x.detach(), network()),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_gradient_is_believed(name):
    inputs, labels = images(4)
    found = audit(HONEST[name](), inputs.float(), labels)
    assert found.honest, found.reason
    assert found.margin < 0.2
    assert found.coupled == (name == "batch norm, training")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_gradient_is_found(name):
    inputs, labels = images(4)
    found = audit(BROKEN[name](), inputs.float(), labels)
    assert not found.honest
    assert found.margin > 10
    assert ("average over draws" in found.reason) == (name in ("dropout", "noise"))


def test_a_loss_of_another_label_and_a_mean_over_the_batch():
    inputs, labels = images(4)
    assert not audit(network(), inputs, labels, wrong_label).honest
    assert audit(network(), inputs, labels, nn.CrossEntropyLoss()).honest


def test_a_model_of_fixed_precision_is_audited_in_it():
    model = network().float()

    def single(x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise TypeError("single precision only")
        found: Tensor = model(x)
        return found

    inputs, labels = images(3)
    assert audit(single, inputs.float(), labels).honest


def test_a_model_that_computes_in_single_precision_is_not_accused_of_its_rounding():
    inner = [network(nn.ReLU).float()]
    inputs, labels = images(4)
    found = audit(lambda x: inner[0](x.float()).to(x.dtype), inputs, labels)
    assert found.honest, found.reason
    assert found.tolerance == 1e-2
    broken = audit(lambda x: inner[0](quantised(x).float()).to(x.dtype), inputs, labels)
    assert not broken.honest


def test_one_kink_on_a_line_is_within_the_error_of_samples():
    start = torch.full((200, 1), -1.0, dtype=torch.float64)
    potential = LossPotential(lambda x: (x[:, 0] - 0.3).relu(), loss=None)
    segments = Segments(potential, Path.straight(start, -start))
    torch.manual_seed(0)
    total, deviation, effort = _sampled(segments, torch.ones(200, dtype=torch.bool), 32)
    assert ((total - 0.7).abs() <= 2 * deviation).all()
    # Half a stratum of the line of length 2.
    assert (deviation < 1.01 * 2 / 64).all()
    torch.testing.assert_close(effort, total)


def test_the_callers_random_numbers_and_model_are_left_alone():
    model = HONEST["batch norm, training"]()
    inputs, labels = images(4)
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    statistics = model[2].running_mean.clone()
    audit(model, inputs.float(), labels)
    torch.testing.assert_close(torch.rand(2), expected)
    torch.testing.assert_close(model[2].running_mean, statistics)
    assert model.training


def test_what_cannot_be_audited_is_refused():
    inputs, labels = images(2)
    with pytest.raises(InputError, match="floating"):
        audit(network(), inputs.long(), labels)
    with pytest.raises(InputError, match="cannot be copied, or evaluated"):
        audit(network(), inputs[:, :, :3], labels)
