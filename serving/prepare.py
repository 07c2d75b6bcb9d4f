"""Raw values in, the graph's typed arrays out: what ONNX cannot do, in numpy and the standard library.

This file cleans the training data and travels in every bundle, so both see the same values.
A column is a mapping such as {"name": "age", "type": "number", "min": 0}; see contract.json.
"""

import base64
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np

Column = Mapping[str, Any]
NO_TIMESTAMP = -(2**63)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
WORDS = {True: ("true", "yes", "y", "t", "1"), False: ("false", "no", "n", "f", "0")}
MAX_PIXELS = 50_000_000
NFC_CHARS = 2_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # not EPS: Pillow hands it to Ghostscript
SPACE = " \t\n\r\v\f"


class Problem(ValueError):
    """A value that breaks a rule of its column; `rule` is the rule's name."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


def parse(column: Column, value: Any) -> Any:
    """One raw value as its column's Python type, or None where it is missing.

    number → float, boolean → bool, timestamp → int (seconds since 1970, UTC), image → uint8
    array [H, W, C], category, id, text → str. Raises Problem naming the rule that it breaks.
    """
    parsed = None if is_missing(column, value) else PARSERS[column["type"]](column, value)
    if isinstance(parsed, str) and is_missing(column, parsed):
        parsed = None  # a spelling of "no value" that showed only after normalising
    if parsed is None and column.get("required"):
        raise Problem("required", f"{column['name']} is missing")
    return parsed


def is_missing(column: Column, value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and value.strip(SPACE) in column.get("missing", ("",))


def parse_number(column: Column, value: Any) -> float:
    text = value.strip(SPACE) if isinstance(value, str) else value
    if isinstance(text, str) and not NUMBER.fullmatch(text):
        raise Problem("number", f'{column["name"]} "{shorten(value)}" is not a number')
    if isinstance(text, bool) or not isinstance(text, (str, int, float, np.number)):
        raise Problem("number", f"{column['name']} {shorten(value)} is not a number")
    try:
        number = float(text)
    except OverflowError:  # a whole number past 1e308
        number = math.inf
    if not math.isfinite(number):
        raise Problem("number", f"{column['name']} {shorten(value)} is not a finite number")
    if column.get("min") is not None and number < column["min"]:
        raise Problem("min", f"{column['name']} {number:g} is below {column['min']:g}")
    if column.get("max") is not None and number > column["max"]:
        raise Problem("max", f"{column['name']} {number:g} is above {column['max']:g}")
    return number + 0.0  # -0.0 and 0.0 are one value


def parse_word(column: Column, value: Any) -> str:
    """A category or an id: trimmed, Unicode NFC, aliases replaced by the value they stand for."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = nfc(encodable(str(value)).strip(SPACE))
    values = column.get("values")
    if not values:
        return word
    aliases = {alias: name for name, names in values.items() for alias in (name, *names)}
    if word not in aliases:
        raise Problem("values", f'{column["name"]} "{shorten(word)}" is not one of {shorten(", ".join(values), 80)}')
    return str(aliases[word])


def parse_boolean(column: Column, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip(SPACE).lower()
    for truth, words in WORDS.items():
        if word in column.get("true" if truth else "false", words):
            return truth
    raise Problem("boolean", f'{column["name"]} "{shorten(value)}" is neither true nor false')


def parse_timestamp(column: Column, value: Any) -> int:
    """Seconds since 1970-01-01 UTC; a time without a zone is taken as UTC."""
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day)
        elif column.get("format"):
            moment = datetime.strptime(str(value).strip(SPACE), column["format"])
        else:
            moment = datetime.fromisoformat(str(value).strip(SPACE))
        zone = timezone.utc if moment.tzinfo is None else moment.tzinfo
        moment = moment.replace(tzinfo=zone).astimezone(timezone.utc)
    except (ValueError, OverflowError):  # a zone may lead out of the years 1 … 9999
        wanted = column.get("format") or "ISO 8601"
        raise Problem("timestamp", f'{column["name"]} "{shorten(value)}" is not a time as {wanted}') from None
    return (moment - EPOCH) // timedelta(seconds=1)


def parse_text(column: Column, value: Any) -> str:
    """Unicode NFC, without what matches `remove`, trimmed, cut to `max_chars` characters."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = nfc(encodable(text).replace("\x00", " "))
    if column.get("remove"):
        text = re.sub(column["remove"], "", text)
    text = text.strip(SPACE)
    return text[: column["max_chars"]].rstrip(SPACE)


def encodable(text: str) -> str:
    """The text with "?" for each lone surrogate, which JSON may carry and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode()


