"""A built `features` folder and a params.yaml of one small table: what `stages.train` needs, without a project."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.arrays import ArraySpec
from stages.core.tensors import write_tensors

PARAMS = """
shop:
  columns:
    units: {type: number, required: true}
    price: {type: number, required: true}
    country: {type: category, required: true}
    again: {type: category, required: true, values: ["no", "yes"]}
  examples: {target: {column: again, positive: "yes"}}
  train: TRAIN
"""
SPECS = (
    ArraySpec("encoded.dense", "dense", ("units", "price"), 2),
    ArraySpec("encoded.index_0", "index", ("country",), 5),
)


def write_features(folder: Path, train: dict[str, Any], num_rows: int = 400) -> list[str]:
    """Write the inputs of `stages.train`; returns its arguments but for `--out`."""
    (folder / "params.yaml").write_text(PARAMS.replace("TRAIN", json.dumps(train)))
    for seed, name in enumerate(("train", "validation")):
        draw = np.random.default_rng(seed)
        target = draw.integers(0, 2, num_rows)
        arrays = {
            "encoded.dense": (draw.normal(size=(num_rows, 2)) + target[:, None]).astype(np.float32),
            "encoded.index_0": draw.integers(0, 5, num_rows).astype(np.int32),
            "target": target.astype(np.int64),
            "group": np.arange(num_rows),
        }
        write_tensors(folder / f"{name}.safetensors", arrays)
    state = {"type": "category", "column": "again", "classes": ["no", "yes"], "positive": 1, "counts": [200, 200]}
    features = {"specs": [spec.to_json() for spec in SPECS], "target": state}
    (folder / "features.json").write_text(json.dumps(features))
    names = {"train": "train.safetensors", "validation": "validation.safetensors", "features": "features.json"}
    inputs = [word for name, path in names.items() for word in (f"--{name}", str(folder / path))]
    return ["--pipeline", "shop", *inputs, "--params", str(folder / "params.yaml"), "--status", str(folder / "run")]


@pytest.fixture
def features(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes them into `tmp_path`."""
    return lambda train: write_features(tmp_path, train)
