"""Rows of the README's table of measured claims: the trainer and interatomic potentials."""

from typing import Any

__all__ = ["NEEDED", "measured"]

#: Benchmarks whose results are read.
NEEDED = (
    *(
        f"potentials.{name}"
        for name in (
            "accuracy",
            "dihedral",
            "water",
            "speed",
            "scaling",
            "dynamics",
            "bond_scan",
            "stress",
            "uncertainty",
            "selection",
            "calculator",
            "engines",
        )
    ),
    "training.overhead",
)

Row = tuple[str, str, str]
_MOLECULES = {"rmd17_ethanol": "rMD17 ethanol", "rmd17_aspirin": "rMD17 aspirin"}
_METALS = {"si": "Si", "mo": "Mo", "li": "Li"}
_FORCE_MAE, _ENERGY_MAE = "force_mae_mev_per_a", "energy_mae_mev"
_FORCE_RMSE, _ENERGY_RMSE = "force_rmse_mev_per_a", "energy_rmse_mev"
_PER_ATOM = "energy_rmse_mev_per_atom"
_PEERS = ("MACE 64x0e, float32", "MACE of rMD17, float32", "PaiNN, TorchScript")


def measured(results: dict[str, Any]) -> list[Row]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
    found = {name.removeprefix("potentials."): value for name, value in results.items() if name in NEEDED}
    overhead = results["training.overhead"]
    step = f"trainer over a bare PyTorch loop, step of {overhead['bare_ms_per_step']:.0f} ms"
    return [
        *_accuracy(found["accuracy"]["models"]),
        *_dihedral(found["dihedral"]),
        *_water(found["water"]),
        *_speed(found["speed"]["cases"]),
        *_scaling(found["scaling"]),
        *_dynamics(found["dynamics"]),
        *_bonds(found["bond_scan"]["molecules"]),
        *_uncertainty(found["uncertainty"]["systems"]),
        *_selection(found["selection"]),
        *_exactness(found),
        (step, f"{overhead['overhead_percent']:+.1f} %", "training.overhead"),
    ]


def _accuracy(models: dict[str, Any]) -> list[Row]:
    scores = {name: {row["file"]: row for row in model["tests"]} for name, model in models.items()}
    rows = []
    for name, words in _MOLECULES.items():
        test = scores[name][f"dataset:{name}/test.xyz"]
        peers = [
            f"{peer} {errors[_FORCE_MAE]:g} / {errors[_ENERGY_MAE]:g}"
            for peer, errors in test["published"].items()
            if peer in ("MACE", "NequIP", "PaiNN", "ACE")
        ]
        n = test["scores"]["n"]
        what = f"{words}, {n} test frames: force / energy MAE, meV/Å / meV (published: {', '.join(peers)})"
        rows.append((what, f"{test['scores'][_FORCE_MAE]:.2f} / {test['scores'][_ENERGY_MAE]:.2f}"))
    own = scores["rmd17_ethanol"]["dataset:samples/ethanol.xyz"]["scores"]
    what = "rMD17 ethanol against our own DFT (another code, same level): force MAE"
    rows.append((what, f"{own[_FORCE_MAE]:.2f} meV/Å"))
    for file, words in (("test_MD_300K", "300 K"), ("train_600K", "600 K, trained on 300 K alone")):
        found = scores["acac"][f"dataset:acac/{file}.xyz"]["scores"]
        what = f"acetylacetone, {found['n']} frames at {words}: force / energy RMSE"
        rows.append((what, f"{found[_FORCE_RMSE]:.1f} meV/Å / {found[_ENERGY_RMSE]:.2f} meV"))
    for name, words in _METALS.items():
        found = scores[name][f"dataset:mlearn_{name}/test.json"]["scores"]
        what = f"{words}, {found['n']} test structures of mlearn: energy / force RMSE"
        rows.append((what, f"{found[_PER_ATOM]:.2f} meV/atom / {found[_FORCE_RMSE]:.1f} meV/Å"))
    return [(*row, "potentials.accuracy") for row in rows]


def _dihedral(found: dict[str, Any]) -> list[Row]:
    what = "acetylacetone, dihedral scan far from its training data: barrier, ours / DFT"
    figure = f"{found['barrier_mev']:.0f} / {found['barrier_dft_mev']:.0f} meV"
    return [(what, figure, "potentials.dihedral")]


