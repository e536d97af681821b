"""A shelf of one's own: what a manifest row states beside the files' hashes."""

from typing import Any

FIELDS: dict[str, Any] = {
    "summary": "A toy | for tests",
    "parameters": 12,
    "licence": "CC0-1.0",
    "data": [{"name": "numbers", "source": "https://example.org/numbers", "licence": "CC-BY-4.0"}],
    "metrics": [
        {
            "dataset": "numbers",
            "name": "force MAE",
            "value": 6.54321098,
            "unit": "meV/Å",
            "seed": 3,
            "command": "sciml-zoo evaluate toy_linear.tiny numbers.xyz",
        }
    ],
    "command": "sciml-zoo train scripts/recipes/toy_linear.tiny.yaml --out runs/tiny",
    "recipe": "scripts/recipes/toy_linear.tiny.yaml",
    "domain_of_validity": "Numbers between −1 and 1.",
    "known_failures": ["Large numbers.", "Complex numbers."],
    "citation": "@misc{toy, title={A toy}}",
}
