"""Moments: written or typed times in, seconds since 1970 (UTC) out; cyclic parts and age, dense."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from serving.values import NO_TIMESTAMP, TICKS, Problem, find_zone, parse_timestamp
from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._scales import draw_rounded
from stages.columns._times import parse_times
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import DOUBLE, FLOAT, Graph

PERIODS = {
    "hour": ("hour of day", 86_400),
    "weekday": ("day of week", 7 * 86_400),
    "year_day": ("day of year", 31_556_952),
}
DAY = 86_400.0
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


def write(column: Mapping[str, Any], moment: datetime) -> str | int | None:
    """A moment (UTC, without a zone) as its described column has it read back; None where no declared way can.

    An hour that a clock passes twice, say, and a format without its zone.
    """
    aware = moment.replace(tzinfo=UTC)
    seconds = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    if column.get("epoch"):
        return seconds * TICKS[column["epoch"]]
    local = aware.astimezone(find_zone(column["zone"]) if column.get("zone") else UTC)
    formats = column.get("format") or []
    ways = [local.strftime(way) for way in ([formats] if isinstance(formats, str) else formats)]
    for way in ways or [local.isoformat() if column.get("zone") else moment.isoformat()]:
        try:
            if parse_timestamp({**column, "min": None, "max": None}, way) == seconds:
                return way
        except Problem:
            continue
    return None


class Features(Section):
    """`parts`, in this order whatever the order they are declared in:

    - `hour`, `weekday`, `year_day`: sine and cosine of the time within a day, a week, a year of 365.2425 days
    - `trend`: days, standardised
    - `age`: days before `reference` (ISO 8601, UTC; without it the newest moment of training), as
      sign · log(1 + |days|), standardised: fine near it, coarse far away, negative behind it
    """

    parts: list[Literal["hour", "weekday", "year_day", "trend", "age"]] = Field(
        default=["hour", "weekday", "year_day", "trend"], min_length=1
    )
    reference: str | None = None

    @field_validator("reference")
    @classmethod
    def is_a_moment(cls, reference: str | None) -> str | None:
        try:
            parse_timestamp({"name": "reference"}, reference or "2000-01-01")
        except Problem as problem:
            raise ValueError(f"a moment such as 2024-12-31 or 2024-12-31T18:00 ({problem})") from None
        return reference

    @model_validator(mode="after")
    def referred_to(self) -> "Features":
        if self.reference is not None and "age" not in self.parts:
            raise ValueError("`age` among `parts` where a `reference` is declared")
        return self


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    description = column.describe(name)
    if pa.types.is_date(values.type):
        values = pc.cast(values, pa.timestamp("ms"))
    if pa.types.is_timestamp(values.type) and not (column.zone and values.type.tz is None):
        return check_bounds(column, values)
    if column.epoch and pa.types.is_integer(values.type) and values.type != pa.uint64():
        return check_seconds(column, from_ticks(values, TICKS[column.epoch]), np.asarray(values.is_valid()))
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
    size = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[times.type.unit]
    return check_seconds(column, from_ticks(pc.cast(times, pa.int64()), size), np.asarray(times.is_valid()))


def from_ticks(values: pa.Array, size: int) -> np.ndarray:
    """Whole seconds, rounded down; 0 where there is no value."""
    return np.asarray(np.floor_divide(np.asarray(pc.fill_null(pc.cast(values, pa.int64()), 0)), size))


def check_seconds(column: Column, seconds: np.ndarray, present: np.ndarray) -> Cleaned:
    """Whole seconds, held against the years 1 … 9999 and the declared bounds."""
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
    present = seconds[seconds != NO_TIMESTAMP]
    mean, std = mean_and_spread(present / DAY)
    state = {"mean": mean, "std": std, "missing": len(present) < len(seconds)}
    if "age" in features.parts:
        newest = int(present.max()) if len(present) else 0
        reference = parse_timestamp({"name": ""}, features.reference) if features.reference else newest
        days = (reference - present) / DAY
        age_mean, age_std = mean_and_spread(np.sign(days) * np.log(1.0 + np.abs(days)))
        state |= {"reference": reference, "age_mean": age_mean, "age_std": age_std}
    return state


def mean_and_spread(values: np.ndarray) -> tuple[float, float]:
    several = len(values) and values.min() < values.max()  # of equal values the rounded spread is 1e-12, not 0
    return (float(values.mean()) if len(values) else 0.0), (float(values.std()) if several else 1.0)


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    absent = graph("Equal", name, graph.constant(NO_TIMESTAMP, "int64"))
    typical = graph.constant(round(state["mean"] * DAY), "int64")
    seconds = graph("Where", absent, typical, name)
    units, columns = [], []
    for part, (words, period) in PERIODS.items():
        if part in features.parts:
            units += draw_cycle(graph, seconds, period)
            columns += [f"{name}: {words}, sine", f"{name}: {words}, cosine"]
    if "trend" in features.parts:
        days = graph("Div", graph.cast(seconds, DOUBLE), graph.constant(DAY, "float64"))
        units.append(draw_standard(graph, days, state["mean"], state["std"]))
        columns.append(f"{name}: trend")
    if "age" in features.parts:
        units.append(draw_standard(graph, draw_age(graph, seconds, state), state["age_mean"], state["age_std"]))
        columns.append(f"{name}: age")
    if state["missing"]:
        units.append(graph.cast(absent, FLOAT))
        columns.append(f"{name} is missing")
    dense = graph("Concat", *(graph.column(unit) for unit in units), axis=1)
    return [ArraySpec(dense, "dense", tuple(columns), len(units))]


def draw_cycle(graph: Graph, seconds: str, period: int) -> list[str]:
    """Sine and cosine of the time within the period."""
    within = graph.cast(graph("Mod", seconds, graph.constant(period, "int64")), DOUBLE)
    angle = graph("Mul", within, graph.constant(2 * np.pi / period, "float64"))
    ahead = graph("Add", angle, graph.constant(np.pi / 2, "float64"))  # double Cos is missing before ORT 1.31
    return [graph.cast(draw_rounded(graph, graph("Sin", turned)), FLOAT) for turned in (angle, ahead)]


def draw_age(graph: Graph, seconds: str, state: dict[str, Any]) -> str:
    """sign · log(1 + |days|) of the days that a moment lies before the reference."""
    before = graph.cast(graph("Sub", graph.constant(state["reference"], "int64"), seconds), DOUBLE)
    days = graph("Div", before, graph.constant(DAY, "float64"))
    grown = graph("Add", graph("Abs", days), graph.constant(1.0, "float64"))
    return draw_rounded(graph, graph("Mul", graph("Sign", days), graph("Log", grown)))


def draw_standard(graph: Graph, value: str, mean: float, std: float) -> str:
    centred = graph("Sub", value, graph.constant(mean, "float64"))
    return graph.cast(graph("Div", centred, graph.constant(std, "float64")), FLOAT)
