"""Free text: strings in, Unicode NFC out; a set of hashed words and word pairs.

Words are runs of letters and digits, single CJK characters, and single marks such as "!".
Hashing is MurmurHash3 (32 bit, seed 0) of the UTF-8 bytes, equal to scikit-learn's.
"""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.columns import category
from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._words import parse_text
from stages.contract.column import BaseColumn, Pattern
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import END, INT64, Graph

# Explicit code points, never \w: RE2, re and regex have different Unicode tables. The three
# alternatives are disjoint: the Tokenizer operator takes the longest match, re the first.
HAN = r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{323AF}"
LETTER = (
    r"0-9A-Za-z\x{AA}\x{B5}\x{BA}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1FFF}"
    r"\x{3041}-\x{30FF}\x{A640}-\x{D7FF}\x{1F000}-\x{1FAFF}"
)
MARK = r"!$%?\x{A3}\x{A5}\x{20AC}"
TOKEN = f"[{HAN}]|[{LETTER}]+|[{MARK}]"
PAIR_MULTIPLIER = 1_000_003
PADDING = "\x02"


class Column(BaseColumn):
    """`remove` is a regular expression: what it matches goes. What stands behind `max_chars` is cut off."""

    type: Literal["text"]
    remove: Pattern = None
    max_chars: int = Field(default=4000, ge=1)


class Features(Section):
    """Words and word pairs are hashed into `buckets`; only the first `max_tokens` words count."""

    buckets: int = Field(default=65_536, ge=16)
    max_tokens: int = Field(default=512, ge=1)


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    return parse_distinct(column.describe(name), values, pa.string(), fast=parse_text)


def expectations(column: Column) -> list[dict[str, Any]]:
    return [{"type": "expect_column_value_lengths_to_be_between", "kwargs": {"max_value": column.max_chars}}]


def array(column: Column, values: pa.Array) -> np.ndarray:
    """object (str) [N], "" where missing."""
    return category.array(column, values)  # type: ignore[arg-type]


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "string", ["N"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    return {"buckets": features.buckets, "max_tokens": features.max_tokens}


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    words = draw_words(graph, name, state)
    live = graph("Not", graph("Equal", words, graph.constant(PADDING, "string")))
    hashed = graph("MurmurHash3", words, domain="com.microsoft", positive=1, seed=0)
    hashed = graph.cast(hashed, INT64)
    buckets, one = graph.constant(state["buckets"], "int64"), graph.constant(1, "int64")
    single = graph("Add", graph("Mod", hashed, buckets), one)
    first, second = graph.slice(hashed, 0, -1, 1), graph.slice(hashed, 1, END, 1)
    mixed = graph("Add", graph("Mul", first, graph.constant(PAIR_MULTIPLIER, "int64")), second)
    pair = graph("Add", graph("Mod", mixed, buckets), one)
    single = graph("Mul", single, graph.cast(live, INT64))
    pair = graph("Mul", pair, graph.cast(graph.slice(live, 1, END, 1), INT64))
    value = interleave(graph, single, pair)
    return [ArraySpec(value, "set", (name,), state["buckets"] + 1)]


def draw_words(graph: Graph, name: str, state: dict[str, Any]) -> str:
    """[N] strings → [N, T] lower-case words, padded; T is at least 2.

    A sentinel row stands at the end: these operators fail on N = 0, or change rank.
    """
    both = graph("Concat", name, graph.constant(["a b"], "string"), axis=0)
    lower = graph("StringNormalizer", both, case_change_action="LOWER", locale="C")
    words = graph(
        "Tokenizer", lower, domain="com.microsoft", tokenexp=TOKEN, mark=0, mincharnum=1, pad_value=PADDING
    )  # fmt: skip
    return graph.slice(graph.slice(words, 0, -1, 0), 0, state["max_tokens"], 1)


def interleave(graph: Graph, single: str, pair: str) -> str:
    """[N, T] and [N, T-1] → [N, 2T]: word, pair, word, pair, …, so that padding stays at the end."""
    padded = graph("Concat", pair, graph("Mul", graph.slice(single, 0, 1, 1), graph.constant(0, "int64")), axis=1)
    stacked = graph(
        "Concat", graph("Unsqueeze", single, graph.integers(2)), graph("Unsqueeze", padded, graph.integers(2)), axis=2
    )
    rows = graph("Shape", single, start=0, end=1)
    width = graph("Mul", graph("Shape", single, start=1, end=2), graph.integers(2))
    return str(graph("Reshape", stacked, graph("Concat", rows, width, axis=0), allowzero=1))
