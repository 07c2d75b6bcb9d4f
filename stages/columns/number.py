"""Numbers: text or numeric values in, float64 out; scaled into a dense array."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from stages.columns._numbers import parse_numbers
from stages.columns._parse import Cleaned, parse_distinct
from stages.columns._scales import draw_scale, fit_scale
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph


class Column(BaseColumn):
    """`min` and `max` are the bounds of a sound value: one beyond them is rejected, or with `clip` moved to the bound.

    `decimal` and `thousands` are the marks of its locale; `units` maps what may stand before or
    behind a number to its factor, such as {kg: 1, g: 0.001}.
    """

    type: Literal["number"]
    min: float | None = None
    max: float | None = None
    clip: bool = False
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", "'", " ", "\u00a0", "\u202f", "_"] | None = None
    units: dict[str, float] = {}

    @model_validator(mode="after")
    def consistent(self) -> "Column":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} not above max {self.max:g}")
        if self.clip and self.min is None and self.max is None:
            raise ValueError("a min or a max beside clip: true")
        if self.thousands == self.decimal:
            raise ValueError(f"marks that differ; {self.decimal!r} is both decimal and thousands")
        for unit, factor in self.units.items():
            if not unit.strip() or unit != unit.strip() or any(mark.isdecimal() for mark in unit) or not factor:
                raise ValueError(f"units as {{kg: 1, g: 0.001}}: words without digits, and no factor 0; found {unit!r}")
        return self

    def describe(self, name: str) -> dict[str, Any]:
        """Marks that say nothing new are left out."""
        description = super().describe(name)
        usual = {"clip": False, "decimal": ".", "units": {}}
        return {key: value for key, value in description.items() if key not in usual or value != usual[key]}


class Features(Section):
    """How a number is put on a common scale.

    - `standard`: (x - mean) / std, x within the 0.1% and 99.9% quantiles of training
    - `log`: the same of sign(x) · log(1 + |x|)
    - `quantile`: the same of normal scores between quantiles
    - `piecewise`: one unit for each of `bins` quantile bins: 0 below it, 1 above it, linear within
      (Gorishniy et al. 2022, "On embeddings for numerical features"; here flat past the outer edges)
    """

    scale: Literal["standard", "log", "quantile", "piecewise"] = "standard"
    bins: int = Field(default=16, ge=1, le=256)


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    """Vectorised twin of `values.parse_number`; a property test holds it to the original."""
    if pa.types.is_decimal(values.type):  # by their text: the direct cast is not always the nearest float64
        values = values.cast(pa.string()).cast(pa.float64())
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers = pc.cast(values, pa.float64(), safe=False)
        absent = np.asarray(pc.is_null(numbers, nan_is_null=True))
        return check_bounds(column, numbers, absent, np.zeros(len(values), bool))
    description = column.describe(name)
    if not column.clip:
        return parse_distinct(description, values, pa.float64(), fast=parse_numbers)
    free = {key: value for key, value in description.items() if key not in ("min", "max", "clip")}
    cleaned = parse_distinct(free, values, pa.float64(), fast=parse_numbers)
    absent = np.asarray(cleaned.values.is_null())
    moved = check_bounds(column, cleaned.values, absent, np.zeros(len(values), bool))
    return Cleaned(moved.values, cleaned.broken, moved.clipped)


def check_bounds(column: Column, numbers: pa.Array, absent: np.ndarray, wrong: np.ndarray) -> Cleaned:
    plain = np.asarray(pc.fill_null(numbers, np.nan)) + 0.0  # -0.0 and 0.0 are one value, and hash as one
    wrong = wrong | (~np.isfinite(plain) & ~absent)
    sound = ~absent & ~wrong
    none = np.zeros_like(sound)
    low = sound & (plain < column.min) if column.min is not None else none
    high = sound & (plain > column.max) & ~low if column.max is not None else none
    clipped = 0
    if column.clip:
        clipped = int(low.sum() + high.sum())
        plain, low, high = np.clip(plain, column.min, column.max), none, none
    broken = {"number": wrong, "required": absent if column.required else none, "min": low, "max": high}
    sound = sound & ~low & ~high
    values = pa.array(plain) if sound.all() else pa.array(plain, mask=~sound)
    return Cleaned(values, {rule: mask for rule, mask in broken.items() if mask.any()}, clipped)


def expectations(column: Column) -> list[dict[str, Any]]:
    if column.min is None and column.max is None:
        return []
    bounds = {"min_value": column.min, "max_value": column.max}
    return [
        {"type": "expect_column_values_to_be_between", "kwargs": {k: v for k, v in bounds.items() if v is not None}}
    ]


def array(column: Column, values: pa.Array) -> np.ndarray:
    """float64 [N], NaN where missing."""
    return np.asarray(pc.fill_null(values, np.nan), np.float64)


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "float64", ["N"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    """Fill value, clipping bounds, scale and location, of the training rows alone."""
    return fit_scale(array(column, values), features.scale, features.bins)


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    absent = graph("IsNaN", name)
    filled = graph("Where", absent, graph.constant(state["fill"], "float64"), name)
    value, columns = draw_scale(graph, name, filled, state)
    units = [graph.cast(value, FLOAT)]
    if state["missing"]:
        units.append(graph.column(graph.cast(absent, FLOAT)))
        columns.append(f"{name} is missing")
    return [ArraySpec(graph("Concat", *units, axis=1), "dense", tuple(columns), len(columns))]
