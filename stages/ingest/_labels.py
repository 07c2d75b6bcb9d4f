"""A table beside a folder of files in, the row that belongs to each file out."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from stages.contract.section import Section
from stages.core.errors import ContractError, DataError, suggest
from stages.core.files import hash_json
from stages.ingest import About, Batch, Raw, csv, jsonl
from stages.ingest._text import lines

WHITESPACE = "whitespace"


class Labels(Section):
    """`file`, in the raw folder, is CSV or .jsonl; `key` is the column with the files' names, each with or without
    folder and ending. `delimiter` may be "whitespace". A file without header has its columns named by `names`.
    """

    file: str
    key: str
    delimiter: str = ","
    encoding: str = "utf-8"
    header: bool = True
    names: list[str] = []


@dataclass(frozen=True)
class Table:
    """`row` gives a file's row in `table`, by the file's path."""

    table: pa.Table
    row: dict[str, int]


def about(raw: Raw, names: Sequence[str], labels: Labels | None) -> About:
    """The labels, read once for all parts, and what the report must say of them."""
    if labels is None:
        return About()
    path = raw.folder / labels.file
    if not path.is_file():
        raise DataError(f"{path} does not exist; ingest.labels.file names it. Mend the name, or fetch it.")
    batches = list(read_table(raw, labels))
    table = pa.concat_tables([batch.records for batch in batches if batch.records.num_rows], promote_options="default")
    if labels.key not in table.column_names:
        raise ContractError(
            f"{labels.file} has no column {labels.key!r}, which ingest.labels.key names."
            f"{suggest(labels.key, table.column_names)} Found: {', '.join(table.column_names[:30])}"
        )
    bad = [line for batch in batches for line in batch.malformed]
    if bad:
        raise DataError(
            f"{labels.file} line {bad[0]['_line']}: {bad[0]['reason']}; {len(bad):,} such lines. Mend it: a file would "
            "be without its label."
        )
    keys = [key or "" for key in table[labels.key].to_pylist()]
    row = match(keys, names, labels)
    used = set(row.values())
    without_file = [key for place, key in enumerate(keys) if place not in used]
    remarks = {
        "rows": len(keys),
        "files_without_label": len(names) - len(row),
        "labels_without_file": len(without_file),
        "first_labels_without_file": without_file[:5],
    }
    kept = table.drop_columns([labels.key, "_file", "_record"]).combine_chunks()

    def part_key(names: Sequence[str]) -> str:
        """Of the rows of these files alone: one file more, or a new label, leaves the other parts as they are."""
        return hash_json({name: column.to_pylist() for name, column in columns(state, names).items()})

    state = Table(kept, row)
    return About(part_key=part_key, state=state, remarks={"labels": remarks})


def read_table(raw: Raw, labels: Labels) -> Iterator[Batch]:
    everything = Raw(raw.folder, raw.sources)
    if labels.file.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        yield from jsonl.read(everything, [labels.file], jsonl.Options(format="jsonl", encoding=labels.encoding))
    elif labels.delimiter == WHITESPACE:
        yield from read_whitespace(everything, labels)
    else:
        settings: dict[str, Any] = {"encoding": labels.encoding, "delimiter": labels.delimiter, "header": labels.header}
        yield from csv.read(everything, [labels.file], csv.Options(format="csv", names=labels.names, **settings))


def read_whitespace(raw: Raw, labels: Labels) -> Iterator[Batch]:
    from stages.ingest import malformed_row, number_records

    rows = [
        (first + place, line.split())
        for found, first, _ in lines(raw.folder / labels.file, labels.file, labels.encoding)
        for place, line in enumerate(found.to_pylist())
        if line.strip()
    ]
    names = labels.names or (rows.pop(0)[1] if labels.header and rows else [])
    if labels.header and labels.names:
        rows = rows[1:]
    sound = [(line, values) for line, values in rows if len(values) == len(names)]
    bad = [
        malformed_row(labels.file, line, " ".join(values), f"{len(values)} words; {len(names)} columns", line=line)
        for line, values in rows
        if len(values) != len(names)
    ]
    columns = {name: pa.array([values[place] for _, values in sound], pa.string()) for place, name in enumerate(names)}
    import numpy as np

    yield Batch(number_records(pa.table(columns), labels.file, np.array([line for line, _ in sound], np.int64)), bad)


def match(keys: Sequence[str], names: Sequence[str], labels: Labels) -> dict[str, int]:
    """{file: row}, by the first of four ways of writing a file's name that finds the most of them.

    Raises DataError where two rows or two files cannot be told apart that way.
    """
    folder = PurePosixPath(labels.file).parent
    ways: dict[str, Callable[[str], str]] = {
        "path": lambda name: name,
        "path from the labels' folder": lambda name: relative(name, folder),
        "name": lambda name: Path(name).name,
        "path without its ending": lambda name: str(PurePosixPath(name).with_suffix("")),
        "name without its ending": lambda name: Path(name).stem,
    }
    known = {key.removeprefix("./"): place for place, key in enumerate(keys)}
    hits = {way: sum(spell(name) in known for name in names) for way, spell in ways.items()}
    way = max(hits, key=lambda way: hits[way])
    if not hits[way]:
        raise DataError(
            f"{labels.file}: no {labels.key} names a raw file: it has {keys[0]!r}, and the files are such as "
            f"{names[0]!r}. Mend ingest.labels.key or ingest.files."
        )
    spelled = [ways[way](name) for name in names]
    require_unique([key.removeprefix("./") for key in keys], f"{labels.file} has more than one row for")
    require_unique(
        [name for name in spelled if name in known], f"by {way}, {labels.file} stands for several files called"
    )
    return {name: known[short] for name, short in zip(names, spelled, strict=True) if short in known}


def relative(name: str, folder: PurePosixPath) -> str:
    path = PurePosixPath(name)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else name


def require_unique(words: Sequence[str], complaint: str) -> None:
    twice = [word for word, count in Counter(words).items() if count > 1]
    if twice:
        raise DataError(f"{complaint} {twice[0]!r}, and {len(twice) - 1:,} more like it. Make them distinct.")


def columns(state: Any, names: Sequence[str]) -> dict[str, pa.Array]:
    """The label columns for these files, null where a file has none."""
    if state is None:
        return {}
    rows = pa.array([state.row.get(name) for name in names], pa.int64())
    return {name: state.table[name].take(rows) for name in state.table.column_names}
