"""Encoded arrays and a target in one word: what is to be learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from stages.core.arrays import ArraySpec


@dataclass(frozen=True)
class Catalogue:
    """What is known of each item that a ranking ranks, in the catalogue's order.

    `arrays` [I, …] are encoded as a row's columns are, by the names of `specs`. They never change: no input of a graph.
    """

    specs: tuple[ArraySpec, ...]
    arrays: Mapping[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        arrays = {name: array.tolist() for name, array in self.arrays.items()}
        return {"specs": [spec.to_json() for spec in self.specs], "arrays": arrays}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Catalogue":
        specs = tuple(ArraySpec.from_json(spec) for spec in value["specs"])
        return cls(specs, {spec.name: np.array(value["arrays"][spec.name], spec.dtype) for spec in specs})


NO_ITEMS = Catalogue((), {})


@dataclass(frozen=True)
class Problem:
    """What is to be learnt: the arrays' specs, the target's module and its fitted state; `items` are those of a ranking
    whose items have columns."""

    specs: tuple[ArraySpec, ...]
    target: ModuleType
    state: Mapping[str, Any]
    items: Catalogue = NO_ITEMS

    @property
    def num_outputs(self) -> int:
        return int(self.target.num_outputs(self.state))
