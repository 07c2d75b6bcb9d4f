"""Categories: words in, one of a known set out; an index array with 0 for unknown or missing."""

from collections import Counter
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._words import parse_words
from stages.contract.column import BaseColumn, Pattern
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph


class Column(BaseColumn):
    """`values` lists what is allowed: [a, b], or with aliases {a: [A, alpha], b: []}; `pattern` is a regular
    expression that the whole value matches, before aliases."""

    type: Literal["category"]
    pattern: Pattern = None
    values: dict[str, list[str]] | None = None

    @field_validator("values", mode="before")
    @classmethod
    def aliases(cls, values: Any) -> Any:
        return {value: [] for value in values} if isinstance(values, list) else values

    @model_validator(mode="after")
    def unambiguous(self) -> "Column":
        words = [word for value, aliases in (self.values or {}).items() for word in (value, *aliases)]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"values whose spellings differ; {twice[0]!r} stands there twice")
        if absent := sorted(set(words) & set(self.missing)):
            raise ValueError(
                f"values that are not in `missing`, as {absent[0]!r} is; give the column a `missing` of its own"
            )
        return self


class Features(Section):
    """A value seen fewer than `min_count` times in training counts as unknown."""

    min_count: int = Field(default=1, ge=1)
    max_values: int = Field(default=10_000, ge=1)


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    return parse_distinct(column.describe(name), values, pa.string(), fast=parse_words)


def expectations(column: Column) -> list[dict[str, Any]]:
    if not column.values:
        return []
    return [{"type": "expect_column_values_to_be_in_set", "kwargs": {"value_set": list(column.values)}}]


def array(column: Column, values: pa.Array) -> np.ndarray:
    """object (str) [N], "" where missing."""
    return np.asarray(pc.fill_null(values, "").to_numpy(zero_copy_only=False).astype(object))


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "string", ["N"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    """The vocabulary of the training rows: most frequent first, then by name."""
    counts = Counter(array(column, values).tolist())
    counts.pop("", None)
    kept = [(word, count) for word, count in counts.items() if count >= features.min_count]
    kept.sort(key=lambda item: (-item[1], item[0]))
    return {"vocabulary": [word for word, _ in kept[: features.max_values]]}


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    words = state["vocabulary"] or ["\x00"]  # LabelEncoder wants at least one key
    index = graph(
        "LabelEncoder", name, domain="ai.onnx.ml", keys_strings=words,
        values_int64s=list(range(1, len(words) + 1)), default_int64=0,
    )  # fmt: skip
    return [ArraySpec(index, "index", (name,), len(words) + 1)]
