"""Which architectures exist, and how one is made. Listing them loads no domain and no torch.

Built-in architectures stand in a table; a domain's module is imported when one of its models is first asked for. Anyone
may add their own:

    @register_model("my_potential", config=MyConfig, domain="potentials")
    class MyPotential(torch.nn.Module):
        def __init__(self, config: MyConfig) -> None: ...
        def example_inputs(self) -> dict[str, torch.Tensor]: ...
        def forward(self, **inputs: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]: ...
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import re
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from sciml_zoo.errors import InputError, nearest
from sciml_zoo.zoo.frozen import from_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from torch import Tensor, nn

    Migration = Callable[[dict[str, Any], dict[str, Tensor], int], tuple[dict[str, Any], dict[str, Tensor]]]

    ModelType = TypeVar("ModelType", bound=type[nn.Module])

__all__ = [
    "DOMAINS",
    "Architecture",
    "Registration",
    "ZooModel",
    "create_model",
    "get_architecture",
    "get_registration",
    "list_models",
    "load_domain",
    "register_model",
]

#: The module of each domain that the command line's common verbs call.
DOMAINS: dict[str, str] = {
    "adversarial": "sciml_zoo.adversarial",
    "emissions": "sciml_zoo.emissions",
    "ising": "sciml_zoo.ising",
    "potentials": "sciml_zoo.potentials",
    "splicing": "sciml_zoo.splicing",
}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without importing it.

    Attributes:
        name: the registered name.
        domain: the domain that it belongs to.
        module: the module whose import registers it.
        summary: one line.
    """

    name: str
    domain: str
    module: str
    summary: str


@runtime_checkable
class ZooModel(Protocol):
    """What a registered ``nn.Module`` has, beside being one. :func:`register_model` sets the class attributes."""

    architecture: ClassVar[str]
    architecture_version: ClassVar[int]
    config_type: ClassVar[type[Any]]

    @property
    def config(self) -> Any:
        """The frozen dataclass that the model was made from."""

    @property
    def example_inputs(self) -> Callable[[], dict[str, Tensor]]:
        """Called without arguments, gives small typical inputs for :attr:`forward`, always the same."""

    @property
    def forward(self) -> Callable[..., Tensor | dict[str, Tensor]]:
        """Takes the inputs by name; shapes and units are the model's own and stand in its docstring."""


@dataclasses.dataclass(frozen=True)
class Registration:
    """A registered class and how its checkpoints are read.

    Attributes:
        model_type: the class.
        config_type: its configuration.
        version: the version of its configuration and tensors.
        migrate: upgrades the configuration and tensors of an older version, if that can be done.
        golden_tolerance: relative and absolute tolerance when golden predictions are replayed.
    """

    model_type: type[nn.Module]
    config_type: type[Any]
    version: int
    migrate: Migration | None
    golden_tolerance: tuple[float, float]


_BUILT_IN = (
    Architecture(
        "boltzmann_machine",
        "ising",
        "sciml_zoo.ising.model",
        "Two-valued stochastic units on any graph, visible and hidden: the Ising model as a network that learns",
    ),
    Architecture(
        "digits_cnn",
        "adversarial",
        "sciml_zoo.adversarial.model",
        "Small convolutional classifier of square grey images, smooth or piecewise linear, standard or robust",
    ),
    Architecture(
        "emissions_rnn",
        "emissions",
        "sciml_zoo.emissions.model",
        "Joint forecasts of the emissions of many companies: a recurrent network that samples trajectories",
    ),
    Architecture(
        "gto_potential",
        "potentials",
        "sciml_zoo.potentials.model",
        "Interatomic potential on densities of Gaussian-type orbitals, with recursion and invariants of body order ≥ 4",
    ),
    Architecture(
        "radial_potential",
        "potentials",
        "sciml_zoo.potentials.model",
        "Interatomic potential on distances only: the simplest rotation-invariant baseline",
    ),
    Architecture(
        "rbm",
        "ising",
        "sciml_zoo.ising.model",
        "Restricted Boltzmann machine: visible and hidden units, coupled only with each other",
    ),
    Architecture(
        "splice_lstm",
        "splicing",
        "sciml_zoo.splicing.lstm",
        "Splice sites by a bidirectional LSTM: the classical recurrent network, for comparison",
    ),
    Architecture(
        "splice_rnn",
        "splicing",
        "sciml_zoo.splicing.model",
        "Splice sites of both strands by gated linear recurrences, equivariant under the reverse complement",
    ),
)
_architectures: dict[str, Architecture] = {architecture.name: architecture for architecture in _BUILT_IN}
_registrations: dict[str, Registration] = {}


