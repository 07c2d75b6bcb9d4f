"""A packed stream in, the same stream out, until it grows past what may come of it."""

from dataclasses import dataclass
from typing import IO, Any

from stages.core.errors import SourceError
from stages.fetch.meter import size

SMALL_BYTES = 16 << 20  # below this, how well something was packed is nobody's danger


@dataclass(frozen=True)
class Limits:
    """`fetch.max_file_bytes`, `fetch.max_unpacked_bytes` and `fetch.max_unpack_ratio`."""

    max_file_bytes: int = 50_000_000_000
    max_unpacked_bytes: int = 16_000_000_000
    max_unpack_ratio: int = 250  # text packs 4 to 20 times; deflate cannot do more than 1,032, zstd and xz can


class Budget:
    """What one archive may still unpack to, over all its members."""

    def __init__(self, name: str, packed_bytes: int, limits: Limits) -> None:
        self.name = name
        self.packed_bytes = packed_bytes
        self.limits = limits
        self.spent = 0

    def spend(self, num_bytes: int) -> None:
        """Raises SourceError with the limit that was passed, and the key that raises it."""
        self.spent += num_bytes
        most, ratio = self.limits.max_unpacked_bytes, self.limits.max_unpack_ratio
        if self.spent > most:
            raise SourceError(
                f"{self.name} unpacks to more than {size(most)}. Narrow the pattern, or raise fetch.max_unpacked_bytes "
                "if that much is meant"
            )
        if self.spent > max(SMALL_BYTES, ratio * self.packed_bytes):
            raise SourceError(
                f"{self.name} unpacks to more than {ratio} times its {size(self.packed_bytes)}, as archives do that "
                "are made to fill a disk. If the data are that even, raise fetch.max_unpack_ratio"
            )


class Bounded:
    """A stream that spends a budget as it is read. Only what tarfile and `measure` call of a file."""

    def __init__(self, stream: IO[bytes], budget: Budget) -> None:
        self.stream = stream
        self.budget = budget

    def read(self, num_bytes: int = -1) -> bytes:
        content = self.stream.read(num_bytes)
        self.budget.spend(len(content))
        return content

    def close(self) -> None:
        self.stream.close()

    def __enter__(self) -> "Bounded":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
