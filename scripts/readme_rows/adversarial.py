"""Rows of the README's table of measured claims: adversarial paths."""

from typing import Any

__all__ = ["NEEDED", "measured"]

_NAMES = ("closure", "completeness", "saddles", "minimum_norm", "detector", "recorders", "cost", "robustness")
#: Benchmarks whose results are read.
NEEDED = tuple(f"adversarial.{name}" for name in _NAMES)
_NETWORKS = {"standard_gelu": "GELU", "standard_relu": "ReLU"}
_OURS = "sciml_zoo"


def measured(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
    found = {name: results[f"adversarial.{name}"] for name in _NAMES}
    rows = [
        *_closure(found["closure"]),
        *_completeness(found["completeness"]),
        *_detector(found["detector"]),
        *_minimum_norm(found["minimum_norm"]),
        *_recorders(found["recorders"]),
        *_cost(found["cost"]),
        *_saddles(found["saddles"]),
        *_robustness(found["robustness"]),
    ]
    return [(what, figure, f"adversarial.{name}") for what, figure, name in rows]


def _closure(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    models = found["models"]

    def largest(name: str) -> str:
        return f"{max(row['largest_relative_closure'] for row in models[name]['attacks'].values()):.1e}"

    n_attacks = len(models["standard_gelu"]["attacks"])
    loops = models["standard_gelu"]["around"]["loops"]
    return [
        (
            f"work of {n_attacks} attacks on {found['n']} test digits: largest |W − ΔL| / max(|ΔL|, 0.001), "
            + " / ".join(_NETWORKS.values()),
            " / ".join(largest(name) for name in _NETWORKS),
            "closure",
        ),
        (
            f"work around {loops} loops, of ∫ ‖∇L‖ ds: largest, " + " / ".join(_NETWORKS.values()),
            " / ".join(f"{models[name]['around']['largest']:.1e}" for name in _NETWORKS),
            "closure",
        ),
    ]


def _completeness(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for name, network in _NETWORKS.items():
        table = [row for row in found["models"][name]["logit"]["rows"] if row["gradients"] == found["gradients"]]
        ours = next(row for row in table if row["method"] == "ours")
        best = min((row for row in table if row is not ours), key=lambda row: row["median"])
        beside = f" and {ours['evaluations']:.0f} values" if ours["evaluations"] > found["gradients"] else ""
        rows.append(
            (
                f"completeness of integrated gradients, {found['gradients']} gradients, {network}: median error, "
                f"captum's best ({best['method']})",
                f"{ours['median']:.1e}{beside}, captum {best['median']:.1e}",
                "completeness",
            )
        )
    return rows


def _detector(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    right, tables = found["right"], found["tables"]
    return [
        (
            "audit of gradients: 8 honest and 8 broken classifiers; variants of them: right",
            f"{right['sixteen']} of {len(tables['sixteen'])}; {right['stress']} of {len(tables['stress'])}",
            "detector",
        )
    ]


def _minimum_norm(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for norm, symbol in (("l2", "L2"), ("linf", "L∞")):
        for budget in (100, 1000):
            case = [
                row
                for row in found["rows"]
                if (row["weights"], row["norm"], row["budget"]) == ("digits_cnn.standard_gelu", norm, budget)
                and row["median"] is not None
            ]
            ours = next(row for row in case if row["attack"] == _OURS)
            best = min((row for row in case if row is not ours), key=lambda row: row["median"])
            rows.append(
                (
                    f"smallest perturbation, {symbol}, {budget} gradients: median, foolbox's best ({best['attack']})",
                    f"{ours['median']:.4f}, foolbox {best['median']:.4f}",
                    "minimum_norm",
                )
            )
    return rows


def _recorders(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = [row for table in found["models"].values() for row in table]
    largest = max(row["largest_relative_closure"] for row in rows)
    return [("recorded PGD of foolbox and torchattacks: largest closure", f"{largest:.1e}", "recorders")]


def _cost(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    ratios = [
        attack["cpu_ratio"]["median"]
        for network in found["models"].values()
        for precision in network["recording"].values()
        for attack in precision.values()
    ]
    tables = {name: found["models"][name]["integration"] for name in _NETWORKS}
    gradients = {
        name: [row["tolerances"]["1e-09"]["gradients_per_segment"] for row in table.values()]
        for name, table in tables.items()
    }
    spans = " / ".join(f"{min(row):.0f} to {max(row):.0f}" for row in gradients.values())
    return [
        ("recording an attack over the attack alone, 9 attacks: largest median", f"{max(ratios):.2f}", "cost"),
        (
            "gradients per segment of the integral at tolerance 1e-9, GELU / ReLU",
            spans,
            "cost",
        ),
    ]


def _saddles(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    bands = [model["band"] for model in found["models"].values()]
    pairs, refined, above = (sum(band[key] for band in bands) for key in ("pairs", "found", "above_line"))
    return [
        (
            "digits and twins: saddles refined to ‖∇V‖ ≤ 1e-6 with one negative eigenvalue; above the straight line",
            f"{refined} of {pairs}; {above}",
            "saddles",
        )
    ]


def _robustness(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    quantities = found["pairs"]["gelu"]["quantities"]

    def ratio(name: str) -> str:
        row = quantities[name]["median"]
        return f"{row['ratio']:.2f} ({row['ratio_interval'][0]:.2f} to {row['ratio_interval'][1]:.2f})"

    words = {
        "distance_l2": "distance to the boundary, L2",
        "attack_work": "work to the boundary, PGD",
        "attack_force": "mean force on that way",
        "ball_work": "work gained in a ball of radius 0.5",
        "barrier_forward": "barrier of V",
        "barrier_minimum_to_saddle": "distance from minimum to saddle",
    }
    return [
        (f"trained against attacks over standard, GELU: {text} (95 %)", ratio(name), "robustness")
        for name, text in words.items()
    ]
