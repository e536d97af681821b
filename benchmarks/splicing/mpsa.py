"""Measured inclusion of variants of a 5′ splice site (MPSA, Wong, Kinney & Krainer 2018) against trained networks.

    python -m benchmarks.splicing.mpsa [--weights splice_rnn.athaliana] [--contexts 8]

Each variant of nine bases (three of the exon, six of the intron) is put into the flanks of donors of A. thaliana, drawn
with a seed from the junction records; the flank of the assay is human and not in the data. Zero-shot is the donor
logit, averaged over contexts. The head is fitted to the training rows on the network's features at the last base of the
exon and the first of the intron, by ridge regression or gradient boosting, whichever is better in a five-fold
cross-validation inside the training rows. Beside: the log-odds of a position-weight matrix of the same donors, and
ridge regression and boosting on the nine bases themselves. Spearman's ρ and R² are on the validation rows.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sciml_zoo.datasets import dataset_file
from sciml_zoo.splicing.junctions import Junction, read_junctions
from sciml_zoo.splicing.model import SpliceRNN, one_hot
from sciml_zoo.splicing.sequences import encode
from sciml_zoo.zoo.resolve import load_model

EXON, INTRON = 3, 6
BATCH = 256


def variants() -> pd.DataFrame:
    """Returns rows of set (training, validation), x (nine bases) and y."""
    table = pd.read_csv(dataset_file("mpsa_5ss", "mpsa_train_validation.csv"))
    return table[["set", "x", "y"]]


def donors() -> list[Junction]:
    """Returns well-supported junction records."""
    return [j for j in read_junctions(dataset_file("eie", "athaliana_chr2-5.txt")) if j.count >= 100]


def position_weights(records: list[Junction]) -> NDArray[np.float64]:
    """Returns log-odds against the composition of introns, [9, 4]."""
    codes = np.array([encode(j.upstream[-EXON:] + j.intron[:INTRON]) for j in records])
    counts = np.stack([(codes == base).sum(0) for base in range(4)], 1) + 1.0
    introns = np.concatenate([encode(j.intron) for j in records])
    background = np.bincount(introns[introns < 4], minlength=4)
    return np.log(counts / counts.sum(1, keepdims=True)) - np.log(background / background.sum())


@torch.inference_mode()
def read(model: SpliceRNN, sites: NDArray[np.uint8], contexts: list[Junction]) -> tuple[NDArray, NDArray]:
    """Returns the donor logit [n] and the features at the junction [n, 4C] of sites [n, 9], averaged over contexts."""
    half = model.config.stem // 2
    logits, features = np.zeros(len(sites)), 0.0
    for context in contexts:
        left = encode(context.upstream[:-EXON])
        right = encode(context.intron[INTRON:] + context.downstream)
        place = len(left) + EXON
        rows = []
        for part in np.array_split(sites, max(len(sites) // BATCH, 1)):
            around = [np.broadcast_to(flank, (len(part), len(flank))) for flank in (left, right)]
            codes = torch.from_numpy(np.concatenate([around[0], part, around[1]], 1))
            padded = torch.nn.functional.pad(one_hot(codes), (0, 0, half, half))
            found, _ = model.piece(padded, None)
            rows.append(
                torch.cat([found[:, place - 1], found[:, place], model.head(found[:, place])[:, :1]], 1).numpy()
            )
        table = np.concatenate(rows)
        logits += table[:, -1] / len(contexts)
        features = features + table[:, :-1] / len(contexts)
    return logits, np.asarray(features)


def fitted(x: NDArray, y: NDArray, seed: int) -> tuple[Any, str]:
    """Returns the better of two regressions, by cross-validation inside the training rows, and its name."""
    candidates = {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))),
        "boosting": HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05, random_state=seed),
    }
    score = {name: cross_val_score(one, x, y, cv=5, scoring="r2").mean() for name, one in candidates.items()}
    best = max(score, key=lambda name: score[name])
    return candidates[best].fit(x, y), best


def judged(prediction: NDArray, y: NDArray) -> dict[str, float]:
    """Returns Spearman's ρ, squared Pearson correlation and coefficient of determination."""
    return {
        "spearman": float(spearmanr(prediction, y).statistic),
        "pearson_squared": float(np.corrcoef(prediction, y)[0, 1] ** 2),
        "r2": float(r2_score(y, prediction)),
    }


def main() -> int:
    """Returns 0; prints the table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="splice_rnn.athaliana")
    parser.add_argument("--contexts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mpsa.json")
    arguments = parser.parse_args()
    model = load_model(arguments.weights)
    assert isinstance(model, SpliceRNN)
    table, records = variants(), donors()
    sites = np.array([encode(x) for x in table.x])
    train, test = (table.set == "training").to_numpy(), (table.set == "validation").to_numpy()
    y = table.y.to_numpy()
    rng = np.random.default_rng(arguments.seed)
    contexts = [records[i] for i in rng.choice(len(records), arguments.contexts, replace=False)]
    logits, features = read(model, sites, contexts)
    letters = np.stack([sites == base for base in range(4)], 2).reshape(len(sites), -1).astype(float)
    weights = position_weights(records)
    matrix = weights[np.arange(EXON + INTRON), sites].sum(1)
    found: dict[str, Any] = {
        "network, zero-shot": {"spearman": judged(logits[test], y[test])["spearman"]},
        "position-weight matrix, zero-shot": {"spearman": judged(matrix[test], y[test])["spearman"]},
    }
    for name, x in (("network's features", np.column_stack([features, logits])), ("nine bases", letters)):
        head, kind = fitted(x[train], y[train], arguments.seed)
        found[f"{name}, fitted"] = {**judged(head.predict(x[test]), y[test]), "head": kind}
    additive = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))).fit(letters[train], y[train])
    found["nine bases, additive"] = {**judged(additive.predict(letters[test]), y[test]), "head": "ridge"}
    for name, row in found.items():
        print(f"{name:36}" + "  ".join(f"{k} {v if isinstance(v, str) else format(v, '.3f')}" for k, v in row.items()))
    result = {"weights": arguments.weights, "rows": {"train": int(train.sum()), "validation": int(test.sum())}}
    arguments.out.write_text(json.dumps({**result, "contexts": arguments.contexts, "found": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
