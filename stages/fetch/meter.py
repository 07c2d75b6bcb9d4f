"""A stream in, its size and SHA-256 out, with a line of progress a few times a second."""

import hashlib
import sys
import time
from typing import IO

from stages.core.cli import progress
from stages.core.files import CHUNK_BYTES

SECONDS_BETWEEN = 0.2


class Meter:
    """Counts what one step has read; shows it on stderr where a person is watching."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.num_bytes = 0
        self.num_files = 0
        self.shown = time.monotonic()

    def add(self, num_bytes: int, *, num_files: int = 0) -> None:
        self.num_bytes += num_bytes
        self.num_files += num_files
        self.show()

    def show(self) -> None:
        now = time.monotonic()
        if now - self.shown >= SECONDS_BETWEEN:
            self.shown = now
            files = f"{count(self.num_files)}, " if self.num_files else ""
            progress(f"{self.label}: {files}{size(self.num_bytes)}")


def clear() -> None:
    """Take the last line of progress off a terminal, so that the result begins at its margin."""
    if sys.stderr.isatty():
        progress("")


def measure(
    stream: IO[bytes], meter: Meter, *, limit: int | None = None, into: IO[bytes] | None = None
) -> tuple[int, str]:
    """Size and hexadecimal SHA-256 of a stream, which is copied to `into`.

    Reading stops soon after `limit` bytes: a size above it says that there was more.
    """
    digest = hashlib.sha256()
    num_bytes = 0
    while (limit is None or num_bytes <= limit) and (chunk := stream.read(CHUNK_BYTES)):
        num_bytes += len(chunk)
        digest.update(chunk)
        if into is not None and (limit is None or num_bytes <= limit):
            into.write(chunk)
        meter.add(len(chunk))
    meter.add(0, num_files=1)
    return num_bytes, digest.hexdigest()


def count(num_files: int) -> str:
    return f"{num_files:,} file{'' if num_files == 1 else 's'}"


def size(num_bytes: int) -> str:
    """Decimal units, as package registries show them: 1 MB is 1,000,000 bytes."""
    if num_bytes < 1000:
        return f"{num_bytes} byte{'' if num_bytes == 1 else 's'}"
    value = float(num_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95 or unit == "GB":
            break
    return f"{value:,.1f} {unit}"
