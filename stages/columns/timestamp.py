"""Moments: written or typed times in, seconds since 1970 (UTC) out; cyclic parts and age, dense."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from serving.values import NO_TIMESTAMP, Problem, find_zone, parse_timestamp
from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._times import parse_times
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import DOUBLE, FLOAT, Graph

PERIODS = {"hour of day": 86_400, "day of week": 7 * 86_400, "day of year": 31_556_952}
MICROSECONDS = 1_000_000
FIRST, LAST = -62_135_596_800, 253_402_300_799  # the years 1 and 9999, which Python's datetime holds


class Column(BaseColumn):
    """`format` is strptime's, such as "%m/%d/%Y %H:%M", or a list to try in turn; without it, ISO 8601.

    `epoch` instead says that numbers count s, ms or us since 1970. What has no zone of its own is in
    `zone` (a name such as Europe/London), or else UTC. `min` and `max` are written as ISO 8601.
    """

    type: Literal["timestamp"]
    format: str | list[str] | None = None
    epoch: Literal["s", "ms", "us"] | None = None
    zone: str | None = None
    min: str | None = None
    max: str | None = None

    @model_validator(mode="after")
    def consistent(self) -> "Column":
        if self.format and self.epoch:
            raise ValueError("either format or epoch; both are given")
        for bound in (self.min, self.max):
            if bound is not None:
                try:
                    parse_timestamp({"name": "bound"}, bound)
                except Problem:
                    raise ValueError(f"bounds as ISO 8601, such as 2010-01-01; found {bound!r}") from None
        if self.zone:
            try:
                find_zone(self.zone)
            except (KeyError, ValueError):
                raise ValueError(f"a zone such as Europe/London; {self.zone!r} is not known here") from None
        return self


class Features(Section):
    """A timestamp has no options."""


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    description = column.describe(name)
    if pa.types.is_date(values.type):
        values = pc.cast(values, pa.timestamp("ms"))
    if pa.types.is_timestamp(values.type) and not (column.zone and values.type.tz is None):
        return check_bounds(column, values)
    if column.epoch and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        values = pc.cast(values, pa.int64()) if pa.types.is_integer(values.type) else values
    return parse_distinct(
        description, values, pa.timestamp("us"), lambda seconds: seconds * MICROSECONDS, parse_times_in
    )


def parse_times_in(description: dict[str, Any], values: pa.Array) -> tuple[pa.Array, dict[str, np.ndarray], np.ndarray]:
    """The vectorised parser, where there are no bounds to hold; else what breaks one goes to the code that serves."""
    times, broken, left = parse_times(description, values)
    for rule, compare in (("min", pc.less), ("max", pc.greater)):
        if description.get(rule) is not None:
            bound = pa.scalar(parse_timestamp({"name": rule}, description[rule]) * MICROSECONDS).cast(times.type)
            left = left | np.asarray(pc.fill_null(compare(times, bound), False))
    return pc.if_else(pa.array(left), pa.scalar(None, times.type), times), broken, left


def check_bounds(column: Column, times: pa.Array) -> Cleaned:
    """Arrow's own times: cut to seconds, held against the years 1 … 9999 and the declared bounds."""
    ticks = np.asarray(pc.fill_null(pc.cast(times, pa.int64()), 0))
    seconds = np.floor_divide(ticks, {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[times.type.unit])
    present = np.asarray(times.is_valid())
    broken = {"required": ~present} if column.required else {}
    broken["timestamp"] = present & ((seconds < FIRST) | (seconds > LAST))
    sound = present & ~broken["timestamp"]
    for rule, bound, sign in (("min", column.min, 1), ("max", column.max, -1)):
        if bound is not None:
            broken[rule] = sound & (sign * seconds < sign * parse_timestamp({"name": rule}, bound))
            sound &= ~broken[rule]
    values = pa.array(np.where(sound, seconds, 0) * MICROSECONDS, mask=None if sound.all() else ~sound)
    return Cleaned(values.cast(pa.timestamp("us")), {rule: mask for rule, mask in broken.items() if mask.any()})


def expectations(column: Column) -> list[dict[str, Any]]:
    bounds = {"min_value": column.min, "max_value": column.max}
    kwargs = {key: value for key, value in bounds.items() if value is not None}
    return [{"type": "expect_column_values_to_be_between", "kwargs": kwargs}] if kwargs else []


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
