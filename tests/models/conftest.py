"""A small problem with one array of every kind, and models fitted on it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.targets import category
from stages.training import Fitted, Recipe, fit

SPECS = (
    ArraySpec("encoded.dense", "dense", ("a", "b", "c"), 3),
    ArraySpec("encoded.index_0", "index", ("d",), 5),
    ArraySpec("encoded.set_1", "set", ("e",), 1025),
    ArraySpec("encoded.image_2", "image", ("f",), 9 * 7, (1, 9, 7), (0.4,), (0.3,)),
)
OPTIONS: dict[str, dict[str, Any]] = {
    "prior": {},
    "linear": {"strength": 0.5},
    "boosting": {"trees": 8, "leaves": 4, "min_rows_a_leaf": 5, "row_share": 0.7, "column_share": 0.7},
    "svm": {"strength": 0.5},
    "hog": {"strength": 0.5},
    "mlp": {"hidden": [64], "dropout": 0.3, "set_width": 8},
    "bag": {"width": 16, "dropout": 0.2},
    "convnet": {"channels": [16, 24], "dropout": 0.2, "set_width": 1},
    "resnet": {"channels": [8, 16], "blocks": 1, "set_width": 1},
    "recurrent": {"width": 8, "set_width": 4},
    "transformer": {"width": 16, "depth": 1},
}
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.02, device="cpu", seed=3)


def arrays_of(num_rows: int, num_classes: int, seed: int, set_width: int = 6) -> dict[str, np.ndarray]:
    """Arrays that tell something of the target. Sets are padded at the end, some rows wholly."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, num_classes, num_rows)
    dense = generator.normal(size=(num_rows, 3)) + target[:, None] * [0.8, 0, -0.5]
    entries = generator.integers(1, 1025, (num_rows, set_width))
    live = np.arange(set_width) < generator.integers(0, set_width + 1, num_rows)[:, None]
    return {
        "encoded.dense": dense.astype(np.float32),
        "encoded.index_0": (target + generator.integers(0, 3, num_rows)).clip(0, 4).astype(np.int32),
        "encoded.set_1": np.where(live, entries, 0).astype(np.int32),
        "encoded.image_2": generator.integers(0, 200, (num_rows, 1, 9, 7)).astype(np.uint8),
        "target": target.astype(np.int64),
    }


def problem_of(name: str, num_classes: int) -> Problem:
    """With the kinds of arrays that the model suits."""
    kinds = choose("models", name, "").SUITS
    classes = [f"class {i}" for i in range(num_classes)]
    state = {"type": "category", "column": "y", "classes": classes, "positive": 1, "counts": [1] * num_classes}
    return Problem(tuple(spec for spec in SPECS if spec.kind in kinds), category, state)


def splits_of(num_classes: int, num_rows: int = 61) -> dict[str, dict[str, np.ndarray]]:
    """61 rows: the last batch of 16 is short."""
    return {"train": arrays_of(num_rows, num_classes, 1), "validation": arrays_of(40, num_classes, 2)}


def fit_anew(name: str, num_classes: int) -> Fitted:
    options = choose("models", name, "").Options(**OPTIONS[name])
    return fit(name, options, problem_of(name, num_classes), splits_of(num_classes), recipe=RECIPE)


@pytest.fixture(scope="session")
def fitted() -> Callable[[str, int], Fitted]:
    """Each model is fitted once a session."""
    return cache(fit_anew)


@pytest.fixture(scope="session")
def anew() -> Callable[[str, int], Fitted]:
    return fit_anew


@pytest.fixture(scope="session")
def problem() -> Callable[[str, int], Problem]:
    return problem_of


@pytest.fixture(scope="session")
def splits() -> Callable[..., dict[str, dict[str, np.ndarray]]]:
    return splits_of


@pytest.fixture(scope="session")
def arrays() -> Callable[..., dict[str, np.ndarray]]:
    return arrays_of


@pytest.fixture(scope="session")
def options() -> Callable[[str], Any]:
    return lambda name: choose("models", name, "").Options(**OPTIONS[name])
