"""Raw files in; their format, encoding, delimiter and header out, from bytes at the start, middle and end.

Nothing is executed, unpacked or read whole.
"""

import codecs
import csv
import gzip
import io
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from stages.core.errors import DataError, SourceError
from stages.draft.folder import Folder

PIECE_BYTES = 256 << 10
DELIMITERS = (",", ";", "\t", "|")
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".arrow": "parquet", ".feather": "parquet"}
SUFFIXES |= {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "excel",
    ".xls": "excel",
    ".xlsb": "excel",
    ".ods": "excel",
}
MARKS_OF_PACKING = {
    b"\x1f\x8b": (".gz", "gunzip -k"),
    b"\x28\xb5\x2f\xfd": (".zst", "unzstd"),
    b"BZh": (".bz2", "bunzip2 -k"),
    b"\xfd7zXZ": (".xz", "unxz -k"),
}
PACKED = {".gz", ".zst"}  # what the readers of ingest unpack themselves
ASIAN = {"euc_kr": 0.9, "shift_jis": 0.7, "gb18030": 0.7, "big5": 0.7}  # share of signs that are common there
EUROPEAN = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r")
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Source:
    """`options` belong into the section ingest, beside `format`; `notes` are for a person."""

    format: str
    options: dict[str, Any] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pieces(path: Path) -> list[bytes]:
    """The start, the middle and the end of a file; whole lines but for the last. Of a packed one, the start."""
    if packing(path):
        return [unpacked(path)]
    size = path.stat().st_size
    places = [0] if size <= 3 * PIECE_BYTES else [0, size // 2, size - PIECE_BYTES]
    found = []
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            piece = file.read(3 * PIECE_BYTES if len(places) == 1 else PIECE_BYTES)
            found.append(piece if place == 0 else piece[piece.find(b"\n") + 1 :])
    return found


def packing(path: Path) -> str:
    """How a file is packed, by its first bytes: .gz, .zst, …, or "" where it is not."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((suffix for mark, (suffix, _) in MARKS_OF_PACKING.items() if start.startswith(mark)), "")


def unpacked(path: Path) -> bytes:
    """The start of what a packed file holds: no more is unpacked, whatever it grows to."""
    try:
        if packing(path) == ".gz":
            with gzip.open(path) as file:
                return file.read(3 * PIECE_BYTES)
        import zstandard

        with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            return bytes(stream.read(3 * PIECE_BYTES))
    except Exception as error:  # gzip, zlib and zstandard each have their own
        raise SourceError(f"{path} cannot be unpacked: {error}. Fetch it again") from None


def sniff(folder: Folder) -> Source:
    """What the files are, by the first. Raises IngotError saying what to do where they cannot be drafted."""
    if folder.kind == "pictures":
        return Source("files", {"column": "image", "path": folder.path})
    if folder.kind == "texts":
        encoding, notes = encoding_of(folder.root / folder.files[0])
        return Source(
            "texts", {"path": folder.path, **({} if encoding == "utf-8" else {"encoding": encoding})}, [], notes
        )
    path = folder.root / folder.files[0]
    for suffix, command in MARKS_OF_PACKING.values():
        if packing(path) == suffix and suffix not in PACKED:
            raise SourceError(f"{path} is compressed. Unpack it first: `{command} {shlex.quote(str(path))}`")
    start = pieces(path)[0]
    if not start:
        raise DataError(f"{path} is empty; there is nothing to draft a contract from")
    kind = SUFFIXES.get(Path(path.name.lower().removesuffix(".gz").removesuffix(".zst")).suffix)
    if start.startswith((b"PAR1", b"ARROW1", b"FEA1")) or kind == "parquet":
        return Source("parquet")
    if kind == "excel":
        return Source("excel")
    if start.startswith(b"PK\x03\x04"):
        raise SourceError(f"{path} is a zip archive. Unpack it first: `unzip {shlex.quote(str(path))}`")
    encoding, notes = encoding_of(path)
    if kind == "jsonl" or (path.suffix.lower() == ".json" and looks_like_jsonl(start)):
        return Source("jsonl", {} if encoding == "utf-8" else {"encoding": encoding}, notes=notes)
    return sniff_csv(path, encoding, notes)


def looks_like_jsonl(start: bytes) -> bool:
    lines = [line.strip() for line in start.splitlines()[:20] if line.strip()]
    if lines and all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return True
    raise DataError("this .json file is not one object a line. Turn it into JSON lines: `jq -c '.[]' IN > OUT.jsonl`")


def encoding_of(path: Path) -> tuple[str, list[str]]:
    """The encoding that reads all the pieces, and what to say about it."""
    parts = pieces(path)
    for mark, name in MARKS:
        if parts[0].startswith(mark):
            return name, []
    if b"\x00" in parts[0]:
        raise DataError(
            f"{path} holds zero bytes, so it is no text. Known here: csv, tsv, jsonl, parquet, Excel; a folder of "
            "pictures or texts"
        )
    if all(decodes(part, "utf-8") for part in parts):
        return "utf-8", []
    lines = b"\n".join(line for part in parts for line in part.splitlines() if not line.isascii())[: 64 << 10]
    name = best_encoding(lines, parts)
    return name, [f"not UTF-8; read as {name}: look at the accents and signs below"]


def decodes(part: bytes, encoding: str) -> bool:
    """Whether all lines but the last, perhaps cut, one can be decoded."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(part, final=False)
    except UnicodeDecodeError:
        return False
    return True


def best_encoding(lines: bytes, parts: Sequence[bytes]) -> str:
    """East Asian encodings by how common their characters are, then what charset-normalizer thinks, else latin-1."""
    for name, enough in ASIAN.items():
        if all(decodes(part, name) for part in parts):
            foreign = [c for c in lines.decode(name, "replace") if not c.isascii()]
            common = sum(is_common(c, name) for c in foreign)
            # a Latin text's pairs of accent and letter land on rare signs, and only now and then
            if foreign and common / len(foreign) > enough and 2 * len(foreign) > 0.1 * len(lines):
                return name
    from charset_normalizer import from_bytes

    fitting = [name for name in EUROPEAN if all(decodes(part, name) for part in parts)]
    if not fitting:
        return "latin-1"
    guess = from_bytes(lines, cp_isolation=fitting, threshold=0.5).best()
    name = guess.encoding if guess else "cp1252"
    if "cp1252" in fitting and lines.decode(name) == lines.decode("cp1252"):
        name = "cp1252"
    high = any(0x80 <= byte <= 0x9F for byte in lines)
    return "latin-1" if name == "cp1252" and not high else name


def is_common(character: str, encoding: str) -> bool:
    """Whether a sign is of those that texts in this encoding consist of."""
    if encoding == "shift_jis":
        return "぀" <= character <= "ヿ" or "一" <= character <= "鿿" or character in "、。「」"
    if encoding == "euc_kr":
        return "가" <= character <= "힣"
    wanted = "gb2312" if encoding == "gb18030" else "big5"  # the everyday part of the larger set
    try:
        return len(character.encode(wanted)) == 2
    except UnicodeEncodeError:
        return False


def sniff_csv(path: Path, encoding: str, notes: list[str]) -> Source:
    text = pieces(path)[0].decode(encoding, "replace").lstrip("\ufeff")
    blank = len(text) - len(text.lstrip("\r\n"))
    text = text[blank:]
    lines = text.splitlines()[:400]
    delimiter, quote = dialect_of(lines)
    rows = list(islice(csv.reader(io.StringIO(text), delimiter=delimiter, quotechar=quote), 200))
    options: dict[str, Any] = {}
    if encoding != "utf-8":
        options["encoding"] = encoding
    if delimiter != ",":
        options["delimiter"] = delimiter
    if quote != '"':
        options["quote"] = quote
    header, naming, said = name_columns(rows)
    if blank:
        naming = {**naming, "skip_rows": blank + naming.get("skip_rows", 0)}
        said = [*said, "the file begins with empty lines"]
    return Source("csv", options | naming, header, [*notes, *said])


def name_columns(rows: Sequence[Sequence[str]]) -> tuple[list[str], dict[str, Any], list[str]]:
    """The columns' names, what ingest must be told to use them, and what to say about it."""
    header = list(rows[0]) if rows else []
    if no_header(rows):
        names = [f"column_{place}" for place in range(1, len(header) + 1)]
        said = f"the first line looks like data, not like names: {', '.join(header[:5])}. Give the columns better names"
        return names, {"header": False, "names": names}, [f"{said} in ingest.names and columns"]
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        names = apart(header)
        said = f"the header names {', '.join(map(repr, twice))} twice: they are numbered here"
        return names, {"header": False, "skip_rows": 1, "names": names}, [said]
    return header, {}, []


def apart(header: Sequence[str]) -> list[str]:
    """A header's names, numbered where they come again."""
    seen: Counter[str] = Counter()
    names = []
    for name in header:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name or 'column'}_{seen[name]}")
    return names


