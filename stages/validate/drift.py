"""A table's bins and those of accepted data in; how far each column has moved, against its limits, out.

PSI = Σ (c - r) · ln(c / r) over the bins, with shares c = (count + ½) / (n + ½ · bins), r likewise: the half count
(Jeffreys' prior) keeps a bin that is empty on one side finite. Bins: a number's are the reference's tenths, the
outer two open; a category's are its values; besides, one for missing values, and of categories one for new values.

KS = sup |F(x) - R(x)| over present values, taken at the reference's stored quantiles from both sides. Between two
of them it can be larger by at most the reference's share there, which the result states as `within`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract.column import is_personal
from stages.core import parts
from stages.core.errors import DataError
from stages.core.files import read_json
from stages.validate.section import ORDERED, Drift, Limits, limits_of
from stages.validate.summary import Summary, add_counts, bins_of, label, numbers_of

VERSION = 1
LEVELS = 200  # quantiles kept of a column that has an order: 201 edges, so that KS is within about 1/200
MAX_VALUES = 1000  # categories kept by name; rarer ones count as other
FILE = "reference.json"


def read_reference(sources: Path) -> dict[str, Any]:
    """What was accepted last, or an empty reference. Raises DataError where it is not one."""
    path = sources / FILE
    if not path.exists():
        return {}
    held = read_json(path)
    if not isinstance(held, dict) or held.get("version") != VERSION or not isinstance(held.get("columns"), dict):
        raise DataError(
            f"{path} is no reference of version {VERSION}. Write it anew with python -m stages.validate --accept"
        )
    return held


def reference_of(folder: Path, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The bins of a table, one column in memory at a time."""
    held = {}
    for name, column in columns.items():
        if is_personal(column):
            continue
        bins = empty_bins(column, parts.read(folder, [name]).column(name))
        counted = None
        for table in parts.batches(parts.files(folder), [name]):
            found = bins_of(column, table.column(name), bins)
            counted = (
                found if counted is None else {key: add_counts(counted[key], value) for key, value in found.items()}
            )
        held[name] = {**bins, **(counted or {})}
    return {"version": VERSION, "rows": parts.num_rows(folder), "columns": held}


def empty_bins(column: Any, values: pa.ChunkedArray) -> dict[str, Any]:
    """Which bins a column has: the edges of its quantiles, or its commonest values, or present and missing alone."""
    if column.type in ORDERED:
        plain = numbers_of(column, values)
        levels = np.linspace(0, 1, LEVELS + 1)
        edges = np.unique(np.quantile(plain, levels, method="inverted_cdf")) if len(plain) else np.array([])
        return {"kind": "number", "edges": edges.tolist()}
    if column.type in ("category", "boolean"):
        counted = pc.value_counts(values.drop_null()).to_pylist()
        common = sorted(counted, key=lambda item: (-item["counts"], label(item["values"])))[:MAX_VALUES]
        return {"kind": "category", "counts": dict.fromkeys(sorted(label(item["values"]) for item in common), 0)}
    return {"kind": "present"}


def psi_counts(found: Mapping[str, Any], held: Mapping[str, Any]) -> list[int]:
    """Counts in the bins of PSI, the same bins for the reference (`held` itself) and for any table."""
    if held["kind"] == "number":
        # Tenths by the reference's own counts: a value that holds several of them is one bin.
        shares = np.asarray(held["at"], float) / max(held["present"], 1)
        ends = {int(np.searchsorted(shares, tenth / 10 - 1e-9)) for tenth in range(1, 10)}
        inner = sorted(end for end in ends if end < len(shares) - 1)
        below = [0, *(found["at"][end] for end in inner), found["present"]]
        return [found["missing"], *np.diff(below).tolist()]
    if held["kind"] == "category":
        return [found["missing"], found["other"], *(found["counts"][name] for name in held["counts"])]
    return [found["missing"], found["present"]]


def psi(current: Sequence[int], reference: Sequence[int]) -> float:
    """Population stability index of two counts over the same bins, by the formula above."""
    shares = []
    for counts in (current, reference):
        smooth = np.asarray(counts, float) + 0.5
        shares.append(smooth / smooth.sum())
    c, r = shares
    return math.fsum((c - r) * np.log(c / r))


def ks(found: Mapping[str, Any], held: Mapping[str, Any]) -> tuple[float, float]:
    """The largest distance of the two distribution functions at the stored quantiles, and what may lie between."""
    apart = [
        np.abs(np.asarray(found[side], float) / found["present"] - np.asarray(held[side], float) / held["present"])
        for side in ("at", "below")
    ]
    between = (np.asarray(held["below"][1:]) - np.asarray(held["at"][:-1])) / held["present"]
    return float(np.max(apart)), float(between.max(initial=0.0))


def check_drift(
    drift: Drift, columns: Mapping[str, Any], summary: Summary, reference: Mapping[str, Any], pipeline: str
) -> list[dict[str, Any]]:
    """One result for each limit. A limit that cannot be checked is not met."""
    results = []
    for name, column in columns.items():
        limits = limits_of(name, column, drift)
        if limits is None:
            continue
        held = reference.get("columns", {}).get(name)
        found = summary.get("bins", {}).get(name)
        error = None if held and found else absent(name, reference, pipeline)
        for kind in ("psi", "ks"):
            limit = getattr(limits, kind)
            if limit is not None:
                seen, wrong = ({}, error) if error else measure(kind, found, held, limits)
                results.append(result_of(f"{kind}_at_most", name, limit, limits, seen, wrong))
    return results


def absent(name: str, reference: Mapping[str, Any], pipeline: str) -> str:
    accept = f"look at the present data and accept it with `python -m stages.validate --accept {pipeline}`"
    if not reference:
        return f"there is no sources/{pipeline}/{FILE} to compare with; {accept}"
    return f"sources/{pipeline}/{FILE} holds no column {name!r}; {accept}"


def measure(
    kind: str, found: Mapping[str, Any], held: Mapping[str, Any], limits: Limits
) -> tuple[dict[str, Any], str | None]:
    counts = {"rows": found["missing"] + found["present"], "reference_rows": held["missing"] + held["present"]}
    if not counts["rows"] or not counts["reference_rows"]:
        return counts, "there are no rows to compare"
    if kind == "psi":
        current, reference = psi_counts(found, held), psi_counts(held, held)
        value = psi(current, reference)
        seen = {"psi": round(value, 6), "bins": len(current), **counts, **shares_of(found, held)}
        return seen, None
    if held["kind"] != "number":
        return counts, "the reference holds no quantiles of this column; accept it anew"
    if not found["present"] or not held["present"]:
        return counts, "there are no values to compare"
    value, within = ks(found, held)
    return {"ks": round(value, 6), "within": round(within, 6), **counts}, None


def shares_of(found: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader asks first: the share of missing and of new values, now and in the reference."""
    total, former = found["missing"] + found["present"], held["missing"] + held["present"]
    seen = {"missing": [round(found["missing"] / total, 6), round(held["missing"] / former, 6)]}
    if held["kind"] == "category":
        seen["other"] = [round(found["other"] / total, 6), round(held["other"] / former, 6)]
    return seen


def result_of(
    kind: str, name: str, limit: float, limits: Limits, seen: dict[str, Any], error: str | None
) -> dict[str, Any]:
    value = seen.get(kind.split("_")[0])
    return {
        "type": kind,
        "kwargs": {"column": name, "limit": limit},
        "from": "drift",
        "severity": limits.severity,
        "computed": "arrow",
        "success": error is None and value is not None and value <= limit,
        "observed": seen,
        **({"error": error} if error else {}),
    }
