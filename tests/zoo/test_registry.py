"""Names, and what may be registered under them."""

import dataclasses
import importlib
import sys

import pytest
from torch import nn

from sciml_zoo.errors import InputError
from sciml_zoo.zoo import registry
from sciml_zoo.zoo.registry import (
    ZooModel,
    create_model,
    get_architecture,
    get_registration,
    list_models,
    load_domain,
    register_model,
)

from . import toy
from .toy import Head, Toy, ToyConfig


def test_registered_class_knows_its_name() -> None:
    assert (Toy.architecture, Toy.architecture_version, Toy.config_type) == ("toy_linear", 2, ToyConfig)
    architecture = get_architecture("toy_linear")
    assert (architecture.domain, architecture.module) == ("toys", Toy.__module__)
    assert architecture.summary == "A linear layer, a running count, a tied weight and the derivative of the output."
    assert isinstance(Toy(ToyConfig()), ZooModel)
    assert not isinstance(nn.Linear(1, 1), ZooModel)


def test_create_model_takes_overrides_also_nested_ones() -> None:
    model = create_model("toy_linear", width=7, rates=[1, 2], head={"bias": False})
    assert type(model) is Toy
    assert model.training
    assert model.config == ToyConfig(width=7, rates=(1.0, 2.0), head=Head(bias=False))
    assert create_model("toy_linear", head=Head(gain=2.0)).config.head == Head(gain=2.0)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("toy_liner", {}, r"unknown architecture 'toy_liner': did you mean 'toy_linear'\?"),
        ("toy_linear", {"wdth": 3}, r"toy_linear: unknown key 'wdth': did you mean 'width'\?"),
        ("toy_linear", {"width": "wide"}, r"toy_linear\.width: expected int"),
        ("toy_linear", {"width": 5000}, r"width must be between 1 and 999"),
        ("toy_linear", {"head": {"bais": True}}, r"toy_linear\.head: unknown key 'bais': did you mean 'bias'\?"),
        ("toy_linear.ethanol", {}, r"names trained weights: use load_model\('toy_linear\.ethanol'\)"),
    ],
)
def test_create_model_says_what_is_wrong(name: str, overrides: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_model(name, **overrides)


def test_listing() -> None:
    assert list_models("toy*") == ["toy_linear"]
    assert {"gto_potential", "radial_potential"} <= set(list_models())
    assert list_models() == sorted(list_models())
    assert list_models("*_potential", domain="potentials") == ["gto_potential", "radial_potential"]
    assert list_models(domain="toys") == ["toy_linear"]
    assert list_models("nothing*") == []
    with pytest.raises(InputError, match=r"unknown domain 'potential': did you mean 'potentials'\?"):
        list_models(domain="potential")


def test_duplicate_name_raises_but_the_same_class_again_does_not() -> None:
    before = get_registration("toy_linear").model_type
    with pytest.raises(ValueError, match=r"'toy_linear' is already registered by .*toy\.Toy"):

        @register_model("toy_linear", config=ToyConfig, domain="toys")
        class Other(nn.Module):
            pass

    assert get_registration("toy_linear").model_type is before
    register_model("toy_linear", config=ToyConfig, domain="toys", version=2)(Toy)


def test_a_reloaded_module_replaces_its_class() -> None:
    reloaded = importlib.import_module(toy.__name__)
    source = importlib.util.find_spec(toy.__name__)
    fresh = importlib.util.module_from_spec(source)
    sys.modules[toy.__name__] = fresh
    try:
        source.loader.exec_module(fresh)
        assert get_registration("toy_linear").model_type is fresh.Toy
        assert fresh.Toy is not Toy
    finally:
        sys.modules[toy.__name__] = reloaded


def test_a_built_in_name_cannot_be_taken() -> None:
    with pytest.raises(
        ValueError, match=r"'radial_potential' (belongs to|is already registered by) sciml_zoo\.potentials"
    ):

        @register_model("radial_potential", config=ToyConfig, domain="potentials")
        class Mine(nn.Module):
            pass


@pytest.mark.parametrize("name", ["", "My_Model", "a.b", "../x", "a b"])
def test_names_have_plain_characters(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        register_model(name, config=ToyConfig, domain="toys")


def test_the_config_is_a_frozen_dataclass() -> None:
    @dataclasses.dataclass
    class Loose:
        width: int = 1

    for config in (Loose, dict, ToyConfig()):
        with pytest.raises(TypeError, match="frozen dataclass"):
            register_model("toy_loose", config=config, domain="toys")


def test_domains_are_imported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.DOMAINS, "toys", toy.__name__)
    assert load_domain("toys") is toy
    with pytest.raises(InputError, match=r"unknown domain 'toy': did you mean 'toys'\?"):
        load_domain("toy")
