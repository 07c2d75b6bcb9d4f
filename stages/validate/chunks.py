"""Parts of a table in; of each, what the row-wise expectations and the summaries found, from the store or anew, out.

What a part gives follows from its bytes, the expectations, the columns, the reference and the code
alone; so a part that has not changed is not read again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.contract.column import MASK, personal, withheld
from stages.core import cli, parts, store
from stages.core.files import hash_json, read_json, sha256, write_text
from stages.validate.expectations import SAMPLE, Engine, plain, to_frame
from stages.validate.suite import Check, columns_of, touched
from stages.validate.summary import Summary, add, summarise

CODE = ("validate", "columns", "contract/column.py", "core/parts.py", "serving/prepare.py")
LIBRARIES = ("great-expectations", "numpy", "pandas", "pyarrow")
CHUNK_BYTES = 4 << 20  # batches up to this go to Great Expectations at once, which takes 0.2 s whatever it is given
BROKEN = (pa.ArrowException, OSError)  # what reading a damaged Parquet file raises


@dataclass(frozen=True)
class Plan:
    """What to find out of each part. `checks` are the row-wise expectations, `kept` the rows to note of each."""

    pipeline: str
    columns: Mapping[str, Any]
    checks: Sequence[Check]
    target: str | None = None
    reference: Mapping[str, Any] = field(default_factory=dict)
    kept: int = 100

    def describe(self) -> list[Any]:
        declared = {name: column.model_dump(mode="json") for name, column in self.columns.items()}
        return [declared, list(self.checks), self.target, dict(self.reference), self.kept]


@dataclass
class Tally:
    """One expectation over some rows. `rows` are (part, row) of the first unexpected ones, counted from 0."""

    elements: int = 0
    unexpected: int = 0
    missing: int = 0
    sample: list[Any] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    error: str | None = None


def unreadable(paths: Sequence[Path]) -> dict[str, str]:
    """Parts that cannot be read, or have other columns than the first that can, and why."""
    found: dict[str, str] = {}
    first: pa.Schema | None = None
    for path in paths:
        try:
            with path.open("rb") as file:
                schema = pq.read_schema(file)
        except BROKEN as error:
            found[path.name] = f"cannot be read as Parquet: {error}"
            continue
        first = first or schema
        if not schema.equals(first):
            found[path.name] = f"has the columns {names(schema)}; the parts before it have {names(first)}"
    return found


def names(schema: pa.Schema) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in schema)


def examine(paths: Sequence[Path], plan: Plan, engine: Engine) -> tuple[list[Tally], Summary, dict[str, Any]]:
    """Tallies in the order of `plan.checks`, the whole table's summary, and which parts could not be read."""
    kept, kind, keys, broken = store.Store(), f"validated/{plan.pipeline}", [], {}
    tallies, summary = [Tally() for _ in plan.checks], None
    described = hash_json(plan.describe())
    hashes = []
    for place, path in enumerate(paths):
        hashes.append(sha256(path))
        keys.append(store.key(hashes[-1], described, code=CODE, libraries=LIBRARIES))
        if not kept.has(kind, keys[-1]):
            try:
                found = examine_part(path, plan, engine)
            except BROKEN as error:
                broken[path.name] = f"cannot be read as Parquet: {error}"
                continue
            with kept.put(kind, keys[-1]) as folder:
                write_text(folder / "part.json", json.dumps(found))  # infinities stay: JSON proper has none
        found = read_json(kept.path(kind, keys[-1]) / "part.json")
        merge(tallies, found["tallies"], place, plan.kept)
        summary = found["summary"] if summary is None else add(summary, found["summary"])
        cli.progress(f"validate: {place + 1:,} of {len(paths):,} parts", last=place + 1 == len(paths) > 1)
    kept.retain(kind, keys)
    return tallies, summary or {}, {"broken": broken, "table": hash_json(hashes)}


