"""A small registered architecture with a nested configuration, and ways to break its checkpoints."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from sciml_zoo.zoo.registry import register_model


@dataclasses.dataclass(frozen=True)
class Head:
    bias: bool = True
    gain: float = 0.5
    activation: Literal["tanh", "none"] = "tanh"


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    width: int = 3
    rates: tuple[float, ...] = (0.1, 0.25)
    elements: tuple[tuple[str, int], ...] = (("H", 1), ("C", 6))
    head: Head = Head()
    cutoff: float | None = None
    title: str = "toy"

    def __post_init__(self) -> None:
        if not 0 < self.width < 1000:
            raise ValueError(f"width must be between 1 and 999, not {self.width}")


def migrate(config: dict, tensors: dict[str, Tensor], version: int) -> tuple[dict, dict[str, Tensor]]:
    """Version 1 called the width ``n``, had no title, and kept the weight transposed."""
    assert version == 1
    config = {"title": "toy", **config}
    config["width"] = config.pop("n")
    return config, {**tensors, "linear.weight": tensors["linear.weight"].T.contiguous()}


@register_model("toy_linear", config=ToyConfig, domain="toys", version=2, migrate=migrate)
class Toy(nn.Module):
    """A linear layer, a running count, a tied weight and the derivative of the output."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.width, 2, bias=config.head.bias)
        self.tied = self.linear
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("rates", torch.tensor(config.rates), persistent=False)

    def example_inputs(self) -> dict[str, Tensor]:
        x = torch.linspace(-1, 1, 4 * self.config.width).reshape(4, -1)
        return {"x": x.to(self.linear.weight.dtype)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = x.requires_grad_()
        energy = (self.dropout(self.linear(x)) * self.rates.sum()).tanh().sum()
        (gradient,) = torch.autograd.grad(energy, x)
        return {"energy": energy, "force": -gradient, "count": self.count}


def edit_json(path: Path, **changes: object) -> None:
    """Changes keys of a JSON object; the value ``...`` deletes the key."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        content.pop(key, None) if value is ... else content.update({key: value})
    path.write_text(json.dumps(content))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_state(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert torch.equal(a[name], b[name]), name
