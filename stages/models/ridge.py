"""Past and next items in, a linear map from what a row holds to a score of every item out, by ridge regression.

The sibling of EASE that learns what the target asks: not which items lie in one basket, but which come next. In
closed form, B = (Xᵀ W X + λ)⁻¹ Xᵀ W Y, with past items X, next items Y, and the rows' weights W of mean 1. A row of
X is of length 1, so that who holds much does not teach most.
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
    """`penalty` is the L2 penalty λ, in rows."""

    penalty: float = Field(default=30.0, gt=0)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """B [I, I]; row i is what holding item i adds to each score."""
    from scipy.linalg import cho_factor, cho_solve

    _items.check_square(problem, "ridge")
    past, next_items, weights = _items.pairs(arrays, problem)
    past = past.multiply(1 / np.sqrt(np.maximum(past.sum(1), 1))).tocsr()
    weighted = past.multiply(weights[:, None]).tocsr()
    gram = (weighted.T @ past).toarray()
    gram[np.diag_indices_from(gram)] += options.penalty
    found = cho_solve(cho_factor(gram, overwrite_a=True), (weighted.T @ next_items).toarray())
    return {"items": found.astype(np.float32)}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    return _items.draw_linear(weights, problem, "ridge", scaled=True)
