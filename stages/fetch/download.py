"""A remote file and its mirrors in, its content in the cache out: resumed, tried again, checked."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from stages.core.errors import DiskFull, SourceError
from stages.core.files import CHUNK_BYTES
from stages.fetch.bar import Bar
from stages.fetch.bounds import Limits
from stages.fetch.cache import cached
from stages.fetch.lock import Altered, File, Package
from stages.fetch.meter import size
from stages.fetch.partial import Kept, Seen, kept
from stages.fetch.transport import UNKNOWN, Reply, Unreachable, Version

ATTEMPTS = 4  # in a row without progress
BACKOFF_SECONDS = 0.5  # before the second attempt, doubled for each further one
PROGRESS_BYTES = 1 << 20  # a connection that brings this much before it breaks is worth going on with

Open = Callable[..., AbstractContextManager[Reply]]  # opened(url, offset=…, version=…, unless=…)


@dataclass(frozen=True)
class Wanted:
    """One remote file. `urls` are its mirrors in order; `locked` says which bytes it must be;
    `version` is what a listing has just told of the first.
    """

    name: str
    urls: tuple[str, ...]
    locked: File | Package | None = None
    version: Version = UNKNOWN


@dataclass(frozen=True)
class Content:
    path: Path
    size: int
    sha256: str


class Stopped(Exception):
    """Another file's download failed, so this one is of no use now."""


