"""Bytes that arrive on several threads in, one line of progress over all of them out."""

import threading
import time

from stages.core.cli import progress
from stages.fetch.meter import SECONDS_BETWEEN, size


class Bar:
    """Counts files side by side. Its `stopped` tells every thread that one of them has failed."""

    def __init__(self, label: str, num_files: int, *, num_bytes: int | None = None) -> None:
        self.label = label
        self.num_files = num_files
        self.num_bytes = num_bytes  # of all files, where that is known
        self.files_done = 0
        self.bytes_done = 0
        self.transferred = 0  # without what had been here before
        self.files_transferred = 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.start = self.shown = time.monotonic()

    def add(self, num_bytes: int) -> None:
        """Bytes that have come just now; negative where they turned out to be useless."""
        with self.lock:
            self.bytes_done += num_bytes
            self.transferred += max(num_bytes, 0)
            self.show()

    def keep(self, num_bytes: int) -> None:
        """Bytes that were here before."""
        with self.lock:
            self.bytes_done += num_bytes

    def finish(self, *, transferred: bool) -> None:
        with self.lock:
            self.files_done += 1
            self.files_transferred += transferred
            self.show()

    def show(self) -> None:
        now = time.monotonic()
        if now - self.shown >= SECONDS_BETWEEN:
            self.shown = now
            progress(self.line(now - self.start))

    def line(self, seconds: float) -> str:
        """`fetching shop: 3 of 12 files, 34.1 MB of 120.0 MB (28%), 11.2 MB/s, 8 s left`."""
        rate = self.transferred / seconds if seconds > 0 else 0.0
        parts = [f"{self.label}: {self.files_done:,} of {self.num_files:,} files, {size(self.bytes_done)}"]
        if self.num_bytes:
            parts[0] += f" of {size(self.num_bytes)} ({min(self.bytes_done / self.num_bytes, 1):.0%})"
        parts.append(f"{size(round(rate))}/s")
        if self.num_bytes and rate:
            parts.append(f"{duration(max(self.num_bytes - self.bytes_done, 0) / rate)} left")
        return ", ".join(parts)

    def summary(self) -> str:
        here = self.num_files - self.files_transferred
        return f"{self.label}: {self.files_transferred:,} of {self.num_files:,} files, {size(self.transferred)}" + (
            f"; {here:,} unchanged or here already" if here else ""
        )


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest:02} s" if minutes else f"{rest} s"
