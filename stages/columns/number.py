"""Numbers: text or numeric values in, float64 out; scaled into a dense array."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from serving.prepare import NUMBER, SPACE
from stages.columns._parse import Cleaned, missing_mask, parse_distinct
from stages.columns._scales import draw_scale, fit_scale
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph


class Column(BaseColumn):
    """`min` and `max` are the bounds of a sound value; a value beyond them is rejected."""

    type: Literal["number"]
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def ordered(self) -> "Column":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} not above max {self.max:g}")
        return self


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
    """Vectorised twin of `prepare.parse_number`; a property test holds it to the original."""
    description = column.describe(name)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers = pc.cast(values, pa.float64(), safe=False)
        absent = np.asarray(pc.is_null(numbers, nan_is_null=True))
        wrong = np.zeros(len(values), bool)
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        trimmed = pc.utf8_trim(values, SPACE)
        absent = missing_mask(description, trimmed)
        matches = np.asarray(pc.fill_null(pc.match_substring_regex(trimmed, f"^(?:{NUMBER.pattern})$"), False))
        wrong = ~matches & ~absent
        unsigned = pc.replace_substring_regex(trimmed, r"^\+", "")
        try:
            numbers = pc.cast(pc.if_else(pa.array(matches & ~absent), unsigned, None), pa.float64())
        except pa.ArrowInvalid:  # such as 1e999: a number for the regex, not for a float
            return parse_distinct(description, values, pa.float64())
    else:
        return parse_distinct(description, values, pa.float64())
    return check_bounds(column, numbers, absent, wrong)


def check_bounds(column: Column, numbers: pa.Array, absent: np.ndarray, wrong: np.ndarray) -> Cleaned:
    plain = np.asarray(pc.fill_null(numbers, np.nan)) + 0.0  # -0.0 and 0.0 are one value, and hash as one
    wrong = wrong | (~np.isfinite(plain) & ~absent)
    sound = ~absent & ~wrong
    broken = {"number": wrong, "required": absent if column.required else np.zeros_like(absent)}
    broken["min"] = sound & (plain < column.min) if column.min is not None else np.zeros_like(sound)
    broken["max"] = sound & (plain > column.max) & ~broken["min"] if column.max is not None else np.zeros_like(sound)
    sound = sound & ~broken["min"] & ~broken["max"]
    return Cleaned(pa.array(plain, mask=~sound), {rule: mask for rule, mask in broken.items() if mask.any()})


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