@dataclass(frozen=True)
class Downloads:
    """Where downloads go, how large they may be, and how they are shown."""

    packages: Path  # whole files, by SHA-256
    opened: Open
    bar: Bar
    limits: Limits

    def obtain(self, wanted: Wanted) -> Content:
        """Raises Altered where a place gave other bytes than the lock says, DiskFull without room, else SourceError."""
        if wanted.locked is not None:
            path = cached(wanted.name, wanted.locked.sha256, folder=self.packages)
            if path is not None:
                return self.at_hand(path, wanted.locked.size, wanted.locked.sha256)
        problems: list[str] = []
        kind: type[SourceError] = SourceError
        for url in wanted.urls:
            try:
                with kept(url, self.packages.parent / "downloads") as files:
                    return self.from_one(url, wanted, files)
            except Unreachable as error:
                problems.append(f"{url}: {error}")
            except Altered as error:
                kind = Altered
                problems.append(f"{url}: {error}")
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise kind(
            f"{wanted.name} could not be fetched:{listed}\nCheck the address and the network, then run this again"
        )

    def at_hand(self, path: Path, num_bytes: int, digest: str) -> Content:
        self.bar.keep(num_bytes)
        self.bar.finish(transferred=False)
        return Content(path, num_bytes, digest)

    def from_one(self, url: str, wanted: Wanted, files: Kept) -> Content:
        """One place, tried again while there is hope."""
        failed = 0
        while True:
            before = files.begun()[0]
            try:
                return self.transfer(url, wanted, files)
            except Unreachable as error:
                if error.restart:
                    files.drop()
                failed = 1 if files.begun()[0] - before >= PROGRESS_BYTES else failed + 1
                if not error.retry or failed >= ATTEMPTS:
                    again = f", {failed} times" if error.retry else ""
                    raise Unreachable(f"{error}{again}") from None
                if self.bar.stopped.wait(max(error.wait_seconds, BACKOFF_SECONDS * 2 ** (failed - 1))):
                    raise Stopped from None

    def transfer(self, url: str, wanted: Wanted, files: Kept) -> Content:
        """What is missing of a file, appended to what is here. Raises Unreachable and Altered."""
        offset, version = files.begun()
        offset = min(offset, (version.size or offset) - 1) if offset else 0  # killed at the end: ask for a byte
        if offset and not version.known and wanted.locked is None:
            files.drop()  # nothing would tell whether both halves are of one file
            offset = 0
        seen = None if offset or wanted.locked is not None else files.seen()
        path = cached(wanted.name, seen.sha256, folder=self.packages) if seen else None
        unless = seen.version if seen and path else UNKNOWN
        if seen and path and url == wanted.urls[0] and unless.same(wanted.version):
            return self.at_hand(path, seen.size, seen.sha256)
        with self.opened(url, offset=offset, version=version, unless=unless) as reply:
            if seen and path and (reply.unchanged or unless.same(reply.version)):
                return self.at_hand(path, seen.size, seen.sha256)
            self.check_size(reply, wanted)
            if reply.offset == 0:
                files.drop()
                files.begin(reply.version)
            num_bytes, digest = self.append(reply, wanted, files)
        if reply.version.size is not None and num_bytes != reply.version.size:
            self.bar.keep(-num_bytes)
            raise Unreachable(f"it sent {num_bytes:,} of {reply.version.size:,} bytes", retry=True)
        resumed = reply.offset > 0
        if wanted.locked is not None and (num_bytes, digest) != (wanted.locked.size, wanted.locked.sha256):
            files.drop()
            self.bar.keep(-num_bytes)
            if resumed:  # the file changed in between, and the server did not say so
                raise Unreachable("the parts do not fit together", retry=True)
            raise Altered(
                f"it has {num_bytes:,} bytes and the SHA-256 {digest}; the lock says {wanted.locked.size:,} bytes and "
                f"{wanted.locked.sha256}"
            )
        return self.settle(wanted, files, Seen(reply.version, num_bytes, digest))

    def settle(self, wanted: Wanted, files: Kept, seen: Seen) -> Content:
        path = self.packages / seen.sha256[:16] / wanted.name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(files.part, path)
        files.drop()
        if seen.version.known:
            files.remember(seen)
        self.bar.finish(transferred=True)
        return Content(path, seen.size, seen.sha256)

    def check_size(self, reply: Reply, wanted: Wanted) -> None:
        """Before a byte is taken: whether the size that the server states is right, allowed, and has room."""
        stated, locked = reply.version.size, wanted.locked
        if stated is not None and locked is not None and stated != locked.size:
            raise Altered(f"it has {stated:,} bytes; the lock says {locked.size:,}")
        if stated is not None and locked is None and stated > self.limits.max_file_bytes:
            raise SourceError(self.too_large(wanted))
        free = shutil.disk_usage(self.packages.parent).free
        if stated is not None and stated - reply.offset > free:
            raise DiskFull(
                f"{wanted.name} has {size(stated)}, and the disk of {self.packages.parent} is too full for it: "
                f"{size(free)} are free. Free space there, or set XDG_CACHE_HOME to another folder"
            )

    def too_large(self, wanted: Wanted) -> str:
        most = size(self.limits.max_file_bytes)
        return f"{wanted.name} is larger than {most}. If it is meant, raise fetch.max_file_bytes"

    def append(self, reply: Reply, wanted: Wanted, files: Kept) -> tuple[int, str]:
        """Size and SHA-256 of the whole file, whose later part comes now."""
        digest = hashlib.sha256()
        num_bytes = 0
        most = wanted.locked.size if wanted.locked else self.limits.max_file_bytes
        with files.part.open("ab") as part:
            part.truncate(reply.offset)
            for chunk in pieces_of(files.part, reply.offset):
                digest.update(chunk)
                num_bytes += len(chunk)
            self.bar.keep(num_bytes)
            try:
                for chunk in reply.chunks:
                    part.write(chunk)
                    digest.update(chunk)
                    num_bytes += len(chunk)
                    self.bar.add(len(chunk))
                    if self.bar.stopped.is_set():
                        raise Stopped
                    if num_bytes > most:
                        break
            except BaseException:
                self.bar.keep(-num_bytes)  # the next attempt counts them as kept
                raise
        if num_bytes > most and wanted.locked is None:
            files.drop()
            raise SourceError(self.too_large(wanted))
        return num_bytes, digest.hexdigest()


def pieces_of(path: Path, num_bytes: int) -> Iterator[bytes]:
    """The first bytes of a file that another handle appends to."""
    with path.open("rb") as file:
        while num_bytes > 0 and (chunk := file.read(min(CHUNK_BYTES, num_bytes))):
            num_bytes -= len(chunk)
            yield chunk
