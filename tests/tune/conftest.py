"""A project with one pipeline whose features are made, and a search declared over its network's settings."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.core.arrays import ArraySpec
from stages.core.tensors import write_tensors

PARAMS = """\
# The contract of a shop. Every comment stays.
pipelines: {shop: {}}

shop: # who buys?
  fetch: {from: data/shop.csv}
  ingest: {format: csv}
  columns:
    a: {type: number}
    b: {type: number}
    buys: {type: category, required: true, values: ["yes", "no"]}
  clean: {}
  validate: {}
  examples: {target: {column: buys, positive: "yes"}, split: {by: hash}}
  features: {}
  train: {model: mlp, options: {hidden: [4], dropout: 0.4}, epochs: 6, batch_size: 64, threads: 1, seed: 3} # as it was
  evaluate: {metric: roc_auc}
  decide: {}
  compress: {}
  assay: {}
  package: {}
  tune: # stays, too
    ranges:
      learning_rate: {low: 0.0005, high: 0.1, log: true}
      options.dropout: [0.0, 0.2, 0.4]
      options.hidden: [[4], [16], [32, 16]]
    trials: 4
    seed: 5
"""


def ring(num_rows: int, seed: int) -> dict[str, np.ndarray]:
    """The distance from the middle decides, which 4 units with a small learning rate do not see."""
    generator = np.random.default_rng(seed)
    dense = generator.normal(size=(num_rows, 2)).astype(np.float32)
    target = ((dense**2).sum(1) > 1.4) ^ (generator.random(num_rows) < 0.05)
    return {"encoded.dense": dense, "target": target.astype(np.int64), "group": np.arange(num_rows)}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's root, which is the working directory; a test split lies beside the others as bait."""
    features = tmp_path / "data" / "features" / "shop"
    features.mkdir(parents=True)
    for name, rows in (("train", ring(600, 1)), ("validation", ring(400, 2)), ("test", ring(400, 3))):
        write_tensors(features / f"{name}.safetensors", rows)
    examples = tmp_path / "data" / "examples" / "shop"
    examples.mkdir(parents=True)
    (examples / "test.parquet").write_bytes(b"PAR1")
    spec = ArraySpec("encoded.dense", "dense", ("a", "b"), 2)
    state = {"type": "category", "column": "buys", "classes": ["no", "yes"], "positive": 1, "counts": [300, 300]}
    (features / "features.json").write_text(json.dumps({"specs": [spec.to_json()], "target": state}))
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def declare(shop: Path) -> Callable[..., Path]:
    """Replace texts of params.yaml."""

    def write(*changes: tuple[str, str]) -> Path:
        text = (shop / "params.yaml").read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (shop / "params.yaml").write_text(text)
        return shop

    return write
