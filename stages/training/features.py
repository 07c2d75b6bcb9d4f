"""Labelled examples in; a fitted encoder, and the arrays that models learn from, out.

Shared by the stage `features` and by the folds of `evaluate`, which fit anew for each fold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.columns import Encoder, encode, feature_options, fit
from stages.contract import Contract
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.items import carried
from stages.core.problem import NO_ITEMS, Catalogue, Problem
from stages.targets import target_module


class Features(Section):
    """`<pipeline>.features`: options of `stages/columns/<type>.py`, for all of a type and for one column (of a row, or
    of an item)."""

    by_type: dict[str, dict[str, Any]] = {}
    by_column: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class Fit:
    """What the training rows taught: the encoder, the target's state (its classes), and the items' columns, encoded."""

    encoder: Encoder
    target: Mapping[str, Any]
    items: Catalogue = NO_ITEMS


def options(contract: Contract) -> dict[str, Section]:
    """Each input and item column's typed options. Raises ContractError for what is wrong in the section."""
    path = f"{contract.pipeline}.features"
    section, history = contract.section("features", Features), contract.target.history
    if given := {"min_count", "max_values"} & set(section.by_column.get(history or "", {})):
        raise ContractError(
            f"{path}.by_column.{history}.{min(given)}: the vocabulary of a target's history is the catalogue. "
            "Declare examples.target.min_count instead"
        )
    columns = {**contract.input_columns, **contract.item_columns}
    return feature_options(columns, section.by_type, section.by_column, path)


def fit_features(train: pa.Table, contract: Contract) -> Fit:
    target = contract.target
    state = target_module(target).fit(target, train)
    if target.history is None:
        return Fit(fit(contract.input_columns, options(contract), train), state)
    # the history's vocabulary is the catalogue: so all that can be answered can be masked
    encoder = fit(contract.input_columns, options(contract), train, {target.history: state["catalogue"]})
    (spec,) = (spec for spec in encoder.specs if spec.columns == (target.history,))
    return Fit(encoder, {**state, "array": spec.name}, fit_items(train, state["catalogue"], contract))


def fit_items(train: pa.Table, catalogue: list[str], contract: Contract) -> Catalogue:
    """The columns of the catalogue's items, fitted on these and encoded, in its order; missing where one has no row."""
    declared = contract.target.items
    if declared is None:
        return NO_ITEMS
    known, columns = carried(train), contract.item_columns
    rows = pc.index_in(pa.array(catalogue, pa.string()), known.column(declared.key).combine_chunks())
    items = known.select(list(columns)).take(rows)
    encoder = fit(columns, options(contract), items)
    return Catalogue(encoder.specs, encode(encoder, columns, items))


def arrays_of(table: pa.Table, fitted: Fit, contract: Contract) -> dict[str, np.ndarray]:
    """One split's arrays: those of the encoder, `target`, `weight` where declared, and `group` for resampling."""
    arrays = encode(fitted.encoder, contract.input_columns, table)
    arrays |= target_module(contract.target).encode(fitted.target, table)
    arrays["group"] = np.asarray(table.column("_group"), np.int64)
    return arrays


def problem_of(features: Mapping[str, Any], contract: Contract) -> Problem:
    """The learning problem that `features.json` describes."""
    specs = tuple(ArraySpec.from_json(spec) for spec in features["specs"])
    items = Catalogue.from_json(features["items"]) if "items" in features else NO_ITEMS
    return Problem(specs, target_module(contract.target), features["target"], items)
