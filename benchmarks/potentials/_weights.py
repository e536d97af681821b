"""Weights that benchmarks take, some of which may not have been trained yet."""

import re

import sciml_zoo as sz
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.potential import Potential

__all__ = ["available", "short_name"]


def available(reference: str) -> Potential | None:
    """Returns a potential, or says why there is none.

    Args:
        reference: a weights name, or ``local-dir:…``.
    """
    try:
        model = sz.load_model(reference)
    except InputError as error:
        print(f"{reference}: left out, there are no such weights that this version reads: {error}", flush=True)
        return None
    if not isinstance(model, Potential):
        print(f"{reference}: left out, it is not an interatomic potential", flush=True)
        return None
    return model


def short_name(reference: str) -> str:
    """Returns what names weights in a file: ``water`` for ``gto_potential.water``."""
    return re.sub(r"[^\w-]+", "_", reference.removeprefix("local-dir:").removeprefix("gto_potential.")).strip("_")
