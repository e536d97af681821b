"""Rows of the README's table of measured claims: splice sites."""

from typing import Any

__all__ = ["NEEDED", "measured"]

#: Benchmarks whose results are read.
NEEDED = tuple(f"splicing.{name}" for name in ("accuracy", "celegans", "scanning", "uci", "mpsa", "plasticity"))


def measured(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what was measured, the figure, and the benchmark.

    Args:
        results: by benchmark.
    """
    accuracy, worm, scanning = (results[f"splicing.{name}"] for name in ("accuracy", "celegans", "scanning"))
    names = ("donor_topk", "donor_ap", "acceptor_topk", "acceptor_ap")

    def scores(row: dict[str, Any]) -> str:
        return " / ".join(f"{row['mean'][name]:.3f}" for name in names)

    rows = accuracy["rows"]
    n_seeds = len(accuracy["seeds"])
    what = "donor top-k / AP / acceptor top-k / AP"
    found = [
        (
            f"A. thaliana, genes of chromosome 3, trained on 2, 4, 5: {what}, `{name}`",
            f"{scores(rows[name])}; {rows[name]['parameters']:,} parameters",
            "splicing.accuracy",
        )
        for name in rows
        if "." in name
    ]
    found += [
        (
            f"the same, {words}, {accuracy['bases'] / 1e6:.0f} Mb, mean of {n_seeds} seeds",
            f"{scores(rows[name])}; {rows[name]['parameters']:,} parameters",
            "splicing.accuracy",
        )
        for name, words in (
            ("splice_rnn", "`splice_rnn` without teachers"),
            ("spliceai_400", "SpliceAI-400 architecture"),
            ("spliceai_80", "SpliceAI-80 architecture"),
        )
    ]
    best = rows["splice_rnn.athaliana"]["mean"]
    return [
        *found,
        (
            "both strands of whole chromosome 3: precision at recall 0.8, `splice_rnn.athaliana`",
            f"{best['both_strands_precision']:.3f}",
            "splicing.accuracy",
        ),
        (
            "calibration error on chromosome 3: all candidates / sites of probability ≥ 0.1",
            f"{best['ece_candidates']:.4f} / {best['ece_sites']:.3f}",
            "splicing.accuracy",
        ),
        (f"C. elegans, chromosomes II and V: {what}", scores(worm), "splicing.celegans"),
        (
            "scan of 12 Mb, one thread: bases of one strand a second; memory for 1 / 12 Mb",
            f"{scanning['12_mb']['kb_per_second']:.0f} kb/s; "
            f"{scanning['1_mb']['peak_mb']:.0f} / {scanning['12_mb']['peak_mb']:.0f} MB",
            "splicing.scanning",
        ),
        (
            "the network alone over SpliceAI-400's, same thread",
            f"{scanning['speed_over_spliceai_400']:.1f}×",
            "splicing.scanning",
        ),
        (
            "scan in windows against the whole sequence, 1 Mb: largest difference of a probability",
            f"{scanning['largest_difference']:.0e}",
            "splicing.scanning",
        ),
        *_small_sequences(results),
    ]


def _small_sequences(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    uci, mpsa, plasticity = (results[f"splicing.{name}"] for name in ("uci", "mpsa", "plasticity"))
    errors = " / ".join(f"{uci[f'error_{name}']['mean']:.1f}" for name in ("N", "EI", "IE"))
    found = mpsa["found"]
    zero_shot = [found[f"{name}, zero-shot"]["spearman"] for name in ("network", "position-weight matrix")]
    heads = [found[f"{name}, fitted"]["r2"] for name in ("network's features", "nine bases")]
    against = plasticity["effects"]
    effects = "; ".join(
        f"({letter}) {row['mean']:+.4f} ({row['low']:+.4f} … {row['high']:+.4f})"
        for letter in "ab"
        for row in [against[f"({letter}) against shuffled"]["ap"]]
    )
    return [
        (
            f"UCI junctions, ten-fold, {len(uci['seeds'])} repeats: errors N / EI / IE "
            "(KBANN 4.6 / 7.6 / 8.5, backpropagation 5.3 / 5.7 / 10.8)",
            f"{errors} %",
            "splicing.uci",
        ),
        (
            "measured 5′ sites (MPSA): Spearman's ρ without fitting, network / position-weight matrix; R² of fitted "
            "heads, network's features / nine bases",
            f"{zero_shot[0]:.2f} / {zero_shot[1]:.2f}; {heads[0]:.2f} / {heads[1]:.2f}",
            "splicing.mpsa",
        ),
        (
            "methylation as learning rate, κ = 0.9: change of AP against shuffled methylation, 95 % interval",
            effects,
            "splicing.plasticity",
        ),
    ]
