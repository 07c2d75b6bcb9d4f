"""Moments: written or typed times in, seconds since 1970 (UTC) out; cyclic parts and age, dense."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.prepare import NO_TIMESTAMP
from stages.columns._parse import Cleaned, parse_distinct
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import DOUBLE, FLOAT, Graph

PERIODS = {"hour of day": 86_400, "day of week": 7 * 86_400, "day of year": 31_556_952}
MICROSECONDS = 1_000_000


class Column(BaseColumn):
    """`format` is strptime's, such as "%m/%d/%Y %H:%M"; without it, ISO 8601. No zone means UTC."""

    type: Literal["timestamp"]
    format: str | None = None


class Features(Section):
    """A timestamp has no options."""


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    if pa.types.is_timestamp(values.type):
        values = pc.cast(values, pa.timestamp("us"), safe=False)
    return parse_distinct(column.describe(name), values, pa.timestamp("us"), lambda seconds: seconds * MICROSECONDS)


def expectations(column: Column) -> list[dict[str, Any]]:
    return []


def array(column: Column, values: pa.Array) -> np.ndarray:
    """int64 [N], seconds since 1970 UTC, the least int64 where missing."""
    seconds = pc.cast(pc.cast(values, pa.timestamp("s"), safe=False), pa.int64())
    return np.asarray(pc.fill_null(seconds, NO_TIMESTAMP), np.int64)


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "int64", ["N"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    seconds = array(column, values)
    days = seconds[seconds != NO_TIMESTAMP] / 86_400
    mean, std = (float(days.mean()), float(days.std())) if len(days) else (0.0, 0.0)
    several = len(days) and days.min() < days.max()  # of one moment the rounded spread is 1e-12, not 0
    return {"mean": mean, "std": std if several else 1.0, "missing": len(days) < len(seconds)}


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    absent = graph("Equal", name, graph.constant(NO_TIMESTAMP, "int64"))
    typical = graph.constant(round(state["mean"] * 86_400), "int64")
    seconds = graph("Where", absent, typical, name)
    units, columns = [], []
    for part, period in PERIODS.items():
        within = graph.cast(graph("Mod", seconds, graph.constant(period, "int64")), DOUBLE)
        angle = graph("Mul", within, graph.constant(2 * np.pi / period, "float64"))
        ahead = graph("Add", angle, graph.constant(np.pi / 2, "float64"))  # double Cos is missing before ORT 1.31
        units += [graph.column(graph.cast(draw_sine(graph, turned), FLOAT)) for turned in (angle, ahead)]
        columns += [f"{name}: {part}, sine", f"{name}: {part}, cosine"]
    days = graph("Div", graph.cast(seconds, DOUBLE), graph.constant(86_400.0, "float64"))
    age = graph(
        "Div", graph("Sub", days, graph.constant(state["mean"], "float64")), graph.constant(state["std"], "float64")
    )
    units.append(graph.column(graph.cast(age, FLOAT)))
    columns.append(f"{name}: trend")
    if state["missing"]:
        units.append(graph.column(graph.cast(absent, FLOAT)))
        columns.append(f"{name} is missing")
    return [ArraySpec(graph("Concat", *units, axis=1), "dense", tuple(columns), len(units))]


def draw_sine(graph: Graph, angle: str) -> str:
    """Rounded to 2⁻³⁰: the last digit of onnxruntime's sine depends on the row's place in its batch."""
    grid = graph.constant(2.0**30, "float64")
    return str(graph("Div", graph("Round", graph("Mul", graph("Sin", angle), grid)), grid))
