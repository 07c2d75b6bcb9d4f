"""Scores as functions of row weights in; their values under common resamples, and intervals, out.

All scores of one call see the same resamples, and equal seeds give equal resamples, so the
difference of two columns of samples is the paired bootstrap (Efron & Tibshirani 1993, ch. 16).
Rows of one group are drawn together, since they are not independent. Of very few groups no
interval is told: resamples of one group are all alike, and would show anything.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

NUM_RESAMPLES = 1000
LEAST_GROUPS = 5
NO_INTERVAL = f"no interval: fewer than {LEAST_GROUPS} groups of rows, or not defined on most resamples"
CHUNK_VALUES = 4_000_000
K = TypeVar("K", bound=Hashable)
Score = Callable[[np.ndarray], np.ndarray]  # weights_RN → values [R]


def bootstrap(
    scores: Mapping[K, Score], groups: np.ndarray, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> dict[K, np.ndarray]:
    """Samples [1 + R] of each score: its value on the rows as they are, then R resamples, NaN where groups are few."""
    codes = np.unique(groups, return_inverse=True)[1]
    num_groups, num_rows = int(codes.max(initial=-1)) + 1, len(codes)
    generator = np.random.default_rng(seed)
    chunk = max(1, min(num_resamples, CHUNK_VALUES // max(num_rows, 1)))
    samples = {name: [score(np.ones((1, num_rows), np.float32))] for name, score in scores.items()}
    if num_groups < LEAST_GROUPS:
        return {name: np.append(values[0], np.full(num_resamples, np.nan)) for name, values in samples.items()}
    for start in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - start)
        drawn = generator.integers(0, num_groups, (size, num_groups))
        counts = np.stack([np.bincount(row, minlength=num_groups) for row in drawn]).astype(np.float32)
        weights = counts[:, codes]
        for name, score in scores.items():
            samples[name].append(score(weights))
    return {name: np.concatenate(parts) for name, parts in samples.items()}


def summarise(samples: np.ndarray) -> dict[str, Any]:
    """{value, low, high}: the score and its 95% percentile interval; or {absent: reason}."""
    if not np.isfinite(samples[0]):
        return {"absent": "not defined on these rows"}
    resampled = samples[1:][np.isfinite(samples[1:])]
    if len(resampled) < len(samples) // 2:
        return {"value": rounded(samples[0]), "absent": NO_INTERVAL}
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"value": rounded(samples[0]), "low": rounded(low), "high": rounded(high)}


def rounded(value: float) -> float:
    return float(f"{value:.6g}")
