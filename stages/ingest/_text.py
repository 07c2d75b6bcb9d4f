"""Raw files in, UTF-8 text in blocks out: unpacked and decoded; bytes that are no text are marked, not lost."""

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from stages.core.errors import ContractError, DataError

BLOCK_BYTES = 4 << 20
SAMPLE_BYTES = 256 << 10
MARK = "\U0010ffff"  # stands before each undecodable byte; no text holds this noncharacter
MARK_BYTES = MARK.encode()
AUTO = "auto"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MARKS_OF_ORDER = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
KINDS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"PK\x03\x04": "a zip archive (as .xlsx files are)",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an old Office document (such as .xls)",
    b"SQLite format 3": "a SQLite database",
}
USUAL = ("utf_8", "cp1252", "cp1250", "cp1251", "koi8_r", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")


@dataclass(frozen=True)
class Block:
    """Some decoded text; `damaged` where it holds marks. `last` is true of a file's last block alone."""

    data: bytes
    damaged: bool
    last: bool


def check_encoding(encoding: str) -> None:
    """Raises ContractError for a name that is no text encoding of Python's."""
    try:
        if encoding != AUTO:
            "".encode(encoding)
    except LookupError:
        raise ContractError(
            f"ingest.encoding is {encoding!r}, which Python does not know; try auto, utf-8, latin-1, gb18030"
        ) from None


def chunks(file: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    """The file's content in pieces of about `size` bytes, unpacked where it is gzip or zstd."""
    head = file.read(4)
    file.seek(0)
    try:
        if head.startswith(GZIP):
            unpacked = gzip.GzipFile(fileobj=file)
            yield from iter(lambda: unpacked.read(size), b"")
        elif head == ZSTD:
            yield from unpack_zstd(file, size)
        else:
            yield from iter(lambda: file.read(size), b"")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is packed and cannot be unpacked: {error}. Fetch it again.") from None


def unpack_zstd(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Frame after frame. zstandard itself is silent about a file that is cut off."""
    import zstandard

    decoder = zstandard.ZstdDecompressor().decompressobj()
    packed = file.read(size // 8)
    try:
        while packed:
            unpacked = decoder.decompress(packed)
            yield from (unpacked[start : start + size] for start in range(0, len(unpacked), size))
            packed = (decoder.unused_data if decoder.eof else b"") or file.read(size // 8)
            if packed and decoder.eof:
                decoder = zstandard.ZstdDecompressor().decompressobj()
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from None
    if not decoder.eof:
        raise EOFError("it ends in the middle of a frame")


def blocks(path: Path, name: str, encoding: str) -> Iterator[Block]:
    """The decoded file, block by block; at least one, and the last one says so."""
    with path.open("rb") as file:
        yield from decode(chunks(file, name, BLOCK_BYTES), name, encoding)


def decode(pieces: Iterator[bytes], name: str, encoding: str) -> Iterator[Block]:
    codecs.register_error("ingot.mark", mark_bytes)
    state: Any = None
    ahead = next(pieces, b"")
    refuse_binary(ahead, name, encoding)
    first = True
    while True:
        piece, ahead = ahead, next(pieces, b"")
        text, state, damaged = decode_piece(piece, encoding, state, last=not ahead)
        yield Block((text.removeprefix("\ufeff") if first else text).encode(), damaged, not ahead)
        first = False
        if not ahead:
            return


def decode_piece(piece: bytes, encoding: str, state: Any, *, last: bool) -> tuple[str, Any, bool]:
    """Text, the decoder's state after it, and whether some bytes were marked."""
    for errors in ("strict", "ingot.mark"):
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        if state is not None:
            decoder.setstate(state)
        try:
            text = decoder.decode(piece, last)
            text.encode()  # a lone surrogate is no text either
            return text, decoder.getstate(), errors != "strict"
        except UnicodeError:
            continue
    raise DataError(f"the bytes {piece[:20]!r} cannot be read as {encoding} at all. Declare ingest.encoding.")


def mark_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(f"{MARK}\\x{byte:02x}" for byte in wrong), error.end


def show_marks(text: str) -> str:
    return text.replace(MARK, "")


def restore(text: bytes) -> bytes:
    """Decoded text with its undecodable bytes as they were, to guess at."""
    return re.sub(re.escape(MARK_BYTES) + rb"\\x(..)", lambda found: bytes.fromhex(found[1].decode()), text)


def refuse_binary(head: bytes, name: str, encoding: str) -> None:
    """Raise DataError for what is no text in the declared encoding, saying what it looks like."""
    for mark, kind in KINDS.items():
        if head.startswith(mark):
            raise DataError(f"{name} is {kind}, not text. Leave it out by ingest.files, or declare its format.")
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    found = byte_order(head)
    if found in ("utf-16", "utf-32") and not wide:
        raise DataError(
            f"{name} begins with the mark of {found}, and ingest.encoding is {encoding}. Set it to {found}."
        )
    if b"\0" in head.partition(b"\n")[0] and not wide:
        raise DataError(
            f"{name} is not text: it begins with {head[:8].hex(' ')} and holds NUL bytes. Leave it out by "
            "ingest.files, or set ingest.encoding (utf-16?)."
        )


def byte_order(head: bytes) -> str | None:
    return next((encoding for mark, encoding in MARKS_OF_ORDER.items() if head.startswith(mark)), None)


def detect_encoding(path: Path, name: str) -> str:
    """The byte order mark's encoding; else that of the first piece which is not plain ASCII."""
    with path.open("rb") as file:
        for place, piece in enumerate(chunks(file, name, SAMPLE_BYTES)):
            marked = byte_order(piece) if place == 0 else None
            if marked:
                return marked
            if not piece.isascii():
                return guess_encoding(piece)
    return "utf-8"


def guess_encoding(piece: bytes) -> str:
    """UTF-8 where it is valid, else what charset-normalizer makes of it, else latin-1, which takes every byte."""
    import charset_normalizer

    try:  # a piece of a longer file may end within a character
        codecs.getincrementaldecoder("utf-8")().decode(piece, len(piece) < SAMPLE_BYTES)
        return "utf-8"
    except UnicodeDecodeError:
        lines = [line for line in piece.splitlines() if not line.isascii()]  # ASCII says nothing about it
    sample = b"\n".join(lines)[: SAMPLE_BYTES // 4]
    matches = charset_normalizer.from_bytes(sample, cp_isolation=list(USUAL))
    best = matches.best()
    if best is None:
        return western(sample)
    fitting = {match.encoding for match in matches if match.chaos == best.chaos} | {*best.could_be_from_charset}
    if best.encoding == "cp1250" and "cp1252" in fitting:
        return "cp1252"  # as likely by what is seen, and the Western one is the more common
    return best.encoding.replace("_", "-")


def western(sample: bytes) -> str:
    """cp1252 has quotes and dashes where latin-1 has control characters; latin-1 takes every byte."""
    try:
        sample.decode("cp1252")
        return "cp1252"
    except UnicodeDecodeError:
        return "latin-1"


def line_ends(array: np.ndarray, data: bytes, *, last: bool) -> np.ndarray:
    """Offsets just past each line's end: LF, CRLF or CR. A CR at the end of a block may be half of a CRLF."""
    ends = np.flatnonzero(array == 10) + 1
    if b"\r" not in data:
        return ends
    returns = np.flatnonzero(array[:-1] == 13)
    lone = returns[array[returns + 1] != 10] + 1
    if last and data.endswith(b"\r"):
        lone = np.append(lone, len(data))
    return np.sort(np.concatenate([ends, lone])) if len(lone) else ends


def lines(path: Path, name: str, encoding: str) -> Iterator[tuple[pa.Array, int, bool]]:
    """Text lines without their LF, the number of the first (from 1), and whether some are damaged."""
    carry, first, damaged = b"", 1, False
    for block in blocks(path, name, encoding):
        data, damaged = carry + block.data, damaged or block.damaged
        cut = len(data) if block.last else data.rfind(b"\n") + 1
        data, carry = data[:cut], data[cut:]
        if data:
            found = split_lines(data)
            yield found, first, damaged
            first += len(found)
            damaged = MARK_BYTES in carry
        elif len(carry) > 16 * BLOCK_BYTES:
            raise DataError(f"{name} line {first} is longer than {16 * BLOCK_BYTES:,} bytes. Is it text?")


def split_lines(data: bytes) -> pa.Array:
    """One string a line, cut by offsets into the same bytes: no copy, no loop."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data) - 1)
    offsets = np.concatenate([[0], ends + 1]).astype(np.int32)
    whole = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    import pyarrow.compute as pc

    return pc.utf8_rtrim(whole, "\r\n")
