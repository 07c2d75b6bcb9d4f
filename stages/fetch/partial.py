"""A URL in, what this machine keeps of it out: a partial download, and the version last seen in full.

It lies in `$XDG_CACHE_HOME/ingot/downloads`; deleting it costs time only. Times and ETags stand
here and not in the lock, which must be the same wherever it is written.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.fetch.transport import UNKNOWN, Version

STALE_SECONDS = 7 * 24 * 3600  # a partial download that nobody goes on with


@dataclass(frozen=True)
class Seen:
    """What a URL gave when it was last transferred in full."""

    version: Version
    size: int
    sha256: str


@dataclass(frozen=True)
class Kept:
    """The files kept for one URL. `part` survives a kill: the next attempt goes on from its end."""

    folder: Path
    key: str

    @property
    def part(self) -> Path:
        return self.folder / f"{self.key}.part"

    def begun(self) -> tuple[int, Version]:
        """How many bytes are here, and of which version."""
        offset = self.part.stat().st_size if self.part.is_file() else 0
        return offset, version_in(read(self.folder / f"{self.key}.begun.json"))

    def begin(self, version: Version) -> None:
        write(self.folder / f"{self.key}.begun.json", asdict(version))

    def drop(self) -> None:
        self.part.unlink(missing_ok=True)
        (self.folder / f"{self.key}.begun.json").unlink(missing_ok=True)

    def seen(self) -> Seen | None:
        value = read(self.folder / f"{self.key}.json")
        try:
            return Seen(version_in(value["version"]), int(value["size"]), str(value["sha256"]))
        except (KeyError, TypeError, ValueError):
            return None

    def remember(self, seen: Seen) -> None:
        write(self.folder / f"{self.key}.json", asdict(seen))


@contextmanager
def kept(url: str, folder: Path) -> Iterator[Kept]:
    """The files of one URL, for one process at a time: a second one waits, and finds them whole."""
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(url.encode()).hexdigest()[:32]
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however it ends
        yield Kept(folder, key)


def write(path: Path, value: Any) -> None:
    """Not forced to disk, unlike what is worth something: a record lost with the power costs a transfer."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value), encoding="utf-8")
    os.replace(partial, path)


def read(path: Path) -> Any:
    """A record of ours, or an empty one where a kill or another version has left something else."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def version_in(value: Any) -> Version:
    try:
        return Version(**value)
    except TypeError:
        return UNKNOWN


def remove_stale(folder: Path) -> None:
    for path in folder.glob("*.part"):
        try:
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                os.unlink(path)
        except OSError:  # another process was faster
            continue
