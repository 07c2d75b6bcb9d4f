"""A request for a remote file in, its version and its bytes out, or why not: what web.py and bucket.py share."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """By what a server tells whether a file is still the same; empty where it does not say."""

    etag: str = ""
    modified: str = ""
    size: int | None = None

    @property
    def known(self) -> bool:
        """Whether two such versions can be told apart: a size alone does not."""
        return bool(self.etag or self.modified)

    def same(self, other: "Version") -> bool:
        return self.known and self == other


UNKNOWN = Version()


@dataclass(frozen=True)
class Reply:
    """A remote file's version, and its bytes from `offset` on; none where it is `unchanged`."""

    version: Version
    chunks: Iterator[bytes]
    offset: int = 0
    unchanged: bool = False


class Unreachable(Exception):
    """Why a file could not be had from one place. `retry`: it may well be there in a moment."""

    def __init__(self, reason: str, *, retry: bool = False, wait_seconds: float = 0.0, restart: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry
        self.wait_seconds = wait_seconds
        self.restart = restart  # what has been kept of an earlier attempt is of no use
