"""Probabilities and truths in, tables for DVC's plots out. Curves are thinned to a few hundred points."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.core.files import write_text

MAX_POINTS = 200
NUM_BINS = 10


Table = tuple[Sequence[str], Iterable[Sequence[str | float]]]  # a header, and rows


def write_plots(folder: Path, tables: Mapping[str, Table]) -> None:
    """One CSV file a table, by its name."""
    for name, (header, rows) in tables.items():
        write_csv(folder / f"{name}.csv", header, rows)


def class_plots(chances_NC: np.ndarray, truth_N: np.ndarray, classes: Sequence[str], positive: int) -> dict[str, Table]:
    """confusion, roc, precision_recall and reliability.

    With more than two classes the curves are micro-averaged: every (row, class) pair counts once.
    """
    guess_N = chances_NC.argmax(1)
    pairs = [(classes[truth], classes[guess]) for truth, guess in zip(truth_N.tolist(), guess_N.tolist(), strict=True)]
    if len(classes) == 2:
        scores, hits = chances_NC[:, positive], truth_N == positive
    else:
        scores, hits = chances_NC.ravel(), np.eye(len(classes), dtype=bool)[truth_N].ravel()
    roc, precision_recall = curves(scores, hits)
    return {
        "confusion": (("actual", "predicted"), sorted(pairs)),
        "roc": (("false_positive_rate", "true_positive_rate"), roc),
        "precision_recall": (("recall", "precision"), precision_recall),
        "reliability": (("predicted", "observed"), reliability(scores, hits)),
    }


def number_plots(guess_N: np.ndarray, truth_N: np.ndarray) -> dict[str, Table]:
    """scatter: rows evenly over the guesses; reliability: mean guess and mean truth of tenths of the rows."""
    order = np.argsort(guess_N, kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, MAX_POINTS).astype(int))] if len(order) else order
    tenths = [part for part in np.array_split(order, NUM_BINS) if len(part)]
    points = [(float(guess_N[row]), float(truth_N[row])) for row in kept]
    means = [(float(guess_N[part].mean()), float(truth_N[part].mean())) for part in tenths]
    return {"scatter": (("predicted", "actual"), points), "reliability": (("predicted", "observed"), means)}


def curves(scores: np.ndarray, hits: np.ndarray) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """ROC and precision-recall points at the thresholds between distinct scores."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = np.cumsum(hits[order])[ends].astype(float)
    called = ends + 1.0
    positives, negatives = max(hits.sum(), 1), max((~hits).sum(), 1)
    kept = np.unique(np.linspace(0, len(ends) - 1, MAX_POINTS).astype(int))
    false = ((called - found) / negatives)[kept]
    recall, precision = (found / positives)[kept], (found / called)[kept]
    roc = [(0.0, 0.0), *zip(false.tolist(), recall.tolist(), strict=True)]
    return roc, list(zip(recall.tolist(), precision.tolist(), strict=True))


def reliability(scores: np.ndarray, hits: np.ndarray) -> list[tuple[float, float]]:
    """Mean prediction and share of hits in bins of equal width; empty bins are left out."""
    bins = np.minimum((scores * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        (float(scores[bins == b].mean()), float(hits[bins == b].mean())) for b in range(NUM_BINS) if (bins == b).any()
    ]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    lines = [",".join(header)]
    lines += [",".join(f"{value:.6g}" if isinstance(value, float) else quote(value) for value in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def quote(word: str) -> str:
    return '"' + word.replace('"', '""') + '"' if any(c in word for c in ',"\n\r') else word
