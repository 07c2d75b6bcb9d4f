"""Files of rows, mails, pictures or sounds in, rows as mappings out.

A row that cannot be read has `_problem`; `_source` says where each came from.
"""

import codecs
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
SOUNDS = (".wav", ".ogg", ".oga", ".flac", ".mp3", ".aif", ".aiff")
AUTO = "auto"
SAMPLE_CHARS = 64 << 10
Row = dict[str, Any]


class InputError(ValueError):
    """The input cannot be used; the text says why and how to mend it."""


def read_rows(contract: Mapping[str, Any], path: Path, columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of one file, by its kind. Raises InputError where it cannot hold these columns."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return read_csv(contract["reader"], path, columns)
    if suffix in (".json", ".jsonl"):
        return read_json(path, columns)
    if suffix in PICTURES:
        return [read_medium(path, columns, "image", "a picture")]
    if suffix in SOUNDS:
        return [read_medium(path, columns, "audio", "a sound")]
    if contract["reader"]["format"] == "mail":
        return [read_mail_file(path)]
    raise InputError(
        f"{path}: {suffix or 'a name without ending'} is not understood; give .csv, .json, .jsonl, a picture or a sound"
    )


def check_columns(path: Path, found: Sequence[str], columns: Sequence[Mapping[str, Any]]) -> None:
    absent = [column["name"] for column in columns if column["name"] not in found]
    if absent:
        raise InputError(f"{path} has no column {', '.join(absent)}; found {', '.join(map(str, found)) or 'none'}")


def read_csv(reader: Mapping[str, Any], path: Path, columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows as text, in the encoding and with the marks that training read."""
    encoding = settle_encoding(reader.get("encoding", "utf-8"), path)
    found: list[Row] = []
    try:
        with path.open(encoding=encoding, newline="") as file:
            sample = file.read(SAMPLE_CHARS)
            file.seek(0)
            lines = csv.reader(file, **settle_dialect(reader, path, sample))
            header = next(lines, [])
            check_columns(path, header, columns)
            for number, line in enumerate((line for line in lines if line), 1):
                row: Row = {"_source": f"{path.name} row {number}"}
                if len(line) == len(header):
                    row |= dict(zip(header, line, strict=True))
                else:
                    row["_problem"] = f"{len(line)} fields; the header has {len(header)}"
                found.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as {encoding} CSV: {error}") from None
    return found


def settle_encoding(declared: str, path: Path) -> str:
    """Where training detected it (`auto`): the byte order mark's, UTF-8 where it is valid, else Western."""
    if declared.lower() in ("utf-8", "utf8"):
        return "utf-8-sig"
    if declared != AUTO:
        return declared
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        content.decode("utf-8-sig")
        return "utf-8-sig"
    except UnicodeDecodeError:
        return "cp1252"


def settle_dialect(reader: Mapping[str, Any], path: Path, sample: str) -> dict[str, Any]:
    """The marks that training read, as csv.reader takes them; an empty quote means that no value is quoted."""
    quote = reader.get("quote", '"')
    delimiter = "\t" if path.suffix.lower() == ".tsv" else reader.get("delimiter") or ","
    if delimiter == AUTO:
        first = sample.partition("\n")[0]
        delimiter = max(",;\t|", key=first.count)
    quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    return {"delimiter": delimiter, "quotechar": '"' if quote == AUTO else quote or None, "quoting": quoting}


def read_json(path: Path, columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One object, a list of objects, or (.jsonl) an object a line. A field left out is missing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = json.loads(text)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    rows = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected an object, or a list of objects, with the fields of one row each")
    names = list(dict.fromkeys(name for row in rows for name in row))
    if rows and not any(column["name"] in names for column in columns):
        check_columns(path, names, columns)
    return [{"_source": f"{path.name} row {number}", **row} for number, row in enumerate(rows, 1)]


def read_medium(path: Path, columns: Sequence[Mapping[str, Any]], kind: str, shown: str) -> Row:
    """One row of one column, which is the file itself."""
    if len(columns) != 1 or columns[0]["type"] != kind:
        wanted = ", ".join(f"{column['name']} ({column['type']})" for column in columns)
        raise InputError(f"{path} is {shown}, and this model wants {wanted}; give rows as CSV or JSON")
    return {"_source": str(path), columns[0]["name"]: path.read_bytes()}


def read_mail_file(path: Path) -> Row:
    if TYPE_CHECKING or __package__:
        from serving.mail import read_mail
    else:
        from mail import read_mail
    try:
        return {"_source": str(path), **read_mail(path.read_bytes())}
    except ValueError as error:
        return {"_source": str(path), "_problem": str(error)}
