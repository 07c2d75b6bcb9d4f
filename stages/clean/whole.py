"""Summaries of all parts in; which rows of which part are merged or rejected, and why, out.

These rules hold between records, so no part can decide them alone. They read hashes, not rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.clean import typed
from stages.clean.rows import plain
from stages.clean.section import Section
from stages.core.files import read_json
from stages.duplicates import near
from stages.duplicates.rows import Keys, Twins, find_twins, hash_lane, mix

LISTED = 20


@dataclass
class Removed:
    """Rows of one part's sound rows that go: `merged` [N], and a mask for each rule that rejects."""

    merged: np.ndarray
    rejected: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def kept(self) -> np.ndarray:
        return ~np.asarray(np.logical_or.reduce([self.merged, *self.rejected.values()]))

    def reject(self, rule: str) -> np.ndarray:
        """The mask of a rule, to be filled. What is merged already is not rejected too."""
        return self.rejected.setdefault(rule, np.zeros(len(self.merged), bool))


def judge(
    folders: Sequence[Path],
    section: Section,
    columns: Mapping[str, Any],
    between: tuple[list[str], str] | None,
) -> tuple[list[Removed], dict[str, Any]]:
    """What goes from each part, and the report on every global rule.

    `columns` are the declared ones, `between` the inputs and the label that may contradict each other.
    """
    removed = [Removed(np.zeros(read_json(folder / "counts.json")["sound"], bool)) for folder in folders]
    report: dict[str, Any] = {"duplicates": exact(folders, section, columns, removed)}
    if section.key:
        report["duplicate_keys"] = same_key(folders, section, removed)
    if section.near:
        report["near_duplicates"] = {
            item.column: nearly(folders, item, columns[item.column], removed) for item in section.near
        }
    if between:
        report["contradictions"] = contradictions(folders, section, between[0], removed)
    if section.outliers:
        report["outliers"] = outliers(folders, section, removed)
    return removed, report


def loader(
    folders: Sequence[Path], key: str, names: Sequence[str], removed: Sequence[Removed]
) -> Callable[[int], Keys]:
    """The keys of one part's rows; of those that went already, none is equal to any other."""

    def load(part: int) -> Keys:
        first = np.load(folders[part] / f"{key}.npy")
        out = ~removed[part].kept
        if key == "key":
            out |= np.load(folders[part] / "keyless.npy")
        gone = np.flatnonzero(out)
        first[gone] = mix(gone.astype(np.uint64) + (np.uint64(part + 1) << np.uint64(40)))

        def second(rows: np.ndarray) -> np.ndarray:
            hashed = hash_lane(take(folders[part], names, rows), names, 1)
            hashed[np.isin(rows, gone)] = part
            return hashed

        return Keys(first, second)

    return load


def take(folder: Path, names: Sequence[str], rows: np.ndarray) -> pa.Table:
    """Some columns of some rows of a part; `rows` is sorted."""
    pieces, start = [], 0
    for path in typed.files(folder):
        for batch in typed.read(path):
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)]
            if len(here):
                pieces.append(plain(batch.select(list(names)).take(pa.array(here - start))))
            start += batch.num_rows
    return pa.concat_tables(pieces).combine_chunks()


def sizes_of(removed: Sequence[Removed]) -> list[int]:
    return [len(part.merged) for part in removed]


def mark(twins: Twins, chosen: np.ndarray, masks: Sequence[np.ndarray]) -> None:
    for part in np.unique(twins.part[chosen]):
        masks[part][twins.row[chosen & (twins.part == part)]] = True


def exact(
    folders: Sequence[Path], section: Section, columns: Mapping[str, Any], removed: Sequence[Removed]
) -> dict[str, Any]:
    twins = find_twins(loader(folders, "rows", list(columns), removed), sizes_of(removed))
    later = twins.later()
    if section.duplicates == "merge":
        mark(twins, later, [item.merged for item in removed])
    return {"rows": int(later.sum()), "groups": count_groups(twins.group), "then": section.duplicates}


def count_groups(group: np.ndarray) -> int:
    return len(np.unique(group))


