"""A folder of text files in; one record a file, or with `split: lines` one a line that is not blank, out.

Columns: the text, `name`, the named groups of `path`, and those of a table of labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from stages.contract.section import Section
from stages.core.errors import DataError
from stages.ingest import About, Batch, Raw, malformed_row, number_records
from stages.ingest import _labels as label_table
from stages.ingest._labels import Labels
from stages.ingest._parts import Unit, check_pattern, from_path, matching
from stages.ingest._text import AUTO, MARK, blocks, check_encoding, detect_encoding, lines, show_marks
from stages.ingest.files import number_files

BATCH_FILES = 1000


class Options(Section):
    """`column` is the name of the text. `encoding` may be "auto": then it is detected for each file."""

    format: Literal["texts"]
    column: str = "text"
    files: str = "**/*"
    path: str = ""
    split: Literal["lines"] | None = None
    encoding: str = "utf-8"
    labels: Labels | None = None
    max_bytes: int = Field(default=64 << 20, ge=1)

    compiles = field_validator("path")(check_pattern)


def units(raw: Raw, options: Options) -> list[Unit]:
    beside = options.labels.file if options.labels else None
    return [unit for unit in matching(raw.folder, options.files) if unit != (beside,)]


def about(raw: Raw, options: Options) -> About:
    return label_table.about(raw, [name for (name,) in units(raw, options)], options.labels)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    check_encoding(options.encoding)
    if options.split == "lines":
        for name in names:
            yield from read_lines(raw, name, options)
        return
    for start in range(0, len(names), BATCH_FILES):
        yield read_files(raw, names[start : start + BATCH_FILES], options)


def encoding_of(path: Path, name: str, options: Options) -> str:
    return detect_encoding(path, name) if options.encoding == AUTO else options.encoding


def read_files(raw: Raw, names: Sequence[str], options: Options) -> Batch:
    rows: list[dict[str, Any]] = []
    malformed: list[dict[str, Any]] = []
    detected: dict[str, Any] = {}
    for name in names:
        path = raw.folder / name
        try:
            encoding = encoding_of(path, name, options)
            text = whole_text(path, name, encoding, options.max_bytes)
            rows.append({options.column: text, "name": path.name, **from_path(name, options.path), "_file": name})
        except (ValueError, DataError) as error:
            malformed.append(malformed_row(name, 1, "", str(error)))
            continue
        if options.encoding == AUTO:
            detected[name] = {"encoding": encoding}
    if not rows:
        return Batch(pa.table({}), malformed, detected=detected)
    sound = [row["_file"] for row in rows]
    columns = {key: pa.array([row[key] for row in rows], pa.string()) for key in rows[0] if key != "_file"}
    table = pa.table({**columns, **label_table.columns(raw.state, sound)})
    return Batch(number_files(table, sound), malformed, detected=detected)


def whole_text(path: Path, name: str, encoding: str, max_bytes: int) -> str:
    """The decoded file. Raises ValueError for what is not text, or too long."""
    if path.stat().st_size > max_bytes:
        raise ValueError(f"{path.stat().st_size:,} bytes, at most {max_bytes:,} allowed (ingest.max_bytes)")
    text = b"".join(block.data for block in blocks(path, name, encoding)).decode()
    if MARK in text:
        raise ValueError(f"bytes that are not {encoding} text; set ingest.encoding, or set it to auto")
    return text


def read_lines(raw: Raw, name: str, options: Options) -> Iterator[Batch]:
    path = raw.folder / name
    encoding = encoding_of(path, name, options)
    remarks = {name: {"encoding": encoding}} if options.encoding == AUTO else {}
    try:
        groups = from_path(name, options.path)
    except ValueError as error:
        yield Batch(pa.table({}), [malformed_row(name, 1, "", str(error))])
        return
    labels = {key: values[0] for key, values in label_table.columns(raw.state, [name]).items()}
    for found, first, _ in lines(path, name, encoding):
        marked = np.asarray(pc.match_substring(found, MARK))
        blank = np.asarray(pc.equal(pc.utf8_trim_whitespace(found), ""))
        numbers = first + np.arange(len(found))
        malformed = [
            malformed_row(
                name, int(numbers[row]), show_marks(found[row].as_py()), f"bytes that are not {encoding} text",
                line=int(numbers[row]),
            )
            for row in np.flatnonzero(marked).tolist()
        ]  # fmt: skip
        sound = found.filter(pa.array(~marked & ~blank))
        constants = {
            "name": pa.scalar(path.name),
            **{key: pa.scalar(group, pa.string()) for key, group in groups.items()},
        }
        table = pa.table(
            {
                options.column: sound,
                **{key: pa.repeat(value, len(sound)) for key, value in (constants | labels).items()},
            }
        )
        yield Batch(number_records(table, name, numbers[~marked & ~blank]), malformed, detected=remarks)
