"""Batches of a typed table in, numbers that add up over batches and parts out: moments, extremes, shares, bins."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Summary = dict[str, Any]


def summarise(table: pa.Table, columns: Mapping[str, Any], target: str | None, reference: Mapping[str, Any]) -> Summary:
    """Of each column its present values' count and, where it has them, moments and extremes; the target's classes;
    and how the values fall into the reference's bins."""
    moments = {name: moments_of(table.column(name)) for name in columns if name in table.column_names}
    counted = pc.value_counts(table.column(target).drop_null()).to_pylist() if target in table.column_names else []
    classes = {label(item["values"]): item["counts"] for item in counted}
    bins = {
        name: bins_of(columns[name], table.column(name), held)
        for name, held in reference.items()
        if name in columns and name in table.column_names
    }
    return {"rows": table.num_rows, "columns": moments, "classes": classes, "bins": bins}


def moments_of(values: pa.ChunkedArray) -> dict[str, Any]:
    if pa.types.is_timestamp(values.type):
        extremes = pc.min_max(values)
        found = {"min": iso(extremes["min"]), "max": iso(extremes["max"])}
        return {"present": len(values) - values.null_count, **found}
    if not pa.types.is_float64(values.type):
        return {"present": len(values) - values.null_count}
    plain = values.to_numpy()
    plain = plain[~np.isnan(plain)]  # Great Expectations counts NaN as missing
    if not len(plain):
        return {"present": 0}
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(plain.mean())
        spread = float(np.square(plain - mean).sum())
    extremes = {"min": float(plain.min()), "max": float(plain.max())}
    return {"present": len(plain), "sum": float(plain.sum()), "mean": mean, "spread": spread, **extremes}


def iso(value: Any) -> str | None:
    moment = value.cast(pa.timestamp("us")).as_py()
    return None if moment is None else moment.isoformat()


def label(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def add(first: Summary, second: Summary) -> Summary:
    """The summary of the rows of both, in this order."""
    columns = {name: add_moments(first["columns"][name], found) for name, found in second["columns"].items()}
    bins = {name: add_counts(first["bins"][name], found) for name, found in second["bins"].items()}
    return {
        "rows": first["rows"] + second["rows"],
        "columns": columns,
        "classes": add_counts(first["classes"], second["classes"]),
        "bins": bins,
    }


def add_moments(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Chan, Golub and LeVeque (1979): the sum of squared deviations of two groups from that of each."""
    if not first["present"] or not second["present"]:
        return dict(second if not first["present"] else first)
    count = first["present"] + second["present"]
    found: dict[str, Any] = {"present": count}
    if "min" in first:
        found |= {"min": min(first["min"], second["min"]), "max": max(first["max"], second["max"])}
    if "sum" in first:
        apart = second["mean"] - first["mean"]
        share = second["present"] / count
        found["sum"] = first["sum"] + second["sum"]
        found["mean"] = first["mean"] + apart * share
        found["spread"] = first["spread"] + second["spread"] + apart * apart * first["present"] * share
    return found


def add_counts(first: Any, second: Any) -> Any:
    """Counts under the same names, or lists of them, added."""
    if isinstance(first, Mapping):
        return {key: add_counts(first.get(key, 0), second.get(key, 0)) for key in {**first, **second}}
    if isinstance(first, list) and isinstance(second, list):
        return [a + b for a, b in zip(first, second, strict=True)]
    return first + second


def numbers_of(column: Any, values: pa.ChunkedArray) -> np.ndarray:
    """float64 of the present values of what has an order: numbers, seconds since 1970, a text's characters."""
    if column.type == "timestamp":
        microseconds = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
        values = pc.divide(pc.cast(microseconds, pa.float64(), safe=False), 1e6)
    elif column.type == "text":
        values = pc.cast(pc.utf8_length(values), pa.float64())
    plain = values.to_numpy()
    return np.asarray(plain[~np.isnan(plain)], np.float64)


def bins_of(column: Any, values: pa.ChunkedArray, held: Mapping[str, Any]) -> dict[str, Any]:
    """How a column's values fall into the bins of its reference."""
    if held["kind"] == "present":
        return {"missing": values.null_count, "present": len(values) - values.null_count}
    if held["kind"] == "number":
        plain = np.sort(numbers_of(column, values))
        edges = np.asarray(held["edges"], np.float64)
        return {
            "missing": len(values) - len(plain),
            "present": len(plain),
            "at": np.searchsorted(plain, edges, side="right").tolist(),  # values ≤ edge
            "below": np.searchsorted(plain, edges, side="left").tolist(),  # values < edge
        }
    counts = {label(item["values"]): item["counts"] for item in pc.value_counts(values.drop_null()).to_pylist()}
    known = {name: counts.get(name, 0) for name in held["counts"]}
    present = len(values) - values.null_count
    return {
        "missing": values.null_count,
        "present": present,
        "counts": known,
        "other": present - sum(known.values()),
    }
