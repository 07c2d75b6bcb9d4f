"""A compressed file in, its bytes out as a stream that fails where the file is cut short."""

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import IO, Any, cast

# One kB of zstd holds at most 64 MB of zeros: more at once, and a bomb would be in memory before it is counted.
ZSTD_BYTES = 1 << 10
LONG = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz", ".tzst": ".tar.zst"}


def is_tar(name: str) -> bool:
    return ".tar" in spelt(name)


def inner_name(name: str) -> str:
    """What a compressed single file is called without its suffix."""
    return name.rpartition(".")[0]


def spelt(name: str) -> str:
    """The suffixes that say how a file is packed, in lower case and in full."""
    lower = name.lower()
    for short, long in LONG.items():
        if lower.endswith(short):
            return long
    packed = next((suffix for suffix in (".gz", ".bz2", ".xz", ".zst") if lower.endswith(suffix)), "")
    rest = lower.removesuffix(packed)
    return (".tar" if rest.endswith(".tar") else "") + packed


def opened(path: Path) -> IO[bytes]:
    """The unpacked stream of `x.gz`, `x.tar.zst` and the like; a plain one for `x.tar`."""
    packed = spelt(path.name).removeprefix(".tar")
    if packed and path.stat().st_size == 0:  # gzip and zstd would read it as nothing, without a word
        raise EOFError("it is empty")
    if packed == ".gz":
        return cast(IO[bytes], gzip.open(path))
    if packed == ".bz2":
        return cast(IO[bytes], Sound(bz2.open(path)))
    if packed == ".xz":
        return cast(IO[bytes], lzma.open(path))
    if packed == ".zst":
        return cast(IO[bytes], io.BufferedReader(Zstandard(path), 1 << 16))
    return path.open("rb")


class Sound:
    """bz2 tells of damage by an OSError, as if the disk were at fault."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, num_bytes: int = -1) -> bytes:
        try:
            content: bytes = self.stream.read(num_bytes)
            return content
        except OSError as error:
            raise error if error.errno else EOFError(str(error)) from None

    def close(self) -> None:
        self.stream.close()


class Zstandard(io.RawIOBase):
    """Frame after frame. (zstandard's own reader takes a file that is cut short for a whole one.)"""

    def __init__(self, path: Path) -> None:
        from zstandard import ZstdDecompressor

        self.decompressor = ZstdDecompressor()
        self.file = path.open("rb")
        self.frame: Any = None
        self.rest = b""  # compressed, of the next frame
        self.content = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not len(self.content) and self.more():
            pass
        taken = self.content[: len(buffer)]
        self.content = self.content[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def more(self) -> bool:
        """Whether there was more; it is in `content`. Raises EOFError on damage."""
        from zstandard import ZstdError

        chunk = self.rest or self.file.read(ZSTD_BYTES)
        if not chunk:
            if self.frame is not None:
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            return False
        self.frame = self.frame or self.decompressor.decompressobj()
        try:
            self.content = memoryview(self.frame.decompress(chunk))
        except ZstdError as error:
            raise EOFError(str(error)) from None
        self.rest = self.frame.unused_data if self.frame.eof else b""
        if self.frame.eof:
            self.frame = None
        return True

    def close(self) -> None:
        self.file.close()
        super().close()
