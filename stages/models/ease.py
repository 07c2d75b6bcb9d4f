"""Baskets in, a linear map from what a row holds to a score of every item out, in closed form.

Steck 2019, "Embarrassingly shallow autoencoders for sparse data": the least squares of each item's column on all
other items, with an L2 penalty and no item explaining itself.
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
    """`penalty` is the L2 penalty λ, in rows: few rows and much noise want more."""

    penalty: float = Field(default=500.0, gt=0)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """B [I, I] = -P / diag(P) with a diagonal of 0, of P = (Xᵀ X + λ)⁻¹."""
    from scipy.linalg import cho_factor, cho_solve

    _items.check_square(problem, "ease")
    held = _items.baskets(arrays, problem)
    gram = (held.T @ held).toarray()
    gram[np.diag_indices_from(gram)] += options.penalty
    precision = cho_solve(cho_factor(gram, overwrite_a=True), np.eye(len(gram)))
    found = -precision / np.diag(precision)
    np.fill_diagonal(found, 0.0)
    return {"items": found.astype(np.float32)}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    return _items.draw_linear(weights, problem, "ease")
