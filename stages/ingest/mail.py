"""Mail files in, one record each out: subject, body as a mail program shows it, and facts."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import field_validator

from serving.mail import read_mail
from stages.contract.section import Section
from stages.ingest import Batch, Raw, malformed_row
from stages.ingest._parts import Unit, check_pattern, from_path, matching

BATCH_MAILS = 1000


class Options(Section):
    """`path` is a regular expression on the file's path: its named groups become columns."""

    format: Literal["mail"]
    files: str = "**/*"
    path: str = ""

    compiles = field_validator("path")(check_pattern)


def units(raw: Raw, options: Options) -> list[Unit]:
    return matching(raw.folder, options.files)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    for start in range(0, len(names), BATCH_MAILS):
        records: list[dict[str, Any]] = []
        malformed: list[dict[str, Any]] = []
        for name in names[start : start + BATCH_MAILS]:
            try:
                content = (raw.folder / name).read_bytes()
                records.append({**read_mail(content), **from_path(name, options.path), "_file": name, "_record": 1})
            except ValueError as error:
                malformed.append(malformed_row(name, 1, "", str(error)))
        yield Batch(pa.Table.from_pylist(records), tuple(malformed))
