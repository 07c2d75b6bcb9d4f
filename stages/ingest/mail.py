"""Mail files in, one record each out: subject, body as a mail program shows it, and facts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import field_validator

from serving.mail import read_mail
from stages.contract.section import Section
from stages.core import cli
from stages.core.errors import DataError
from stages.ingest import Batch

BATCH_MAILS = 1000


class Options(Section):
    """`path` is a regular expression on the file's path: its named groups become columns."""

    format: Literal["mail"]
    files: str = "**/*"
    path: str = ""

    @field_validator("path")
    @classmethod
    def compiles(cls, path: str) -> str:
        try:
            re.compile(path)
        except re.error as error:
            raise ValueError(f"a regular expression: {error}") from None
        return path


def read(folder: Path, options: Options) -> Iterator[Batch]:
    files = sorted(path for path in folder.glob(options.files) if path.is_file())
    if not files:
        raise DataError(f"{folder} has no file that matches ingest.files {options.files!r}")
    for start in range(0, len(files), BATCH_MAILS):
        records: list[dict[str, Any]] = []
        malformed: list[dict[str, Any]] = []
        for path in files[start : start + BATCH_MAILS]:
            name = path.relative_to(folder).as_posix()
            try:
                records.append(
                    {**read_mail(path.read_bytes()), **from_path(name, options.path), "_file": name, "_record": 1}
                )
            except ValueError as error:
                malformed.append({"_file": name, "_record": 1, "text": "", "reason": str(error)})
        cli.progress(f"ingest: {min(start + BATCH_MAILS, len(files)):,} of {len(files):,} mails")
        yield Batch(pa.Table.from_pylist(records), tuple(malformed))


def from_path(name: str, pattern: str) -> dict[str, str]:
    match = re.search(pattern, name)
    if match is None:
        raise ValueError(f"the path does not match ingest.path {pattern!r}")
    return match.groupdict()