def nfc(text: str) -> str:
    """Unicode NFC, in pieces: unicodedata is quadratic in a run of combining marks."""
    if len(text) <= NFC_CHARS or text.isascii():
        return unicodedata.normalize("NFC", text)
    pieces, start = [], 0
    while start < len(text):
        end = min(start + NFC_CHARS, len(text))
        while end < len(text) and end - start < 2 * NFC_CHARS and unicodedata.combining(text[end]):
            end += 1  # marks stay with their letter
        pieces.append(unicodedata.normalize("NFC", text[start:end]))
        start = end
    return "".join(pieces)


def parse_image(column: Column, value: Any) -> np.ndarray:
    """uint8 [height, width, channels] of the declared size.

    Takes a picture file's bytes, the same in base64, or pixels of that very size: an array, or
    {"pixels": base64 of its bytes} as golden/inputs.json has them.
    """
    shape = (column["height"], column["width"], column["channels"])
    try:
        if isinstance(value, Mapping):
            value = np.frombuffer(base64.b64decode(value["pixels"], validate=True), np.uint8).reshape(shape)
        elif isinstance(value, str):
            value = base64.b64decode(value, validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Problem("image", f"{column['name']} is neither a picture nor base64 of one: {error}") from None
    if isinstance(value, bytes):
        return decode_image(column, value)
    if not isinstance(value, np.ndarray):
        raise Problem("image", f"{column['name']} {shorten(value)} is neither a picture nor base64 of one")
    pixels = value if value.ndim == 3 else value[..., None]
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise Problem("image", f"{column['name']} is {pixels.dtype} {pixels.shape}; expected uint8 {shape}")
    return np.ascontiguousarray(pixels)


def decode_image(column: Column, content: bytes) -> np.ndarray:
    from PIL import Image

    mode = "L" if column["channels"] == 1 else "RGB"
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                found = f"{picture.width} × {picture.height} pixels"
                raise Problem("image", f"{column['name']} has {found}; at most {MAX_PIXELS} are read")
            size = (column["width"], column["height"])
            resized = (halved(picture) if picture.mode.startswith("I;16") else picture).convert(mode)
            if resized.size != size:
                resized = resized.resize(size, Image.Resampling.BILINEAR)
            return np.asarray(resized, np.uint8).reshape(column["height"], column["width"], column["channels"])
    except Problem:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them
        raise Problem("image", f"{column['name']} cannot be decoded as a picture: {error}") from None


def halved(picture: Any) -> Any:
    """16-bit grey as 8-bit grey; Pillow's own `convert` makes nearly all of it white."""
    from PIL import Image

    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))


PARSERS = {
    "number": parse_number,
    "category": parse_word,
    "id": parse_word,
    "boolean": parse_boolean,
    "timestamp": parse_timestamp,
    "text": parse_text,
    "image": parse_image,
}


def to_array(column: Column, values: Sequence[Any]) -> np.ndarray:
    """Parsed values as the graph's input: [N], or [N, H, W, C] for images; missing has a value of its own."""
    kind = column["type"]
    if kind == "number":
        return np.array([math.nan if value is None else value for value in values], np.float64)
    if kind == "boolean":
        return np.array([-1 if value is None else int(value) for value in values], np.int64)
    if kind == "timestamp":
        return np.array([NO_TIMESTAMP if value is None else value for value in values], np.int64)
    if kind == "image":
        shape = (column["height"], column["width"], column["channels"])
        blank = np.zeros(shape, np.uint8)
        return (
            np.stack([blank if value is None else value for value in values])
            if len(values)
            else np.zeros((0, *shape), np.uint8)
        )
    return np.array(["" if value is None else value for value in values], object)


def prepare(
    columns: Iterable[Column], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, np.ndarray], list[list[str]]]:
    """Records as mappings in; input arrays of the sound rows, and every row's problems, out.

    A row with problems is left out of the arrays: where `problems[i]` is not empty, row i has none.
    """
    columns = list(columns)
    parsed: list[list[Any]] = []
    problems: list[list[str]] = []
    for row in rows:
        values, found = parse_row(columns, row)
        problems.append(found)
        if not found:
            parsed.append(values)
    arrays = {column["name"]: to_array(column, [values[i] for values in parsed]) for i, column in enumerate(columns)}
    return arrays, problems


def parse_row(columns: Sequence[Column], row: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    values: list[Any] = []
    found: list[str] = []
    for column in columns:
        try:
            values.append(parse(column, row.get(column["name"])))
        except Problem as problem:
            values.append(None)
            found.append(str(problem))
    return values, found


def shorten(value: Any, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
