"""The model card: ``README.md`` of a checkpoint directory, written from what is recorded and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciml_zoo.zoo.manifest import Weights

__all__ = ["model_card"]


def model_card(config_json: Mapping[str, Any], weights: Weights | None) -> str:
    """Writes a model card in Markdown.

    Args:
        config_json: the content of ``config.json``.
        weights: the manifest's row, for weights on the shelf; None for a checkpoint of one's own.

    Returns:
        The card: the same input gives the same text.
    """
    sections = _unlisted(config_json) if weights is None else _listed(weights)
    return "\n".join([*sections, *_configuration(config_json)]) + "\n"


def _listed(weights: Weights) -> list[str]:
    lines = [
        f"# {weights.name}",
        "",
        weights.summary,
        "",
        f"- Architecture: `{weights.architecture}` (domain `{weights.domain}`), {weights.parameters:,} parameters",
        f"- Licence of the weights: {weights.licence}",
        f"- sha256 of `model.safetensors`: `{weights.sha256}`",
        "",
        *_usage(weights.name),
        "## Data",
        "",
        *_table(("data set", "source", "licence"), ((d.name, d.source, d.licence) for d in weights.data)),
        "",
        "## Metrics",
        "",
        *_table(
            ("data set", "metric", "value", "unit", "seed", "command"),
            ((m.dataset, m.name, f"{m.value:.6g}", m.unit, m.seed, f"`{m.command}`") for m in weights.metrics),
        ),
        "",
        "## Domain of validity",
        "",
        weights.domain_of_validity,
        "",
        "## Known failures",
        "",
        *([f"- {failure}" for failure in weights.known_failures] or ["None recorded."]),
        "",
        "## Training",
        "",
        f"Recipe: `{weights.recipe}`",
        "",
        *_code("sh", weights.command),
    ]
    return [
        *lines,
        "## Citation",
        "",
        *_code("bibtex" if weights.citation.startswith("@") else "text", weights.citation),
    ]


def _unlisted(config_json: Mapping[str, Any]) -> list[str]:
    metadata = config_json["metadata"]
    licence = metadata.get("licence")
    return [
        f"# A `{config_json['architecture']}` checkpoint",
        "",
        f"- Architecture: `{config_json['architecture']}`, version {config_json['architecture_version']}",
        f"- Licence: {licence}" if licence else "- Licence: not stated. Ask whoever made it before using it.",
        "",
        *_usage("local-dir:PATH"),
        "## What is recorded of its making",
        "",
        *_code("json", json.dumps(metadata, indent=2, sort_keys=True)),
        "Training data, metrics, domain of validity and known failures: nothing else is recorded.",
        "",
    ]


def _usage(reference: str) -> list[str]:
    python = f'import sciml_zoo\n\nmodel = sciml_zoo.load_model("{reference}")\nsciml_zoo.verify("{reference}")'
    shell = f"sciml-zoo verify {reference}\nsciml-zoo predict {reference} INPUT -o OUTPUT"
    return ["## How to load it", "", *_code("python", python), *_code("sh", shell)]


def _configuration(config_json: Mapping[str, Any]) -> list[str]:
    golden = config_json["golden"]
    return [
        "## Configuration",
        "",
        *_code("json", json.dumps(config_json["config"], indent=2)),
        f"Golden predictions are replayed within rtol {golden['rtol']:g} and atol {golden['atol']:g}.",
    ]


def _code(language: str, text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}{language}", text.strip(), fence, ""]


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return [f"| {' | '.join(line)} |" for line in lines] if cells else ["None recorded."]
