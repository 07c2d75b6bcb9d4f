"""Columns of a linear model and a loss in, the weights with the least penalised loss out (L-BFGS).

The columns are made anew for each slice of rows, in float32: pictures stay the bytes that they are, so a linear model
learns from every row that there is. Shapes: N rows, R rows of a slice, D columns, K scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SLICE_VALUES = 4_000_000

Columns = Callable[[slice], Any]  # rows → float32 [R, D], dense or sparse
Loss = Callable[[slice, np.ndarray], tuple[np.ndarray, np.ndarray]]  # rows, scores_RK → losses [R], slopes [R, K]


@dataclass(frozen=True)
class Penalty:
    """`strength` is the inverse of the L2 penalty (scikit-learn's C): Σ weight · loss + ½ ‖weights‖² / strength."""

    strength: float
    max_iterations: int


def minimise(
    columns: Sequence[Columns], loss: Loss, weight_N: np.ndarray, penalty: Penalty, *, num_scores: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Weights float64 [D, K] of each array's columns, and the bias [K], which is not penalised.

    The last iterate counts where `max_iterations` is reached: a linear model stopped early is a sound one.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    widths = [part(slice(0, 1)).shape[1] for part in columns]
    ends = np.cumsum(widths)
    size, total = int(ends[-1]), float(weight_N.sum())
    slices = slices_of(widths, len(weight_N))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table_DK = flat.reshape(size + 1, num_scores)
        narrow = [block.astype(np.float32) for block in np.split(table_DK[:-1], ends[:-1])]
        found, slope_DK = 0.0, np.zeros_like(table_DK)
        for rows in slices:
            parts = [part(rows) for part in columns]
            scores_RK = sum(part @ block for part, block in zip(parts, narrow, strict=True)) + table_DK[-1]
            losses_R, slopes_RK = loss(rows, np.asarray(scores_RK, np.float64))
            found += float(losses_R @ weight_N[rows])
            slopes_RK = (slopes_RK * weight_N[rows, None]).astype(np.float32)
            for part, end, width in zip(parts, ends, widths, strict=True):
                slope_DK[end - width : end] += part.T @ slopes_RK
            slope_DK[-1] += slopes_RK.sum(0)
        shrunk = table_DK[:-1] / penalty.strength
        slope_DK[:-1] += shrunk
        found += 0.5 * float((shrunk * table_DK[:-1]).sum())
        return found / total, slope_DK.ravel() / total

    options = {"maxiter": penalty.max_iterations, "gtol": 1e-5, "ftol": 1e-9, "maxls": 50, "maxcor": 20}
    with threadpool_limits(1):  # sums in another order differ, and so would the bytes of the weights
        result = minimize(objective, np.zeros((size + 1) * num_scores), jac=True, method="L-BFGS-B", options=options)
    table_DK = result.x.reshape(size + 1, num_scores)
    return np.split(table_DK[:-1], ends[:-1]), table_DK[-1]


def slices_of(widths: Sequence[int], num_rows: int) -> list[slice]:
    """Rows in pieces of at most SLICE_VALUES values."""
    step = max(1, SLICE_VALUES // max(*widths, 1))
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def scores(columns: Sequence[Columns], tables: Sequence[np.ndarray], num_rows: int) -> np.ndarray:
    """[N, K], without the bias."""
    narrow = [table.astype(np.float32) for table in tables]
    pieces = slices_of([len(table) for table in tables], num_rows)
    return np.concatenate(
        [sum(part(rows) @ table for part, table in zip(columns, narrow, strict=True)) for rows in pieces]
    )


def logistic(shares_NC: np.ndarray) -> Loss:
    """Cross-entropy against class shares; two classes have one score, that of the second."""

    def loss(rows: slice, scores_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores_RC = np.pad(scores_RK, ((0, 0), (shares_NC.shape[1] - scores_RK.shape[1], 0)))
        moved = scores_RC - scores_RC.max(1, keepdims=True)
        log_chances = moved - np.log(np.exp(moved).sum(1, keepdims=True))
        shares_RC = shares_NC[rows]
        slopes_RC = np.exp(log_chances) - shares_RC
        return -(shares_RC * log_chances).sum(1), slopes_RC[:, -scores_RK.shape[1] :]

    return loss


def squared_hinge(shares_NC: np.ndarray) -> Loss:
    """One class against the rest, max(0, 1 - margin)², as scikit-learn's LinearSVC; two classes have one margin."""

    def loss(rows: slice, scores_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares_RK = shares_NC[rows][:, -scores_RK.shape[1] :].astype(np.float64)
        above, below = np.maximum(0.0, 1.0 - scores_RK), np.maximum(0.0, 1.0 + scores_RK)
        losses_R = (shares_RK * above**2 + (1.0 - shares_RK) * below**2).sum(1)
        return losses_R, 2.0 * ((1.0 - shares_RK) * below - shares_RK * above)

    return loss


def squared(truth_N: np.ndarray) -> Loss:
    """½ (score - truth)²: ridge regression."""

    def loss(rows: slice, scores_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        behind = scores_RK - truth_N[rows, None]
        return 0.5 * (behind**2).sum(1), behind

    return loss


def rounded(truth_N: np.ndarray, *, half_width: float) -> Loss:
    """½ |score - truth|, round where it is below `half_width`, so that it has a slope everywhere (Huber 1964)."""

    def loss(rows: slice, scores_RK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        behind = scores_RK - truth_N[rows, None]
        distance, double = np.abs(behind), 2 * half_width
        near = distance < half_width
        losses = np.where(near, behind**2 / (2 * double) + half_width / 4, distance / 2)
        return losses.sum(1), np.where(near, behind / double, np.sign(behind) / 2)

    return loss
