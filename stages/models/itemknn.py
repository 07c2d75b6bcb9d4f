"""Baskets in, each item's most similar items out: the cosine of who holds them, shrunk where they are few.

Sarwar et al. 2001, with the shrinkage of Bell & Koren 2007.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.problem import Problem
from stages.models import _items

TARGETS = _items.TARGETS
SUITS = _items.SUITS


class Options(Section):
    """An item's score is the sum of its similarity to those held that are among its `neighbours` nearest."""

    neighbours: int = Field(default=100, ge=1)
    shrinkage: float = Field(default=10.0, ge=0)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """S [I, I]: |a ∧ b| / (√|a| √|b| + shrinkage), and in each column the nearest alone."""
    _items.check_square(problem, "itemknn")
    held = _items.baskets(arrays, problem)
    both = (held.T @ held).toarray()
    norms = np.sqrt(np.diag(both))
    similar = both / np.maximum(np.outer(norms, norms) + options.shrinkage, 1e-12)
    np.fill_diagonal(similar, 0.0)
    if options.neighbours < len(similar):
        far = np.argsort(-similar, axis=0, kind="stable")[options.neighbours :]
        np.put_along_axis(similar, far, 0.0, 0)
    return {"items": similar.astype(np.float32)}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    return _items.draw_linear(weights, problem, "itemknn")
