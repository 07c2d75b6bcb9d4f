"""Encoded arrays and a target in one word: what is to be learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stages.core.arrays import ArraySpec


@dataclass(frozen=True)
class Problem:
    """What is to be learnt: the arrays' specs, the target's module and its fitted state."""

    specs: tuple[ArraySpec, ...]
    target: ModuleType
    state: Mapping[str, Any]

    @property
    def num_outputs(self) -> int:
        return int(self.target.num_outputs(self.state))
