"""Problems for models with a fit of their own, and what their drawn graphs predict."""

import numpy as np

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.graph import run
from stages.core.problem import Problem
from stages.targets import category, number

DENSE = ArraySpec("encoded.dense", "dense", ("a", "b", "c"), 3)
INDEX = ArraySpec("encoded.index_0", "index", ("d",), 5)
WORDS = ArraySpec("encoded.set_1", "set", ("e",), 1025)
WAVE = ArraySpec("encoded.wave_2", "wave", ("f",), 12 * 20, (1, 12, 20), (0.4,), (0.3,))


def classes_of(num_classes, *specs, **state):
    classes = [f"class {i}" for i in range(num_classes)]
    common = {"type": "category", "column": "y", "classes": classes, "positive": 1, "counts": [1] * num_classes}
    return Problem(specs, category, {**common, **state})


def number_of(*specs, **state):
    common = {"type": "number", "column": "y", "center": 5.0, "scale": 2.0, "loss": "squared", "interval": 0.8}
    return Problem(specs, number, {**common, **state})


def numbers(num_rows, seed, noise=1.0):
    """Delays of a kind: linear in two units and an index, with noise that grows with the first unit."""
    generator = np.random.default_rng(seed)
    dense = generator.normal(size=(num_rows, 3)).astype(np.float32)
    index = generator.integers(0, 5, num_rows).astype(np.int32)
    spread = noise * (0.5 + 1.0 * (dense[:, 0] > 0))
    target = 5 + 2 * dense[:, 0] - dense[:, 1] + 0.5 * index + spread * generator.normal(size=num_rows)
    return {"encoded.dense": dense, "encoded.index_0": index, "target": target}


def predict(name, problem, arrays, rows, **options):
    """What the drawn graph gives for `rows`."""
    module = choose("models", name, "")
    weights = module.fit(arrays, problem, module.Options(**options), seed=3)
    return run(module.draw(weights, problem), {spec.name: rows[spec.name] for spec in problem.specs})["outputs"]


def chances_of(outputs):
    grown = np.exp(outputs - outputs.max(1, keepdims=True))
    return grown / grown.sum(1, keepdims=True)
