"""A package client's command in, what it printed out, with progress while it runs."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.cli import progress
from stages.core.errors import SourceError
from stages.fetch.meter import size

SECONDS_BETWEEN = 0.5


@dataclass(frozen=True)
class Ran:
    returncode: int
    output: str
    complaints: str


def require(program: str, *, needed_by: str, install: str) -> str:
    """The path of a program. Raises SourceError that tells what to install."""
    path = shutil.which(program)
    if path is None:
        raise SourceError(
            f"the program `{program}` was not found, and {needed_by} need it. Install {install}, or put it on PATH"
        )
    return path


def run(command: Sequence[str], *, folder: Path, label: str) -> Ran:
    """Run a client in `folder`, showing the seconds and the bytes that have arrived there."""
    start = time.monotonic()
    environment = {**os.environ, "LC_ALL": "C"}  # its messages are read below
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        while True:
            try:
                output, complaints = process.communicate(timeout=SECONDS_BETWEEN)
                return Ran(process.returncode, output, complaints)
            except subprocess.TimeoutExpired:
                progress(f"{label}: {time.monotonic() - start:.0f} s, {size(arrived(folder))}")
            except BaseException:
                process.kill()
                raise


def arrived(folder: Path) -> int:
    """Bytes in a folder that another process is writing to."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # renamed between the two looks
            continue
    return total
