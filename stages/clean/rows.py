"""One part of the records in; its sound rows typed, its rejects, and compact summaries for the global passes, out.

What a part gives depends on nothing but the part, the columns and this code, so it is kept in the store.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.clean.corrections import MASKED
from stages.clean.typed import TypedWriter
from stages.columns import module_of
from stages.core import parts
from stages.core.files import write_json
from stages.duplicates import near
from stages.duplicates.rows import hash_lane

WORD_TYPES = ("category", "id", "boolean")  # few distinct values: read as dictionaries, parsed once each
THREADS = 2


@dataclass(frozen=True)
class Task:
    """What is computed of each part: typed columns, the hash of each set of columns in `keys`, signatures of `near`."""

    columns: Mapping[str, Any]
    keys: Mapping[str, Sequence[str]]
    near: Sequence[str] = ()
    label: str | None = None


@dataclass(frozen=True)
class Part:
    """One part of the records, its key, and the folder of the store that holds what became of it.

    `records` reads it, with the corrections made to it.
    """

    source: Path
    key: str
    folder: Path
    records: Callable[[], Iterator[pa.Table]]


@dataclass(frozen=True)
class Piece:
    """One cleaned batch. `rejected` are the rows of it that are not sound."""

    typed: pa.Table
    rejects: pa.Table
    rejected: np.ndarray
    summaries: dict[str, np.ndarray]
    rules: Counter[str]
    clipped: Counter[str]


def clean_part(batches: Iterator[pa.Table], task: Task, out: Path) -> None:
    """Write typed streams, `rejects.parquet`, `rejected.npy` (rows), one `.npy` a summary, and `counts.json`."""
    rules, clipped = Counter[str](), Counter[str]()
    rejected: list[np.ndarray] = []
    summaries: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    typed, start = TypedWriter(out), 0
    with closing(typed), parts.Writer(out / "rejects.parquet") as rejects:
        for size, piece in in_order(batches, task):
            typed.write(piece.typed)
            rejects.write(piece.rejects)
            rejected.append(piece.rejected + start)
            for name, found in piece.summaries.items():
                summaries[name].append(found)
            rules.update(piece.rules)
            clipped.update(piece.clipped)
            start += size
    gone = np.concatenate(rejected)
    np.save(out / "rejected.npy", gone)
    for name, pieces in summaries.items():
        np.save(out / f"{name}.npy", np.concatenate(pieces))
    counts = {"records": start, "sound": start - len(gone), "files": typed.rows}
    write_json(out / "counts.json", {**counts, "rules": dict(rules), "clipped": dict(clipped)})


def in_order(batches: Iterator[pa.Table], task: Task) -> Iterator[tuple[int, Piece]]:
    """Batches cleaned side by side, at most two at a time, and handed on in their order."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: list[tuple[int, Any]] = []
        for batch in batches:
            waiting.append((batch.num_rows, pool.submit(clean_batch, batch, task)))
            if len(waiting) > THREADS:
                size, done = waiting.pop(0)
                yield size, done.result()
        for size, done in waiting:
            yield size, done.result()


def clean_batch(records: pa.Table, task: Task) -> Piece:
    """Type one batch, and part its sound rows from its rejects."""
    typed: dict[str, pa.Array] = {}
    broken: dict[str, np.ndarray] = {}
    clipped = Counter[str]()
    for name, column in task.columns.items():
        cleaned = module_of(column).clean(name, column, records.column(name).combine_chunks())
        typed[name] = cleaned.values
        broken |= {f"{name}.{rule}": mask for rule, mask in cleaned.broken.items()}
        if cleaned.clipped:
            clipped[name] += cleaned.clipped
    sound = ~np.logical_or.reduce(list(broken.values())) if broken else np.ones(records.num_rows, bool)
    table = pa.table(typed)
    if broken:
        table = table.filter(pa.array(sound))
    rejected = np.flatnonzero(~sound)
    return Piece(
        table,
        mark(records.take(pa.array(rejected)), name_rules(broken, rejected), task.columns),
        rejected,
        summarise(table, task),
        Counter({rule: int(mask.sum()) for rule, mask in broken.items()}),
        clipped,
    )


def summarise(table: pa.Table, task: Task) -> dict[str, np.ndarray]:
    """What the global passes read instead of the rows: arrays with one entry a row."""
    found = {key: hash_lane(table, names) for key, names in task.keys.items()}
    for name in task.near:
        found[f"near-{name}"] = near.signatures(task.columns[name], table.column(name))
    if "key" in task.keys:  # a record without a key is like no other
        found["keyless"] = np.logical_or.reduce([np.asarray(table.column(name).is_null()) for name in task.keys["key"]])
    if task.label:
        found["labelled"] = np.asarray(table.column(task.label).is_valid())
    return found


def plain(table: pa.Table) -> pa.Table:
    """Dictionaries of words as words."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(field.type.value_type))
    return table


def name_rules(broken: Mapping[str, np.ndarray], rows: np.ndarray) -> pa.Array:
    """For each of the rows, the list of rules that it broke."""
    masks = np.array([mask[rows] for mask in broken.values()]).reshape(len(broken), len(rows))
    row, rule = np.nonzero(masks.T)
    offsets = np.searchsorted(row, np.arange(len(rows) + 1))
    names = pa.array(list(broken), pa.string()).take(pa.array(rule))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names)


def mark(records: pa.Table, rules: pa.Array, columns: Mapping[str, Any]) -> pa.Table:
    """Raw records with the rules that they broke; what is personal is masked."""
    for name, column in columns.items():
        values = records.column(name)
        if column.personal:
            masked = pc.if_else(values.is_valid(), MASKED, pa.scalar(None, pa.string()))
            records = records.set_column(records.column_names.index(name), name, masked)
    return plain(records).append_column("_rules", rules)
