"""A stage's command line in, one job out: its contract, its paths, its report line, its errors.

Every stage is `python -m stages.<stage> --pipeline P --<input> PATH … --out PATH`. Paths stand
in dvc.yaml alone. What a stage did, or why it failed, is left in `data/.run/<p>.<stage>.json`.
"""

import argparse
import errno
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.contract import Contract, load
from stages.contract.column import personal, withheld
from stages.core.errors import DiskFull, IngotError, RefusedError
from stages.core.files import read_json, replacing, write_json

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what an OSError bears where a disk or a quota is at its end


OTHERS_SECONDS = 10.0  # how much later another process may come to the same error, where cores are few


@dataclass
class Told:
    """What is known of a run while it is under way, for the record of how it failed."""

    contract: Contract | None = None


@dataclass
class Job:
    """One run of one stage. `out` is a folder that gets its name when the stage ends well."""

    stage: str
    contract: Contract
    inputs: dict[str, Path]
    out: Path
    summary: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Path:
        return self.inputs[name]

    def say(self, text: str) -> None:
        """Add to the one line that the stage prints when it is done."""
        self.summary.append(text)


def arguments_of(stage: str, *inputs: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """A stage's command line; `status` is where it leaves its record."""
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}")
    parser.add_argument("--pipeline", required=True, help="a section of params.yaml")
    for name in inputs:
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="a folder, replaced as a whole")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--status", type=Path, default=Path("data/.run"))
    arguments = parser.parse_args(argv)
    arguments.status /= f"{arguments.pipeline}.{stage}.json"
    return arguments


@contextmanager
def job(stage: str, *inputs: str, argv: Sequence[str] | None = None, rank: int | None = None) -> Iterator[Job]:
    """Run the block as one stage: parse `argv`, write `--out` whole or not at all, report.

    Where several processes run one stage, `rank` is each one's own; 0 alone writes and reports.
    """
    arguments = arguments_of(stage, *inputs, argv=argv)
    status, start = arguments.status, time.perf_counter()
    with reporting(stage, arguments.pipeline, status, rank) as told:
        contract = told.contract = load(arguments.params, arguments.pipeline)
        paths = {name: getattr(arguments, name) for name in inputs}
        for name, path in paths.items():
            if not path.exists():
                raise IngotError(f"--{name} {path} does not exist. Run the stage that makes it, or `dvc repro`.")
        if rank:
            yield Job(stage, contract, paths, arguments.out)
            return
        with replacing(arguments.out) as partial:
            running = Job(stage, contract, paths, partial)
            yield running
        record = {
            "stage": stage,
            "pipeline": arguments.pipeline,
            "summary": "; ".join(running.summary),
            "seconds": round(time.perf_counter() - start, 2),
            "peak_memory_mb": peak_memory_mb(),
        }
        write_json(status, record)
        print(
            f"{stage} {arguments.pipeline}: {record['summary']}; {record['seconds']} s, peak "
            f"{record['peak_memory_mb']} MB",
            flush=True,
        )


@contextmanager
def reporting(stage: str, pipeline: str, status: Path, rank: int | None = None) -> Iterator[Told]:
    """Turn an IngotError into a sentence on stderr, an exit code, and a record of its kind.

    Of any other exception the record says Crash, and its type alone once a contract with personal columns is told.
    A former run's record is no longer there. Of several processes that fail, one tells: the others are ended with it.
    """
    if not rank:
        status.unlink(missing_ok=True)
    told = Told()
    try:
        yield told
    except Exception as raised:
        error = disk_full(raised) if is_full(raised) else raised
        if rank or (rank == 0 and not isinstance(error, IngotError)):
            time.sleep(OTHERS_SECONDS)  # who lost another one, or fails as rank 0 does, is ended meanwhile
        kind = type(error).__name__ if isinstance(error, IngotError) else "Crash"
        message = str(error) if isinstance(error, IngotError) else crash(error, told.contract)
        with suppress(OSError):  # on a full disk the sentence is said all the same
            write_json(status, {"stage": stage, "pipeline": pipeline, "error": kind, "message": message})
        if not isinstance(error, IngotError):
            raise
        print(f"{stage} {pipeline}: {kind}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None


def former_failure(status: Path) -> int | None:
    """The exit code of an error of ours that a record tells of."""
    kind = str(read_json(status).get("error")) if status.exists() else ""
    kinds: list[type[IngotError]] = [IngotError, *IngotError.__subclasses__()]
    return {error.__name__: error.exit_code for error in kinds}.get(kind)


def crash(error: Exception, contract: Contract | None) -> str:
    """A foreign exception in words; libraries quote the value that they stumbled over."""
    try:
        columns = {**contract.columns, **contract.example_columns} if contract else {}
    except IngotError:  # nobody knows what is personal
        return type(error).__name__
    return withheld(error, personal(columns))


def is_full(error: Exception) -> bool:
    """True where a disk or a quota was at its end; pyarrow says so in its text alone."""
    if isinstance(error, IngotError):
        return False
    full = isinstance(error, OSError) and error.errno in FULL
    return full or "No space left on device" in str(error)


def disk_full(cause: Exception) -> DiskFull:
    return DiskFull(
        f"the disk is full: {cause}. Free space there, then run this again: what was there before is untouched"
    )


def peak_memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def require_passed(report: Path) -> dict[str, Any]:
    """Read a stage's report and refuse to go on unless its verdict is `passed`."""
    content: dict[str, Any] = read_json(report)
    if content.get("passed") is not True:
        reasons = "\n  - ".join(content.get("reasons") or ["the report holds no verdict"])
        raise RefusedError(f"{report} says not passed:\n  - {reasons}")
    return content


def progress(text: str, *, last: bool = False) -> None:
    """Show one line of progress: rewritten in place on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last or os.environ.get("INGOT_PROGRESS") == "lines":
        print(text, file=sys.stderr, flush=True)
