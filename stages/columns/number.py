"""Numbers: text or numeric values in, float64 out; standardised into a dense array."""

from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from stages.columns._numbers import parse_numbers
from stages.columns._parse import Cleaned, parse_distinct
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph

KNOTS = 33
ROUNDING = 1e-12  # a relative spread below this is none: of equal values the rounded one is 1e-16, not 0
SMALLEST, LARGEST = 1e-100, 1e100  # beyond them fitting takes 0 and ±1e100: squares and slopes stay finite


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
            if not unit.strip() or unit != unit.strip() or any(mark.isdigit() for mark in unit) or not factor:
                raise ValueError(f"units as {{kg: 1, g: 0.001}}: words without digits, and no factor 0; found {unit!r}")
        return self

    def describe(self, name: str) -> dict[str, Any]:
        """Marks that say nothing new are left out."""
        description = super().describe(name)
        usual = {"clip": False, "decimal": ".", "units": {}}
        return {key: value for key, value in description.items() if key not in usual or value != usual[key]}


class Features(Section):
    """`standard`: (x - mean) / std. `log`: of sign(x)·log(1 + |x|). `quantile`: of normal scores."""

    scale: Literal["standard", "log", "quantile"] = "standard"


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    """Vectorised twin of `values.parse_number`; a property test holds it to the original."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers = pc.cast(values, pa.float64(), safe=False)
        absent = np.asarray(pc.is_null(numbers, nan_is_null=True))
        return check_bounds(column, numbers, absent, np.zeros(len(values), bool))
    cleaned = parse_distinct(column.describe(name), values, pa.float64(), fast=parse_numbers)
    if not column.clip:
        return cleaned
    plain = np.asarray(pc.fill_null(cleaned.values, np.nan))
    return Cleaned(cleaned.values, cleaned.broken, int(((plain == column.min) | (plain == column.max)).sum()))


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
    plain = array(column, values)
    present = np.clip(plain[~np.isnan(plain)], -LARGEST, LARGEST)
    present[np.abs(present) < SMALLEST] = 0.0
    low, middle, high = np.quantile(present, [0.001, 0.5, 0.999]) if len(present) else (0.0, 0.0, 0.0)
    state: dict[str, Any] = {"scale": features.scale, "fill": float(middle), "low": float(low), "high": float(high)}
    state["missing"] = len(present) < len(plain)
    if features.scale == "quantile":
        state["knots"], state["scores"] = quantile_knots(present)
    shaped = transform(state, np.where(np.isnan(plain), state["fill"], plain))
    state["mean"] = float(shaped.mean()) if len(shaped) else 0.0
    state["std"] = float(shaped.std()) if len(shaped) else 0.0
    if state["std"] <= ROUNDING * np.abs(shaped).max(initial=0.0):
        state["std"] = 1.0
    return state


def quantile_knots(present: np.ndarray) -> tuple[list[float], list[float]]:
    """Distinct quantiles of the values and their normal scores (ties share their middle score)."""
    shares = np.linspace(0.0, 1.0, KNOTS)
    levels = np.quantile(present, shares) if len(present) else np.zeros(KNOTS)
    knots = np.unique(levels)
    middle = [float(shares[levels == knot].mean()) for knot in knots]
    scores = [NormalDist().inv_cdf(min(max(share, 0.01), 0.99)) for share in middle]
    return knots.tolist(), scores


def transform(state: dict[str, Any], filled: np.ndarray) -> np.ndarray:
    """The numpy form of what `nodes` draws before standardising; used to fit mean and std."""
    clipped = np.clip(filled, state["low"], state["high"])
    if state["scale"] == "log":
        return np.asarray(np.sign(clipped) * np.log(1.0 + np.abs(clipped)))
    if state["scale"] == "quantile":
        return np.asarray(np.interp(filled, state["knots"], state["scores"]))
    return np.asarray(clipped)


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    absent = graph("IsNaN", name)
    filled = graph("Where", absent, graph.constant(state["fill"], "float64"), name)
    shaped = draw_transform(graph, state, filled)
    centred = graph("Sub", shaped, graph.constant(state["mean"], "float64"))
    scaled = graph("Div", centred, graph.constant(state["std"], "float64"))
    units, columns = [graph.column(graph.cast(scaled, FLOAT))], [name]
    if state["missing"]:
        units.append(graph.column(graph.cast(absent, FLOAT)))
        columns.append(f"{name} is missing")
    value = graph("Concat", *units, axis=1)
    return [ArraySpec(value, "dense", tuple(columns), len(units))]


def draw_transform(graph: Graph, state: dict[str, Any], filled: str) -> str:
    if state["scale"] == "quantile":
        return draw_interpolation(graph, filled, state["knots"], state["scores"])
    low, high = (graph.constant(state[bound], "float64") for bound in ("low", "high"))
    clipped = str(graph("Clip", filled, low, high))
    if state["scale"] == "standard":
        return clipped
    grown = graph("Add", graph("Abs", clipped), graph.constant(1.0, "float64"))
    return str(graph("Mul", graph("Sign", clipped), graph("Log", grown)))


def draw_interpolation(graph: Graph, value: str, knots: list[float], scores: list[float]) -> str:
    """np.interp as a sum over segments: score₀ + Σ clip((x - knot) / width, 0, 1) · rise."""
    if len(knots) < 2:
        return str(graph("Mul", value, graph.constant(0.0, "float64")))
    zero, one = graph.constant(0.0, "float64"), graph.constant(1.0, "float64")
    bounded = graph("Clip", value, graph.constant(knots[0], "float64"), graph.constant(knots[-1], "float64"))
    along = graph("Sub", graph.column(bounded), graph.constant(knots[:-1], "float64"))
    share = graph("Clip", graph("Div", along, graph.constant(np.diff(knots), "float64")), zero, one)
    risen = graph(
        "ReduceSum", graph("Mul", share, graph.constant(np.diff(scores), "float64")), graph.integers(1), keepdims=0
    )
    return str(graph("Add", risen, graph.constant(scores[0], "float64")))
