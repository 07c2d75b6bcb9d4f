"""Identifiers: words that name a thing in, the same words out; keys and groups, never a model's input."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa

from stages.columns import category
from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._words import parse_words
from stages.contract.column import BaseColumn, Pattern
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph


class Column(BaseColumn):
    """`pattern` is a regular expression that the whole value matches."""

    type: Literal["id"]
    pattern: Pattern = None


class Features(Section):
    """An id has no features."""


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    return parse_distinct(column.describe(name), values, pa.string(), fast=parse_words)


def expectations(column: Column) -> list[dict[str, Any]]:
    return []


def array(column: Column, values: pa.Array) -> np.ndarray:
    """object (str) [N], "" where missing."""
    return category.array(column, values)  # type: ignore[arg-type]


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "string", ["N"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    return {}


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    return []