def dialect_of(lines: Sequence[str]) -> tuple[str, str]:
    """The delimiter that cuts most lines into the same number of fields, and the quoting mark."""
    text = "\n".join(lines[:-1] if len(lines) > 2 else lines)
    best, chosen = (0.0, 0), (",", '"')
    for quote in ('"', "'"):
        for delimiter in DELIMITERS:
            if quote == "'" and not re.search(rf"(?m)(^|{re.escape(delimiter)})'", text):
                continue
            try:
                widths = [
                    len(row) for row in csv.reader(io.StringIO(text), delimiter=delimiter, quotechar=quote) if row
                ]
            except csv.Error:
                continue
            width, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
            if width != len(next(csv.reader([lines[0]], delimiter=delimiter, quotechar=quote), [])):
                count = count // 2  # most lines disagree with the header
            score = (round(count / max(len(widths), 1), 2), width)
            if width > 1 and (score[0] > best[0] + 0.05 or (score[0] >= best[0] - 0.05 and score[1] > best[1])):
                best, chosen = score, (delimiter, quote)
    return chosen


def no_header(rows: Sequence[Sequence[str]]) -> bool:
    """A first line with numbers in most columns of numbers is data; years may well be names."""
    below = [row for row in rows[1:] if len(row) == len(rows[0])]
    if not below:
        return False
    columns = zip(*below, strict=True)
    numeric = [place for place, cells in enumerate(columns) if sum(map(is_number, cells)) > 0.8 * len(cells)]
    named = [rows[0][place] for place in numeric]
    years = all(re.fullmatch(r"(19|20)[0-9][0-9]", cell) for cell in named if is_number(cell))
    return bool(numeric) and not years and sum(map(is_number, named)) > 0.5 * len(numeric)


def is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return bool(text.strip())