def same_key(folders: Sequence[Path], section: Section, removed: Sequence[Removed]) -> dict[str, Any]:
    assert section.key is not None
    twins = find_twins(loader(folders, "key", section.key.columns, removed), sizes_of(removed))
    others = twins.later() if section.key.keep == "first" else twins.earlier()
    if section.key.then == "merge":
        mark(twins, others, [item.merged for item in removed])
    elif section.key.then == "reject":
        mark(twins, others, [item.reject("duplicate_key") for item in removed])
    keyless = sum(int(np.load(folder / "keyless.npy").sum()) for folder in folders)
    found = {"rows": int(others.sum()), "groups": count_groups(twins.group), "without_key": keyless}
    return {**found, "then": section.key.then}


def contradictions(
    folders: Sequence[Path], section: Section, inputs: Sequence[str], removed: Sequence[Removed]
) -> dict[str, Any]:
    """Groups of rows with the same inputs of which at least two have labels that differ."""
    twins = find_twins(loader(folders, "inputs", inputs, removed), sizes_of(removed))
    labels = np.zeros(len(twins.row), np.uint64)
    known = np.zeros(len(twins.row), bool)
    for part in np.unique(twins.part):
        here = twins.part == part
        labels[here] = np.load(folders[part] / "label.npy", mmap_mode="r")[twins.row[here]]
        known[here] = np.load(folders[part] / "labelled.npy", mmap_mode="r")[twins.row[here]]
    group, row_labels = twins.group[known], labels[known]
    pairs = np.unique(np.stack([group.astype(np.uint64), row_labels], 1), axis=0)[:, 0].astype(np.int64)
    disputed = np.bincount(pairs, minlength=twins.group.max(initial=-1) + 1) > 1
    chosen = disputed[twins.group] & known if len(twins.group) else known
    if section.contradictions == "reject":
        mark(twins, chosen, [item.reject("contradiction") for item in removed])
    return {"rows": int(chosen.sum()), "groups": int(disputed.sum()), "then": section.contradictions}


def nearly(folders: Sequence[Path], item: Any, declared: Any, removed: Sequence[Removed]) -> dict[str, Any]:
    """Groups of nearly equal values among the rows that are still there."""
    kept = [np.flatnonzero(gone.kept) for gone in removed]
    values = [column(folder, item.column).take(pa.array(rows)) for folder, rows in zip(folders, kept, strict=True)]
    signed = [
        np.load(folder / f"near-{item.column}.npy", mmap_mode="r")[rows]
        for folder, rows in zip(folders, kept, strict=True)
    ]
    group = near.groups(declared, np.concatenate(signed), pa.chunked_array(values), item.similarity)
    later = np.flatnonzero(group != np.arange(len(group)))
    if item.then == "merge":
        part, row = np.repeat(np.arange(len(kept)), [len(rows) for rows in kept]), np.concatenate(kept)
        for place in later:
            removed[part[place]].merged[row[place]] = True
    return {"rows": len(later), "groups": count_groups(group[later]), "then": item.then}


def column(folder: Path, name: str) -> pa.Array:
    """One typed column of a part's sound rows."""
    batches = [batch.select([name]) for path in typed.files(folder) for batch in typed.read(path)]
    return pa.concat_tables(batches).column(name).combine_chunks()


def outliers(folders: Sequence[Path], section: Section, removed: Sequence[Removed]) -> dict[str, Any]:
    """Tukey's fences of each column, of the rows that are still there; all of them are drawn before any row goes."""
    kept = [gone.kept for gone in removed]
    report: dict[str, Any] = {}
    far: dict[str, list[np.ndarray]] = {}
    for name, limits in section.outliers.items():
        values = [np.asarray(column(folder, name).fill_null(np.nan)) for folder in folders]
        present = np.concatenate([part[stays & ~np.isnan(part)] for part, stays in zip(values, kept, strict=True)])
        if not len(present):
            report[name] = {"rows": 0, "then": limits.then}
            continue
        lower, upper = np.quantile(present, [0.25, 0.75])
        low, high = lower - limits.iqr * (upper - lower), upper + limits.iqr * (upper - lower)
        far[name] = [stays & ((part < low) | (part > high)) for part, stays in zip(values, kept, strict=True)]
        rows = sum(int(mask.sum()) for mask in far[name])
        report[name] = {"rows": rows, "low": float(low), "high": float(high), "then": limits.then}
    for name, masks in far.items():
        if section.outliers[name].then == "reject":
            for mask, gone in zip(masks, removed, strict=True):
                gone.reject(f"{name}.outlier")[mask] = True
    return report
