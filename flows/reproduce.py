"""A stage in, its run as a child process line by line, and what went wrong, out."""

import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.graph import Stage
from flows.leash import GRACE_SECONDS
from stages.core.files import read_json

LEASH = Path(__file__).with_name("leash.py")
RECORDS = Path("data/.run")  # where stages.core.cli leaves what a stage did, or why it failed
KEPT_LINES = 20
# What DVC says around every stage, and says again where a stage has failed.
CHATTER = re.compile(
    r"\s*$|Running stage '|> |(Updating|Generating) lock file|To track the changes|\tgit add|To enable auto staging|"
    r"\tdvc config|Use `dvc push`|ERROR: failed to reproduce .*exited with -?\d+$"
)


@dataclass(frozen=True)
class Failure:
    """`kind` is the class in stages.core.errors, or Crash where a stage left no word."""

    stage: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.kind}: {self.message}"


class Children:
    """The commands that run now, up to `workers` at a time. Leaving the block ends them, with all that they started."""

    def __init__(self, workers: int = 1) -> None:
        # of several at a time, threads that spin while they wait starve the others
        self.environment = {"OMP_WAIT_POLICY": "PASSIVE"} if workers > 1 else {}
        self.running: set[subprocess.Popen[str]] = set()
        self.stopped = False
        self.lock = threading.Lock()

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """In a session of its own, stdout and stderr together. Raises RuntimeError after `stop`."""
        folder = Path(sys.executable).parent  # so that dvc.yaml's `python` is this one, under cron too
        path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
        with self.lock:
            if self.stopped:
                raise RuntimeError("the flow is ending: no more commands are started")
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), *command],
                env={**self.environment, **os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self.running.add(process)
            return process

    def finish(self, process: subprocess.Popen[str]) -> int:
        code = process.wait()
        with self.lock:
            self.running.discard(process)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        return code

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            running = list(self.running)
            for process in running:
                if process.stdin:
                    process.stdin.close()
        for process in running:
            process.wait(timeout=2 * GRACE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def reproduce(stage: Stage, *, say: Callable[[str], None], children: Children) -> Failure | None:
    """Run one stage as DVC would, or take it from DVC's cache of runs; None when all went well."""
    record = RECORDS / f"{stage.pipeline}.{stage.verb}.json"
    before = stamp(record)
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage.name]
    process = children.start(command)
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if not CHATTER.match(line):
            say(lines[-1])
    code = children.finish(process)
    if code == 0:
        return None
    if children.stopped:
        return Failure(stage.name, "Stopped", "the flow was ended while this stage ran; the next run begins it again")
    if stamp(record) != before and "error" in (found := read_json(record)):
        return Failure(stage.name, found["error"], found["message"])
    return Failure(stage.name, "Crash", last_words(lines) or f"dvc ended with {code} and said nothing")


def stamp(path: Path) -> tuple[int, int] | None:
    """Changes whenever the file is replaced."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def last_words(lines: Sequence[str]) -> str:
    """The last line of the stage or of DVC that is not about DVC's own work."""
    return next((line.removeprefix("ERROR: ") for line in reversed(lines) if not CHATTER.match(line)), "")
