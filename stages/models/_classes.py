"""Columns and class labels in, one linear score a class out: what `linear`, `svm` and `hog` have in common.

Shapes: N rows, C classes, D columns of one array.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stages.core.problem import Problem
from stages.models import _solver as solver
from stages.models import _truth as truth

NEVER = -20.0  # the output of a class that no training row has


def fit_classes(
    columns: Sequence[solver.Columns],
    arrays: Mapping[str, np.ndarray],
    problem: Problem,
    penalty: solver.Penalty,
    *,
    loss: Callable[[np.ndarray], solver.Loss],
) -> dict[str, np.ndarray]:
    """`bias` [C] and each array's table [D, C] by its name. Of two classes the first one's outputs are 0."""
    num_classes = problem.num_outputs
    seen = np.flatnonzero(truth.class_totals(arrays, problem) > 0)
    scored = seen[-1:] if len(seen) == 2 else seen
    shares_NC = truth.shares_of(arrays["target"], num_classes)[:, seen]
    weight_N = truth.weights_of(arrays, problem)
    found, found_bias = solver.minimise(columns, loss(shares_NC), weight_N, penalty, num_scores=len(scored))
    bias = np.full(num_classes, NEVER)
    bias[seen] = 0.0
    bias[scored] = found_bias
    weights = {"bias": bias.astype(np.float32)}
    for spec, narrow in zip(problem.specs, found, strict=True):
        weights[spec.name] = np.zeros((len(narrow), num_classes), np.float32)
        weights[spec.name][:, scored] = narrow
    return weights
