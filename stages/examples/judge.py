"""Splits in; what would make their scores lie out: one class, an empty column, a column that is the target."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.columns import chunk, module_of
from stages.contract import Contract
from stages.contract.column import is_personal, shown_classes

MAX_BINS = 64
ROWS_A_BIN = 20
MIN_CLASS_SHARE = 0.01
MIN_ROWS = 50  # fewer rows prove no leak
MAX_ROWS = 300_000  # that a column's score is computed on
QUANTILES = {
    "min": 0,
    "p01": 0.01,
    "p05": 0.05,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p95": 0.95,
    "p99": 0.99,
    "max": 1,
}


def judge(parts: Mapping[str, pa.Table], contract: Contract, settings: Any) -> list[str]:
    """Reasons to refuse these examples; empty where there is none."""
    target, is_number, reasons = contract.target.column, has_numbers(contract), []
    if contract.target.type == "ranking":
        return without_items(parts, target) + empty_columns(parts["train"], contract)
    noun, many = ("value", "values") if is_number else ("class", "classes")
    for name, part in parts.items():
        found = len(pc.unique(part.column(target)))
        if found < 2:
            reasons.append(
                f"{name} has {part.num_rows:,} rows of {found} {noun if found == 1 else many} of {target}; at least "
                f"two {many} are needed"
            )
    if reasons:
        return reasons
    train = parts["train"]
    if not is_number:
        least = contract.get("validate").get("min_class_share", MIN_CLASS_SHARE)
        label, share = rarest(train, contract)
        if share < least:
            return [
                f"only {share:.2%} of the training rows are {label!r}; validate.min_class_share asks for {least:.2%}"
            ]
    return columns_apart(train, contract, settings)


def without_items(parts: Mapping[str, pa.Table], target: str) -> list[str]:
    """Reasons against parts in which no row has a next item."""
    return [
        f"{name} has {part.num_rows:,} rows, and none of them has an item in {target}; there is nothing to rank"
        for name, part in parts.items()
        if not items_of(part, target)
    ]


def empty_columns(train: pa.Table, contract: Contract) -> list[str]:
    return [
        f"{name} has no value in any training row; take it out of the columns, or mend its source"
        for name in contract.input_columns
        if train.column(name).null_count == train.num_rows
    ]


def items_of(part: pa.Table, target: str) -> int:
    """How many items all rows have together."""
    return pc.sum(pc.list_value_length(part.column(target))).as_py() or 0


def has_numbers(contract: Contract) -> bool:
    """Whether labels are numbers: a number as the target, or the share of a class."""
    return contract.target.type == "number" or contract.target.soft is not None


def columns_apart(train: pa.Table, contract: Contract, settings: Any) -> list[str]:
    """Reasons against single columns of the training rows."""
    target, is_number, reasons = contract.target.column, has_numbers(contract), []
    # Rows may alternate by class: a fixed shuffle, of at most MAX_ROWS.
    order = np.random.default_rng(0).permutation(train.num_rows)[:MAX_ROWS]
    tried = train.take(pa.array(order))
    labels = ranks(chunk(tried, target)) if is_number else codes_of(chunk(tried, target))
    reasons += empty_columns(train, contract)
    for name, column in contract.input_columns.items():
        if train.column(name).null_count == train.num_rows:
            continue
        score = (number_score if is_number else column_score)(column, chunk(tried, name), labels)
        if score > settings.max_column_score:
            kind = "an R² (of ranks)" if is_number else "a balanced accuracy"
            reasons.append(
                f"{name} alone predicts {target} with {kind} of {score:.3f} (limit {settings.max_column_score}): it "
                "looks like a leak of the target. Mark it input: false, or raise examples.leaks.max_column_score"
            )
    return reasons


def describe(part: pa.Table, contract: Contract) -> dict[str, Any]:
    """A split in the report: its rows and, of each class, how many; of a number its quantiles.

    A personal target's classes are numbered, and of its numbers only the mean is told: a quantile is somebody's own.
    """
    values = part.column(contract.target.column)
    if contract.target.type == "ranking":
        filled = pc.sum(pc.greater(pc.list_value_length(values), 0)).as_py() or 0
        return {"rows": part.num_rows, "with_items": filled, "items": items_of(part, contract.target.column)}
    if not has_numbers(contract):
        return {"rows": part.num_rows, "classes": classes_of(part, contract)}
    if not part.num_rows:
        return {"rows": 0, "target": {}}
    plain = np.asarray(values).astype(np.float64)
    told = {"mean": float(plain.mean())}
    if not is_personal(contract.example_columns[contract.target.column]):
        levels = np.quantile(plain, list(QUANTILES.values()))
        told = {**dict(zip(QUANTILES, levels.tolist(), strict=True)), **told}
    return {"rows": part.num_rows, "target": told}


def classes_of(part: pa.Table, contract: Contract) -> dict[str, int]:
    """Rows by class, in the order of their names; those of a personal target are numbered within this part."""
    target = contract.target.column
    counted = {str(item["values"]): item["counts"] for item in pc.value_counts(part.column(target)).to_pylist()}
    return shown_classes(contract.example_columns[target], dict(sorted(counted.items())))


def rarest(part: pa.Table, contract: Contract) -> tuple[str, float]:
    """The class with the fewest rows, as it is shown, and its share; the first by name of several."""
    counts = classes_of(part, contract)
    label = min(counts, key=lambda name: counts[name])
    return label, counts[label] / part.num_rows


def codes_of(values: pa.Array) -> np.ndarray:
    """int64 [N]: the place of each value among the distinct ones, in their order; no value is one of its own."""
    encoded = pc.dictionary_encode(values, null_encoding="encode")
    place = np.empty(len(encoded.dictionary), np.int64)
    place[np.asarray(pc.sort_indices(encoded.dictionary))] = np.arange(len(place))
    return np.asarray(place[np.asarray(encoded.indices)])


def ranks(values: pa.Array) -> np.ndarray:
    """float64 [N] in 0 to 1: the mean place of the equals of each number."""
    _, places, counts = np.unique(np.asarray(values).astype(np.float64), return_inverse=True, return_counts=True)
    return np.asarray(((np.cumsum(counts) - counts / 2) / len(values))[places])


def column_score(column: Any, values: pa.Array, labels: np.ndarray) -> float:
    """Balanced accuracy of the best guess from one column alone, learned on every other row, tried on the rest.

    Two ways to guess are tried: the commonest label of each value (of quantile bins where there
    are many values), and, for ordered values and two classes, one threshold. Text, images and
    sounds are not tried. The rows are in no order.
    """
    if column.type in ("text", "image", "audio", "id") or len(labels) < MIN_ROWS:
        return 0.0
    if column.type == "category":
        return by_value(codes_of(values), labels)
    raw = np.nan_to_num(module_of(column).array(column, values).astype(np.float64), nan=-1e300)
    codes = np.unique(raw, return_inverse=True)[1]
    if codes.max() < MAX_BINS:
        return by_value(codes, labels)
    binned = by_value(bins(codes), labels)
    return max(binned, by_threshold(raw, labels)) if labels.max() == 1 else binned


def number_score(column: Any, values: pa.Array, labels: np.ndarray) -> float:
    """R² of the best guess of the target's rank from one column alone, learned on every other row, tried on the rest.

    Ranks, so that a few huge values decide nothing. Guessed are the mean of each value, of quantile bins, and,
    for ordered values, what lies on the line between the two nearest known rows: that finds any formula.
    """
    if column.type in ("text", "image", "audio", "id") or len(labels) < MIN_ROWS:
        return 0.0
    if column.type == "category":
        return by_mean(codes_of(values), labels)
    raw = np.nan_to_num(module_of(column).array(column, values).astype(np.float64), nan=-1e300)
    codes = np.unique(raw, return_inverse=True)[1]
    if codes.max() < MAX_BINS:
        return by_mean(codes, labels)
    known, places, counts = np.unique(raw[::2], return_inverse=True, return_counts=True)
    line = np.interp(raw[1::2], known, np.bincount(places, labels[::2]) / counts)
    return max(by_mean(bins(codes), labels), r_squared(line, labels))


def bins(codes: np.ndarray) -> np.ndarray:
    """Quantile bins of ordered codes; equals share one."""
    num_bins = int(np.clip(len(codes) // ROWS_A_BIN, 2, MAX_BINS))
    counts = np.bincount(codes)
    return np.asarray((np.cumsum(counts) - counts)[codes] * num_bins // len(codes))


def by_mean(codes: np.ndarray, labels: np.ndarray) -> float:
    counts = np.bincount(codes[::2], minlength=codes.max() + 1)
    sums = np.bincount(codes[::2], labels[::2], minlength=codes.max() + 1)
    means = np.where(counts, sums / np.maximum(counts, 1), labels[::2].mean())
    return r_squared(means[codes[1::2]], labels)


def r_squared(guess: np.ndarray, labels: np.ndarray) -> float:
    """Of a guess for every second row, against the mean of the others."""
    truth = labels[1::2]
    spread = float(((truth - labels[::2].mean()) ** 2).sum())
    return max(0.0, 1 - float(((truth - guess) ** 2).sum()) / spread) if spread else 0.0


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