def _water(found: dict[str, Any]) -> list[Row]:
    held, peak, reference = found["held_out"], found["oo_peak"], found["oo_peak_dft"]
    deepmd = held["deepmd"]
    return [
        (
            f"liquid water, {held['n']} frames held out: force / energy RMSE, ours; DeePMD's own for this example",
            f"{held[_FORCE_RMSE]:.1f} meV/Å / {held[_PER_ATOM]:.3f} meV/atom; "
            f"{deepmd[_FORCE_RMSE]:.1f} / {deepmd[_PER_ATOM]:.3f}",
            "potentials.water",
        ),
        (
            f"{found['picoseconds']:.0f} ps of NVT of water, {found['atoms']} atoms: temperature; O–O peak, ours / DFT",
            f"{found['mean_temperature_k']:.0f} ± {found['error_temperature_k']:.0f} K; "
            f"{peak['position_a']:.2f} / {reference['position_a']:.2f} Å",
            "potentials.water",
        ),
    ]


def _speed(cases: dict[str, Any]) -> list[Row]:
    rows = []
    for case, each in cases.items():
        ours, eager = (each["models"][f"ours, {mode}"]["ms"] for mode in ("best", "eager"))
        ratios = [f"{name} {each['ratios'][name]:.0f}×" for name in _PEERS if name in each["ratios"]]
        what = f"energy and forces, {case}: C++ kernels / plain torch; others' time over ours"
        atoms = each["atoms"]
        figure = f"{ours:.2f} / {eager:.1f} ms" if atoms < 100 else f"{ours / atoms:.3f} / {eager / atoms:.3f} ms/atom"
        rows.append((what, f"{figure}; {', '.join(ratios)}", "potentials.speed"))
    return rows


def _scaling(found: dict[str, Any]) -> list[Row]:
    ours = found["sizes"]["sciml_zoo"]
    sizes = " / ".join(f"{row['atoms']:,}" for row in ours)
    costs = " / ".join(f"{row['us_per_atom']:.0f}" for row in ours)
    what = (
        f"water, {sizes} atoms, cutoff {ours[0]['cutoff']:g} Å, two threads: energy and forces; peak memory of the last"
    )
    return [(what, f"{costs} µs/atom; {ours[-1]['peak_gb']:.1f} GB", "potentials.scaling")]


def _dynamics(found: dict[str, Any]) -> list[Row]:
    what = (
        f"{found['picoseconds']:.0f} ps of NVE dynamics of ethanol, {found['step_fs']} fs, "
        f"{found['mean_temperature_K']:.0f} K: energy drift"
    )
    drift = f"{found['drift_mev_per_atom_per_ps']:.1e} meV/atom/ps"
    return [(what, f"{drift}, molecule {'intact' if found['intact'] else 'broken'}", "potentials.dynamics")]


def _bonds(molecules: dict[str, Any]) -> list[Row]:
    figures = [f"{name} {found['one_minimum']} of {found['n_bonds']}" for name, found in molecules.items()]
    return [
        ("bonds pressed to 0.6 and torn to 3 Å: those with one minimum", ", ".join(figures), "potentials.bond_scan")
    ]


def _uncertainty(systems: dict[str, Any]) -> list[Row]:
    mixed = next(row for row in systems["acac"]["sets"] if row["set"] == "300 K and 600 K")
    what = "uncertainty, acetylacetone at 300 and 600 K: error over expected; rank correlation, atoms / structures"
    figure = f"{mixed['ratio']:.2f}; {mixed['spearman_atoms']:.2f} / {mixed['spearman_structures']:.2f}"
    return [(what, figure, "potentials.uncertainty")]


def _selection(found: dict[str, Any]) -> list[Row]:
    row = found["pools"]["600 K"][-1]
    what = f"{row['n']} frames at 600 K labelled, last layer refitted: force RMSE, selected / at random / before"
    figure = f"{row['selected']:.1f} / {row['random']:.1f} / {found['before']['as trained']:.1f} meV/Å"
    return [(what, figure, "potentials.selection")]


def _exactness(found: dict[str, Any]) -> list[Row]:
    overhead = found["calculator"]["overhead_ms"]
    programs = found["engines"]["programs"]
    worst = max(row[error] for row in programs for error in ("energy", "forces", "stress") if error in row)
    names = " and ".join(dict.fromkeys(row["program"].partition(",")[0] for row in programs))
    return [
        (f"{names} against the calculator, float32: largest relative error", f"{worst:.0e}", "potentials.engines"),
        (
            "stress against strain differences, float64: largest relative error",
            f"{found['stress']['largest_relative_error']:.0e}",
            "potentials.stress",
        ),
        ("ASE calculator over the bare call, ethanol", f"{overhead:.2f} ms", "potentials.calculator"),
    ]
