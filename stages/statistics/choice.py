"""Candidates' scores on common resamples in, the smallest that is shown not worse than the best out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.statistics.bootstrap import summarise


def choose(
    samples: Mapping[str, np.ndarray], sizes: Mapping[str, int], *, margin: float, sign: int
) -> tuple[str, dict[str, Any]]:
    """The smallest acceptable candidate, and why each is or is not acceptable.

    One is acceptable where its paired 95% interval shows it not worse than the best by more than `margin`, in units
    of the score. `sizes` are bytes; `sign` is +1 where more is better.
    """
    best = max(samples, key=lambda name: (np.nan_to_num(sign * samples[name][0], nan=-np.inf), -sizes[name]))
    candidates: dict[str, Any] = {}
    for name, values in samples.items():
        behind = summarise(sign * (values - samples[best]))
        acceptable = name == best or behind.get("low", -np.inf) >= -margin
        candidates[name] = {
            "bytes": sizes[name],
            "score": summarise(values),
            "minus_best": behind,
            "acceptable": bool(acceptable),
        }
    accepted = [name for name, entry in candidates.items() if entry["acceptable"]]
    chosen = min(accepted, key=lambda name: (sizes[name], name))
    return chosen, {"best": best, "margin": margin, "candidates": candidates}
