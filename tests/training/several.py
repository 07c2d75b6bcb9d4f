"""Cases on the command line in; each trained by all of the processes that run this, and what came of it as JSON, out.

`several.py CASES.json OUT.json FOLDER`: checkpoints lie in FOLDER, one is written after every batch. A case may ask for
a process to be killed, as SIGKILL does, when it comes to a step for the first time.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import onnx
import torch

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.targets import category
from stages.training import Recipe, launch, loop, processes

SPECS = (
    ArraySpec("encoded.dense", "dense", ("a", "b", "c"), 3),
    ArraySpec("encoded.index_0", "index", ("d",), 5),
    ArraySpec("encoded.image_1", "image", ("f",), 9 * 7, (1, 9, 7), (0.4,), (0.3,)),
)
STATE = {
    "type": "category", "column": "y", "classes": ["x", "y", "z"], "positive": 1, "counts": [1] * 3,
    "class_weight": [1.0, 3.0, 0.5],
}  # fmt: skip
RECIPE = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "device": "cpu", "seed": 3}


def rows(num_rows: int, seed: int) -> dict[str, np.ndarray]:
    """With weights, some of them 0."""
    draw = np.random.default_rng(seed)
    target = draw.integers(0, 3, num_rows)
    return {
        "encoded.dense": (draw.normal(size=(num_rows, 3)) + target[:, None] * [0.8, 0, -0.5]).astype(np.float32),
        "encoded.index_0": (target + draw.integers(0, 3, num_rows)).clip(0, 4).astype(np.int32),
        "encoded.image_1": draw.integers(0, 200, (num_rows, 1, 9, 7)).astype(np.uint8),
        "target": target,
        "weight": draw.integers(0, 4, num_rows).astype(np.float32),
    }


def train(case: dict, checkpoint: Path | None) -> dict:
    """61 rows: the last batch is short, and cannot be shared evenly."""
    splits = {"train": rows(61, 1), "validation": rows(40, 2)}
    if not case.get("weights"):
        splits = {name: {key: array[key] for key in array if key != "weight"} for name, array in splits.items()}
    model = choose("models", case["model"], "")
    fitted = loop.train(
        case["model"], model.build, model.Options(**case["options"]), Problem(SPECS, category, STATE), splits,
        recipe=Recipe(**{**RECIPE, **case["recipe"]}), checkpoint=checkpoint,
    )  # fmt: skip
    weights = {name: array.astype(np.float64).ravel().tolist() for name, array in fitted.weights.items()}
    return {"history": fitted.history, "best_epoch": fitted.best_epoch, "weights": weights}


def held(shard: bool) -> int:
    """How many of a network's 90 weights this process holds."""
    network = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Linear(6, 6, bias=False))[:2]
    processes.spread(network, processes.world(), torch.device("cpu"), shard=shard)
    parts = (getattr(weight, "to_local", lambda weight=weight: weight)() for weight in network.parameters())
    return sum(part.numel() for part in parts)


def kill_once(rank: int, step: int, folder: Path) -> None:
    """End this process when it has made so many steps, unless that was done before."""
    gradient, left, done = loop.gradient, iter(range(step)), folder / "killed"

    def gradient_or_death(*arguments):
        if next(left, None) is None and processes.world().rank == rank and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return gradient(*arguments)

    loop.gradient = gradient_or_death


def main() -> None:
    cases, out, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), Path(sys.argv[3])
    loop.CHECKPOINT_SECONDS = -1.0
    loop.export = lambda network, specs, sample: onnx.ModelProto()
    launch.die_with_parent(launch.rank())
    found, alone = {}, {}
    if launch.rank() is not None:
        processes.join(torch.device("cpu"))
        for name, case in cases.items():
            if "kill" in case:
                kill_once(*case["kill"], folder)
            found[name] = train(case, folder / f"{name}.safetensors")
        found["held"] = {"copies": held(False), "shards": held(True)}
        leads = processes.world().leads
        processes.leave()
        if not leads:
            return
    for name, case in cases.items():
        if case.get("alone", True):
            alone[name] = train(case, None)
    out.write_text(json.dumps({"together": found, "alone": alone}))


if __name__ == "__main__":
    main()