def register_model(
    name: str,
    *,
    config: type[Any],
    domain: str,
    version: int = 1,
    migrate: Migration | None = None,
    golden_tolerance: tuple[float, float] = (1e-5, 1e-5),
) -> Callable[[ModelType], ModelType]:
    """Makes a class known by name, so that it can be listed, created, saved and loaded.

    Args:
        name: the architecture's name: lower-case letters, digits and underscores.
        config: a frozen dataclass; the class is constructed as ``cls(config)``.
        domain: the domain that it belongs to.
        version: to be raised when the configuration or the tensors change their meaning.
        migrate: ``migrate(config, tensors, version) -> (config, tensors)`` upgrades what an older version saved.
        golden_tolerance: ``(rtol, atol)``: a replayed golden prediction may differ by ``atol + rtol·|golden|``, in the
            unit of the output. Choose ``atol`` as the difference that nobody in the field would notice.

    Returns:
        A class decorator, which sets ``architecture``, ``architecture_version`` and ``config_type``.

    Raises:
        ValueError: the name has other characters or is taken by another class.
        TypeError: the configuration is not a frozen dataclass.
    """
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError(f"architecture name {name!r}: use lower-case letters, digits and underscores")
    parameters = getattr(config, "__dataclass_params__", None)
    if not isinstance(config, type) or parameters is None or not parameters.frozen:
        raise TypeError(f"the config of {name!r} must be a frozen dataclass, not {config!r}")

    def register(model_type: ModelType) -> ModelType:
        known = _architectures.get(name)
        earlier = _registrations.get(name)
        if earlier and _place(earlier.model_type) != _place(model_type):
            raise ValueError(f"architecture {name!r} is already registered by {_place(earlier.model_type)}")
        if known and not earlier and _package(known.module) != _package(model_type.__module__):
            raise ValueError(f"architecture {name!r} belongs to {_package(known.module)}")
        if known and known.domain != domain:
            raise ValueError(f"architecture {name!r} belongs to the domain {known.domain!r}, not {domain!r}")
        attributes = {"architecture": name, "architecture_version": version, "config_type": config}
        for attribute, value in attributes.items():
            setattr(model_type, attribute, value)
        if known is None:
            summary = (model_type.__doc__ or "").strip().partition("\n")[0]
            _architectures[name] = Architecture(name, domain, model_type.__module__, summary)
        _registrations[name] = Registration(model_type, config, version, migrate, golden_tolerance)
        return model_type

    return register


def _place(model_type: type[Any]) -> str:
    return f"{model_type.__module__}.{model_type.__qualname__}"


def _package(module: str) -> str:
    return module.rpartition(".")[0]


def get_architecture(name: str) -> Architecture:
    """Looks an architecture up by name, without importing it.

    Args:
        name: the architecture's name.

    Returns:
        What the table says of it.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return _architectures[name]
    except KeyError:
        raise InputError(
            f"unknown architecture {name!r}: {nearest(name, _architectures)} (an architecture of your own is known "
            "once the module that registers it has been imported)"
        ) from None


def get_registration(name: str) -> Registration:
    """Looks a registered class up by name; imports its module if that has not happened yet.

    Args:
        name: the architecture's name.

    Returns:
        The class with its configuration and version.

    Raises:
        InputError: there is none of that name.
    """
    architecture = get_architecture(name)
    if name not in _registrations:
        importlib.import_module(architecture.module)
    return _registrations[name]


def create_model(name: str, /, **overrides: Any) -> nn.Module:
    """Makes a model with random weights.

    Args:
        name: the architecture's name.
        **overrides: values of its configuration that differ from the defaults; nested ones as dictionaries.

    Returns:
        The model, in training mode.

    Raises:
        InputError: unknown architecture, unknown or missing key, or a value that the configuration refuses.
    """
    if "." in name and name.partition(".")[0] in _architectures:
        remedy = f"use load_model({name!r}), or create_model({name.partition('.')[0]!r})"
        raise InputError(f"{name!r} names trained weights: {remedy}")
    registration = get_registration(name)
    config = from_json(registration.config_type, overrides, name, complete=False)
    return registration.model_type(config)


def list_models(pattern: str = "*", *, pretrained: bool = False, domain: str | None = None) -> list[str]:
    """Lists architectures, or trained weights, without importing any.

    Args:
        pattern: shell wildcards, such as ``"gto*"``.
        pretrained: list the names of trained weights in place of architectures.
        domain: only those of this domain.

    Returns:
        Sorted names.

    Raises:
        InputError: unknown domain.
    """
    from sciml_zoo.zoo.manifest import manifest

    rows = manifest().values() if pretrained else _architectures.values()
    if domain is not None:
        domains = {*DOMAINS, *(architecture.domain for architecture in _architectures.values())}
        if domain not in domains:
            raise InputError(f"unknown domain {domain!r}: {nearest(domain, domains)}")
    return sorted(row.name for row in rows if fnmatch.fnmatchcase(row.name, pattern) and domain in (None, row.domain))


def load_domain(name: str) -> ModuleType:
    """Imports the module through which the command line's common verbs use a domain.

    Args:
        name: the domain's name.

    Returns:
        The domain's package: ``recipe_type``, ``prepare``, ``evaluate``, ``predict`` and ``demo``.

    Raises:
        InputError: unknown domain.
    """
    if name not in DOMAINS:
        raise InputError(f"unknown domain {name!r}: {nearest(name, DOMAINS)}")
    return importlib.import_module(DOMAINS[name])
