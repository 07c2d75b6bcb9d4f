"""Splits in; what would make their scores lie out: leaked rows, leaked targets, empty columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stages.columns import chunk, module_of
from stages.contract import Contract
from stages.examples.split import hash_rows

MAX_BINS = 64
ROWS_A_BIN = 20
MIN_CLASS_SHARE = 0.01
MIN_ROWS = 50  # fewer rows prove no leak
LISTED = 20


def across_splits(table: pa.Table, sides: np.ndarray, inputs: list[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows whose inputs also stand on a later side (train < validation < test), and their count.

    Dropping the returned rows [N] ends every leak and touches no test row.
    """
    order = np.select([sides == "test", sides == "validation"], [2, 1], 0)
    rows = hash_rows(table, inputs)
    _, places = np.unique(rows, return_inverse=True)
    latest = np.zeros(places.max(initial=-1) + 1, int)
    np.maximum.at(latest, places, order)
    leaked = latest[places] > order
    return leaked, {"leaked": int(leaked.sum()), "rows": np.flatnonzero(leaked)[:LISTED].tolist()}


def judge(parts: Mapping[str, pa.Table], contract: Contract, duplicates: Mapping[str, Any], settings: Any) -> list[str]:
    """Reasons to refuse these examples; empty where there is none."""
    target, reasons = contract.target.column, []
    if duplicates["leaked"] and settings.duplicates == "block":
        reasons.append(
            f"{duplicates['leaked']:,} training or validation rows have the same inputs as a row of a later split, "
            "such as rows "
            f"{duplicates['rows'][:5]}. Keep them together with split: {{by: group, key: …}}, or drop them with "
            f"leaks: {{duplicates: drop}}"
        )
    least = contract.get("validate").get("min_class_share", MIN_CLASS_SHARE)
    for name, part in parts.items():
        found = len(set(part.column(target).to_pylist()))
        if found < 2:
            reasons.append(
                f"{name} has {part.num_rows:,} rows of {found} class{'' if found == 1 else 'es'} of {target}; at "
                "least two classes are needed"
            )
    if not reasons and (rare := rarest(parts["train"], target))[1] < least:
        reasons.append(
            f"only {rare[1]:.2%} of the training rows are {rare[0]!r}; validate.min_class_share asks for {least:.2%}"
        )
    if reasons:
        return reasons
    train = parts["train"]
    labels = np.unique(np.array([str(value) for value in train.column(target).to_pylist()]), return_inverse=True)[1]
    for name, column in contract.input_columns.items():
        if train.column(name).null_count == train.num_rows:
            reasons.append(f"{name} has no value in any training row; take it out of the columns, or mend its source")
        elif (score := column_score(column, chunk(train, name), labels)) > settings.max_column_score:
            reasons.append(
                f"{name} alone predicts {target} with a balanced accuracy of {score:.3f} (limit "
                f"{settings.max_column_score}): it looks like a "
                f"leak of the target. Mark it input: false, or raise examples.leaks.max_column_score"
            )
    return reasons


def rarest(part: pa.Table, target: str) -> tuple[str, float]:
    """The class with the fewest rows, and its share."""
    names, counts = np.unique([str(value) for value in part.column(target).to_pylist()], return_counts=True)
    return str(names[counts.argmin()]), float(counts.min() / counts.sum())


def column_score(column: Any, values: pa.Array, labels: np.ndarray) -> float:
    """Balanced accuracy of the best guess from one column alone, learned on half of the rows, tried on the others.

    Two ways to guess are tried: the commonest label of each value (of quantile bins where there
    are many values), and, for ordered values and two classes, one threshold. Text and images are
    not tried.
    """
    if column.type in ("text", "image", "id") or len(labels) < MIN_ROWS:
        return 0.0
    order = np.random.default_rng(0).permutation(len(labels))  # rows may alternate by class
    raw, labels = module_of(column).array(column, values)[order], labels[order]
    codes = np.unique(raw.astype(str) if raw.dtype == object else raw, return_inverse=True)[1]
    if raw.dtype == object or codes.max() < MAX_BINS:
        return by_value(codes, labels)
    num_bins = int(np.clip(len(codes) // ROWS_A_BIN, 2, MAX_BINS))
    ranks = np.argsort(np.argsort(codes, kind="stable"), kind="stable")
    first = np.full(codes.max() + 1, len(codes))
    np.minimum.at(first, codes, ranks)  # ties share a bin
    binned = by_value(first[codes] * num_bins // len(codes), labels)
    return (
        max(binned, by_threshold(np.nan_to_num(raw.astype(np.float64), nan=-1e300), labels))
        if labels.max() == 1
        else binned
    )


def by_value(codes: np.ndarray, labels: np.ndarray) -> float:
    counts = np.zeros((codes.max() + 1, labels.max() + 1))
    np.add.at(counts, (codes[::2], labels[::2]), 1)
    guess = (counts / np.maximum(counts.sum(0), 1)).argmax(1)[codes[1::2]]
    return balanced_accuracy(guess, labels[1::2])


def by_threshold(values: np.ndarray, labels: np.ndarray) -> float:
    """The cut midway between two values, and the side for class 1, with the best balanced accuracy."""
    order = np.argsort(values[::2], kind="stable")
    ordered, known = values[::2][order], labels[::2][order]
    ones = np.cumsum(known) / max(known.sum(), 1)
    zeros = np.cumsum(1 - known) / max((1 - known).sum(), 1)
    best = int(np.abs(zeros - ones)[:-1].argmax())
    below = values[1::2] <= (ordered[best] + ordered[best + 1]) / 2
    return balanced_accuracy((below == (ones[best] > zeros[best])).astype(int), labels[1::2])


def balanced_accuracy(guess: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([(guess[truth == label] == label).mean() for label in np.unique(truth)]))
