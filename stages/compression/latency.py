"""A whole graph and raw rows in, the milliseconds of one row and of a batch out."""

import time
from collections.abc import Mapping

import numpy as np

from stages.core.graph import session

REPEATS = 30
BATCH_ROWS = 64


def latency_ms(model: bytes, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Median over repeats, one thread, the first runs left out."""
    running = session(model)
    found = {}
    for name, size in (("one_row", 1), (f"batch_of_{BATCH_ROWS}", BATCH_ROWS)):
        feed = {key: values[:size] for key, values in rows.items()}
        seconds = []
        for _ in range(REPEATS + 3):
            start = time.perf_counter()
            running.run(None, feed)
            seconds.append(time.perf_counter() - start)
        found[name] = float(f"{np.median(seconds[3:]) * 1000:.3g}")
    return found
