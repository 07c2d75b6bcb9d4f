"""Categories: words in, one of a known set out; an index array with 0 for unknown."""

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
from stages.core.graph import INT64, Graph


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
    """A value seen fewer than `min_count` times in training counts as unknown; at most `max_values` are kept.

    With `hash_buckets` there is no vocabulary: a value's number is that of its hash, for columns
    of too many values. Missing has a number of its own: always there, else where training has it
    `min_count` times; where it has not, missing is unknown.
    """

    min_count: int = Field(default=1, ge=1)
    max_values: int = Field(default=10_000, ge=1)
    hash_buckets: int | None = Field(default=None, ge=2, le=2**31 - 1)


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
    """The vocabulary of the training rows: most frequent first, then by name; and whether some are missing."""
    if features.hash_buckets:
        return {"buckets": features.hash_buckets}
    counts = Counter(array(column, values).tolist())
    missing = counts.pop("", 0) >= features.min_count
    return {"vocabulary": most_frequent(counts, features.max_values, features.min_count), "missing": missing}


def most_frequent(counts: "Counter[str]", size: int, min_count: int) -> list[str]:
    kept = [(-count, word) for word, count in counts.items() if count >= min_count]
    return [word for _, word in sorted(kept)[:size]]


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    """0 is unknown (of hashed values: missing), then the vocabulary or buckets, and missing last."""
    if "buckets" in state:
        return [ArraySpec(draw_buckets(graph, name, state["buckets"]), "index", (name,), state["buckets"] + 1)]
    words = state["vocabulary"] + ([""] if state["missing"] else [])
    index = graph(
        "LabelEncoder", name, domain="ai.onnx.ml", keys_strings=words or ["\x00"],  # it wants at least one key
        values_int64s=list(range(1, max(len(words), 1) + 1)), default_int64=0,
    )  # fmt: skip
    return [ArraySpec(index, "index", (name,), max(len(words), 1) + 1)]


def draw_buckets(graph: Graph, name: str, buckets: int) -> str:
    """1 + MurmurHash3 (32 bit, seed 0, of the UTF-8 bytes) modulo `buckets`; 0 where missing."""
    hashed = graph("MurmurHash3", graph.column(name), domain="com.microsoft", positive=1, seed=0)
    rest = graph("Mod", graph.cast(hashed, INT64), graph.constant(buckets, "int64"))
    bucket = graph("Add", graph("Squeeze", rest, graph.integers(1)), graph.constant(1, "int64"))
    present = graph("Not", graph("Equal", name, graph.constant("", "string")))
    return str(graph("Mul", bucket, graph.cast(present, INT64)))
