"""Free text: strings in, Unicode NFC out; a set of hashed n-grams, or a sequence of vocabulary numbers.

Hashing is MurmurHash3 (32 bit, seed 0) of the UTF-8 bytes, equal to scikit-learn's.
"""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.columns import category
from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._subwords import draw_pieces, learn
from stages.columns._tokens import FIRST, count_words, draw_bag, draw_hashes, draw_numbers, draw_words, zero
from stages.columns._words import parse_text
from stages.contract.column import BaseColumn, Pattern
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph


class Column(BaseColumn):
    """`remove` is a regular expression: what it matches goes. What stands behind `max_chars` is cut off."""

    type: Literal["text"]
    remove: Pattern = None
    max_chars: int = Field(default=4000, ge=1)


class Features(Section):
    """How a text is cut, and what becomes of its first `max_tokens` tokens.

    - `unit`: `word`: runs of letters and digits, single Han characters, and marks such as "!".
      `cjk`: the same with Japanese kana and Korean syllables single, and wide letters and marks.
      `subword`: pieces of a vocabulary learned on train, by greedy longest match.
    - `kind`: `set`: n-grams of 1 … `ngrams` tokens, hashed into `buckets`, in no order.
      `tokens`: numbers in order, of a `vocabulary` of the most frequent on train; 0 padding, 1 unknown.
    - What is seen fewer than `min_count` times in training enters no vocabulary.
    """

    unit: Literal["word", "cjk", "subword"] = "word"
    kind: Literal["set", "tokens"] = "set"
    ngrams: int = Field(default=2, ge=1, le=3)
    buckets: int = Field(default=65_536, ge=16, le=2**31 - 1)
    max_tokens: int = Field(default=512, ge=1)
    vocabulary: int = Field(default=8_000, ge=1, le=65_536)
    min_count: int = Field(default=2, ge=1)


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
    """The options that shape the graph, and the vocabulary of the training rows where one is needed."""
    kept = ("unit", "kind", "max_tokens", *(("buckets", "ngrams") if features.kind == "set" else ()))
    state: dict[str, Any] = {name: getattr(features, name) for name in kept}
    if features.unit == "subword" or features.kind == "tokens":
        counts = count_words(features.unit, array(column, values))
        choose = learn if features.unit == "subword" else category.most_frequent
        state["vocabulary"] = choose(counts, features.vocabulary, features.min_count)
    return state


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    words = draw_words(graph, name, state["unit"], state["max_tokens"])
    if state["unit"] == "subword":
        numbers = draw_pieces(graph, words, state["vocabulary"], state["max_tokens"])
        codes = numbers = graph.slice(numbers, 0, -1, 0)
        live = graph("Greater", numbers, zero(graph))
    else:
        words = graph.slice(words, 0, -1, 0)
        if state["kind"] == "tokens":
            numbers = draw_numbers(graph, words, state["vocabulary"])
        else:
            codes, live = draw_hashes(graph, words)
    if state["kind"] == "tokens":
        return [ArraySpec(numbers, "tokens", (name,), FIRST + len(state["vocabulary"]))]
    bag = draw_bag(graph, codes, live, state["buckets"], state["ngrams"])
    return [ArraySpec(bag, "set", (name,), state["buckets"] + 1)]
