"""Raw files and how to read them in; a bounded sample of their records, spread over all of them, out.

The reading is ingest's own, so the draft sees what the pipeline will see.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract.loader import seam
from stages.contract.section import parse
from stages.core.errors import ContractError, DataError
from stages.draft.folder import Folder
from stages.draft.sniff import Source, packing

MAX_ROWS = 200_000
WHOLE_BYTES = 64 << 20  # larger text files are read in pieces
PIECES, PIECE_BYTES = 16, 4 << 20
MAX_FILES = 32
MAX_DOCUMENTS = 1_000  # pictures or texts, one a file
PLACES = ("_file", "_record")


@dataclass(frozen=True)
class Sample:
    """`num_rows` is a count where `exact`, else an estimate; `malformed` is a share of the records read."""

    records: pa.Table
    num_rows: int
    exact: bool
    malformed: float
    reason: str = ""


def options_of(source: Source) -> tuple[Any, Any]:
    """Ingest's module for this format, and its typed options."""
    if source.format not in seam("ingest"):
        raise ContractError(
            f"this looks like {source.format}, which stages/ingest does not read yet; it reads "
            f"{', '.join(seam('ingest'))}. Turn it into csv first"
        )
    module = import_module(f"stages.ingest.{source.format}")
    return module, parse(module.Options, {"format": source.format, **source.options}, "draft.ingest")


def read(folders: Sequence[Folder], source: Source) -> Sample:
    """At most MAX_ROWS records of the files."""
    files = [(folder.root, name) for folder in folders for name in folder.files]
    most = MAX_FILES if folders[0].kind == "table" else MAX_DOCUMENTS
    chosen = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, most).astype(int))]
    taken, seen, malformed, read_bytes, reason = [], 0, 0, 0, ""
    stride = 1
    with tempfile.TemporaryDirectory() as short:
        for root, name in chosen:
            part, rest = shortened(root, name, source, Path(short))
            read_bytes += (part / rest).stat().st_size
            for batch in batches(part, rest, source):
                if batch.malformed and not reason:
                    reason = str(batch.malformed[0]["reason"])
                malformed += len(batch.malformed)
                if not batch.records.num_rows:
                    continue
                places = np.arange(-seen % stride, batch.records.num_rows, stride)
                seen += batch.records.num_rows
                taken.append(batch.records.drop_columns([*PLACES]).take(pa.array(places)))
                while sum(table.num_rows for table in taken) > 2 * MAX_ROWS:  # memory stays bounded
                    stride *= 2
                    taken = [table.take(pa.array(np.arange(0, table.num_rows, 2))) for table in taken]
    if not taken:
        raise DataError(f"no record could be read of {chosen[0][1]}" + (f": {reason}" if reason else ""))
    records = pa.concat_tables(taken, promote_options="default").combine_chunks()
    if records.num_rows > MAX_ROWS:
        records = records.take(pa.array(np.linspace(0, records.num_rows - 1, MAX_ROWS).astype(int)))
    total_bytes = sum((root / name).stat().st_size for root, name in files)
    exact = read_bytes == total_bytes
    num_rows = seen if exact else round(seen * total_bytes / max(read_bytes, 1))
    if folders[0].kind != "table":
        exact, num_rows = len(chosen) == len(files), len(files)
    return Sample(records, num_rows, exact, malformed / (seen + malformed), reason)


def batches(folder: Path, name: str, source: Source) -> Iterator[Any]:
    from stages.ingest import Raw

    module, settings = options_of(source)
    yield from module.read(Raw(folder, folder), [name], settings)


def shortened(root: Path, name: str, source: Source, folder: Path) -> tuple[Path, str]:
    """The file itself, or of a large text file a copy of the header and of pieces spread over it.

    Cut at line ends: a quoted line break on a cut costs a few records, which then count as malformed.
    """
    path = root / name
    size = path.stat().st_size
    lines = source.format in ("csv", "jsonl") and not str(source.options.get("encoding", "")).startswith("utf-16")
    if size <= WHOLE_BYTES or not lines or packing(path):
        return root, name
    with path.open("rb") as file, (folder / path.name).open("wb") as out:
        for place in np.linspace(0, size - PIECE_BYTES, PIECES).astype(int).tolist():
            file.seek(place)
            piece = file.read(PIECE_BYTES)
            start = 0 if place == 0 else piece.find(b"\n") + 1
            out.write(piece[start : piece.rfind(b"\n") + 1])
    return folder, path.name
