"""Yes or no: words or numbers in, a boolean out; one dense unit in -1 … 1, and one for missing."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from serving.values import WORDS
from stages.columns._parse import Cleaned, parse_distinct
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph


class Column(BaseColumn):
    """`true` and `false` list the spellings, in lower case."""

    type: Literal["boolean"]
    true: list[str] = Field(default=list(WORDS[True]))
    false: list[str] = Field(default=list(WORDS[False]))


class Features(Section):
    """A boolean has no options."""


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    return parse_distinct(column.describe(name), values, pa.bool_())


def expectations(column: Column) -> list[dict[str, Any]]:
    return [{"type": "expect_column_values_to_be_in_set", "kwargs": {"value_set": [True, False]}}]


def array(column: Column, values: pa.Array) -> np.ndarray:
    """int64 [N]: 1, 0, or -1 where missing."""
    return np.asarray(pc.fill_null(pc.cast(values, pa.int64()), -1), np.int64)


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "int64", ["N"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    return {"missing": values.null_count > 0}


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    absent = graph("Less", name, graph.constant(0, "int64"))
    centred = graph("Sub", graph("Mul", name, graph.constant(2, "int64")), graph.constant(1, "int64"))
    signed = graph("Where", absent, graph.constant(0, "int64"), centred)
    units, columns = [graph.column(graph.cast(signed, FLOAT))], [name]
    if state["missing"]:
        units.append(graph.column(graph.cast(absent, FLOAT)))
        columns.append(f"{name} is missing")
    return [ArraySpec(graph("Concat", *units, axis=1), "dense", tuple(columns), len(units))]
