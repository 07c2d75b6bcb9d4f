"""Raw files in, the parts that are read, cleaned and checked one by one out.

A file is a part of its own, unless it is small: small files share a part with their neighbours by
name. Where a part ends follows from the files' names (content-defined chunking), so a small file that
is added or removed changes its own part, and where it ends one, the next. Two things move more: past
FILES_A_PART · MAX_PARTS small files, and at each doubling, the divisor doubles and nearly all parts change;
and a file that grows past SMALL_BYTES leaves its group, which it cuts in two.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from stages.core.errors import DataError

SMALL_BYTES = 64 << 10
FILES_A_PART = 256
MAX_PARTS = 512
NAME_CHARS = 60

Unit = tuple[str, ...]  # files that are read together, such as pictures and their labels


def matching(folder: Path, pattern: str) -> list[Unit]:
    """Each file below `folder` that the glob means, by its name. Raises DataError where there is none."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file())
    if not names:
        present = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        raise DataError(
            f"{folder} has no file that matches ingest.files {pattern!r}. It has: {', '.join(present[:5]) or 'nothing'}"
        )
    return [(name,) for name in names]


def partition(folder: Path, units: Sequence[Unit]) -> list[list[str]]:
    """The units, in the order of their names, in groups of files."""
    ordered = sorted(units)
    small = [sum((folder / name).stat().st_size for name in unit if (folder / name).exists()) < SMALL_BYTES
             for unit in ordered]  # fmt: skip
    divisor = FILES_A_PART
    while sum(small) / divisor > MAX_PARTS:
        divisor *= 2
    groups: list[list[str]] = []
    open_group = False
    for unit, is_small in zip(ordered, small, strict=True):
        if is_small and open_group:
            groups[-1] += unit
        else:
            groups.append(list(unit))
        open_group = is_small and not ends_part(unit[0], divisor)
    return groups


def ends_part(name: str, divisor: int) -> bool:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % divisor == 0


def file_name(place: int, names: Sequence[str]) -> str:
    """A part's file: its place, which keeps the order, and the first raw file in it."""
    word = re.sub(r"[^A-Za-z0-9._=-]+", "-", names[0]).strip("-.")[-NAME_CHARS:]
    return f"{place:05d}-{word}.parquet"


def check_pattern(pattern: str) -> str:
    """For the option `path`. Raises ValueError for what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"a regular expression: {error}") from None
    return pattern


def from_path(name: str, pattern: str) -> dict[str, str | None]:
    """The named groups of `ingest.path` in a file's path. Raises ValueError where it does not match."""
    match = re.search(pattern, name)
    if match is None:
        raise ValueError(f"the path does not match ingest.path {pattern!r}")
    return match.groupdict()
