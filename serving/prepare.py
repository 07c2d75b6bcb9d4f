"""Raw values in, the graph's typed arrays out: what ONNX cannot do, in numpy and the standard library.

This file cleans the training data and travels in every bundle, so both see the same values.
A column is a mapping such as {"name": "age", "type": "number", "min": 0}; see contract.json.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING or __package__:  # in a bundle the files stand side by side, and are no package
    from serving.picture import parse_image
    from serving.values import (
        NO_TIMESTAMP,
        SPACE,
        Column,
        Problem,
        parse_boolean,
        parse_items,
        parse_number,
        parse_text,
        parse_timestamp,
        parse_word,
    )
else:
    from picture import parse_image
    from values import (
        NO_TIMESTAMP,
        SPACE,
        Column,
        Problem,
        parse_boolean,
        parse_items,
        parse_number,
        parse_text,
        parse_timestamp,
        parse_word,
    )


def parse(column: Column, value: Any) -> Any:
    """One raw value as its column's Python type, or None where it is missing.

    number → float, boolean → bool, timestamp → int (seconds since 1970, UTC), image → uint8
    array [H, W, C], audio → int16 [samples], category, id, text → str, items → list of str. Raises Problem naming
    the rule that it breaks.
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


def parse_audio(column: Column, value: Any) -> np.ndarray:
    """By `sound.py`, which travels only where a column is audio."""
    if TYPE_CHECKING or __package__:
        from serving import sound
    else:
        import sound
    return sound.parse_audio(column, value)


PARSERS = {
    "number": parse_number,
    "category": parse_word,
    "id": parse_word,
    "items": parse_items,
    "boolean": parse_boolean,
    "timestamp": parse_timestamp,
    "text": parse_text,
    "image": parse_image,
    "audio": parse_audio,
}


def to_array(column: Column, values: Sequence[Any]) -> np.ndarray:
    """Parsed values as the graph's input: [N], [N, H, W, C] of images, [N, samples] of sounds, [N, W] of items.

    Missing has a value of its own; of items it is an empty list, and "" stands behind the last of each.
    """
    kind = column["type"]
    if kind == "number":
        return np.array([math.nan if value is None else value for value in values], np.float64)
    if kind == "boolean":
        return np.array([-1 if value is None else int(value) for value in values], np.int64)
    if kind == "timestamp":
        return np.array([NO_TIMESTAMP if value is None else value for value in values], np.int64)
    if kind == "image":
        return stack(values, (column["height"], column["width"], column["channels"]), np.uint8)
    if kind == "audio":
        return stack(values, (round(column["rate"] * column["seconds"]),), np.int16)
    if kind == "items":
        return to_matrix([value or [] for value in values])
    return np.array(["" if value is None else value for value in values], object)


def stack(values: Sequence[Any], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """[N, *shape]; black or silent where missing."""
    stacked: np.ndarray = np.zeros((len(values), *shape), dtype)
    for place, value in enumerate(values):
        if value is not None:
            stacked[place] = value
    return stacked


def to_matrix(lists: Sequence[Sequence[str]]) -> np.ndarray:
    """Lists of words as object (str) [N, W]; W is the longest one's length, and at least 1."""
    matrix = np.full((len(lists), max([1, *map(len, lists)])), "", object)
    for row, words in enumerate(lists):
        matrix[row, : len(words)] = words
    return matrix


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
