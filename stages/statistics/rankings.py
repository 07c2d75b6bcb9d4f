"""Ranked answers and the items that were right in; each row's scores out. Full rankings, no sampled candidates.

Järvelin & Kekäläinen 2002 (NDCG), Manning et al. 2008, ch. 8 (recall, average precision, reciprocal rank).
"""

import numpy as np


def hits(answer_NK: np.ndarray, truth_NT: np.ndarray) -> np.ndarray:
    """bool [N, K]: whether the item answered at a place is right. Negative answers are none."""
    found = np.zeros(answer_NK.shape, bool)
    for start in range(0, len(answer_NK), 1024):  # [1024, K, T] at a time
        rows = slice(start, start + 1024)
        found[rows] = (answer_NK[rows, :, None] == truth_NT[rows, None, :]).any(2)
    return found & (answer_NK >= 0)


def row_scores(hit_NK: np.ndarray, num_right_N: np.ndarray, cut: int) -> dict[str, np.ndarray]:
    """float64 [N] each, of the first `cut` places; 0 for a row of which nothing is right."""
    hit_NC = hit_NK[:, :cut].astype(np.float64)
    places_C = np.arange(1, hit_NC.shape[1] + 1)
    right_N = np.maximum(num_right_N, 1)
    reachable_N = np.minimum(right_N, cut)
    discount = 1.0 / np.log2(np.arange(2, cut + 2))
    ideal_N = np.cumsum(discount)[reachable_N - 1]
    precision_NC = np.cumsum(hit_NC, 1) / places_C
    return {
        f"ndcg@{cut}": (hit_NC * discount[: hit_NC.shape[1]]).sum(1) / ideal_N,
        f"recall@{cut}": hit_NC.sum(1) / right_N,
        f"precision@{cut}": hit_NC.sum(1) / cut,
        f"map@{cut}": (precision_NC * hit_NC).sum(1) / reachable_N,
        f"mrr@{cut}": (hit_NC / places_C).max(1, initial=0.0),
        f"hit_rate@{cut}": hit_NC.max(1, initial=0.0),
    }


def mean_of(values_N: np.ndarray, counted_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """The mean over the rows that count."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights_RN @ (values_N * counted_N)) / (weights_RN @ counted_N.astype(np.float64)))


def coverage(answer_NK: np.ndarray, counted_N: np.ndarray, num_items: int, weights_RN: np.ndarray) -> np.ndarray:
    """The share of all items that stand in the answer to at least one row that counts.

    NaN where rows are left out, as in every resample: fewer rows cover less, so their spread is no interval.
    """
    answered = answer_NK[counted_N]
    share = len(np.unique(answered[answered >= 0])) / num_items
    return np.where((weights_RN[:, counted_N] > 0).all(1), share, np.nan)