def merge(tallies: Sequence[Tally], found: Sequence[Mapping[str, Any]], place: int, kept: int) -> None:
    """Add one part's tallies to those of the parts before it."""
    for tally, other in zip(tallies, found, strict=True):
        tally.elements += other["elements"]
        tally.unexpected += other["unexpected"]
        tally.missing += other["missing"]
        tally.sample = (tally.sample + other["sample"])[:SAMPLE]
        tally.rows = (tally.rows + [[place, row] for _, row in other["rows"]])[:kept]
        tally.error = tally.error or other["error"]


def examine_part(path: Path, plan: Plan, engine: Engine) -> dict[str, Any]:
    """One part, chunk by chunk: memory stays that of a chunk."""
    tallies, summary, start = [Tally() for _ in plan.checks], None, 0
    suite = engine.suite(plan.checks)
    needed = {name for check in plan.checks for name in columns_of(check["kwargs"])}
    waiting: list[pa.Table] = []
    for table in parts.batches([path]):
        found = summarise(table, plan.columns, plan.target, plan.reference)
        summary = found if summary is None else add(summary, found)
        if plan.checks:
            waiting.append(table.select([name for name in table.column_names if name in needed]))
        if sum(piece.nbytes for piece in waiting) >= CHUNK_BYTES:
            start += run_chunk(engine, suite, waiting, start, tallies, plan)
    if waiting:
        run_chunk(engine, suite, waiting, start, tallies, plan)
    del waiting
    pa.default_memory_pool().release_unused()
    if summary is None:  # a part without rows
        with path.open("rb") as file:
            empty = pq.read_schema(file).empty_table()
        summary = summarise(empty, plan.columns, plan.target, plan.reference)
    return {"tallies": [vars(tally) for tally in tallies], "summary": summary}


def run_chunk(
    engine: Engine, suite: Any, waiting: list[pa.Table], start: int, tallies: Sequence[Tally], plan: Plan
) -> int:
    """Counts of every expectation first; values and rows only of those that this chunk breaks. Returns its rows."""
    import pandas as pd

    table = pa.concat_tables(waiting)
    waiting.clear()
    num_rows: int = table.num_rows
    frame = to_frame(table, plan.columns).set_index(pd.RangeIndex(start, start + num_rows))
    batch = engine.batch(frame)
    answers = engine.run(suite, batch)
    for check, tally, answer in zip(plan.checks, tallies, answers, strict=True):
        result = answer["result"]
        if answer["error"] is not None or "element_count" not in result:
            tally.error = tally.error or withheld(answer["error"] or "it gave no counts", touched(check, plan.columns))
            continue
        tally.elements += result["element_count"]
        tally.unexpected += result["unexpected_count"]
        tally.missing += result.get("missing_count") or 0
    wanted = max(plan.kept, SAMPLE)
    open_ones = [
        place
        for place, answer in enumerate(answers)
        if answer["result"].get("unexpected_count") and len(tallies[place].rows) < wanted
    ]
    if open_ones:
        again = engine.suite([plan.checks[place] for place in open_ones])
        for place, answer in zip(open_ones, engine.run(again, batch, rows=wanted), strict=True):
            note(tallies[place], answer["result"], plan.checks[place], plan, wanted)
    return num_rows


def note(tally: Tally, result: Mapping[str, Any], check: Check, plan: Plan, wanted: int) -> None:
    """Keep the first unexpected values, masked where they are personal, and their rows."""
    rows = [[0, int(row)] for row in result.get("partial_unexpected_index_list") or []]
    tally.rows = (tally.rows + rows)[:wanted]
    sample = [masked(plain(value), check, plan.columns) for value in result.get("partial_unexpected_list") or []]
    tally.sample = (tally.sample + sample)[:SAMPLE]


def masked(value: Any, check: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """A sample value with what is personal in it hidden; of a row of several columns, those that are."""
    named = columns_of(check["kwargs"])
    hidden = personal({name: columns[name] for name in named if name in columns})
    if not hidden or value is None:
        return value
    if isinstance(value, Mapping):
        return {name: MASK if name in hidden and item is not None else item for name, item in value.items()}
    if isinstance(value, list) and len(value) == len(named):
        return [MASK if name in hidden and item is not None else item for name, item in zip(named, value, strict=True)]
    return MASK
