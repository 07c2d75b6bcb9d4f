"""Models on Fashion-MNIST: `python -m benchmarks.fashion [--only NAME …] [--seeds N …] [--slow]`.

Each is fitted by the project's own code on `data/features/fashion` (`dvc repro features@fashion`), for a fixed
number of epochs. Recipes were chosen on validation; the test split is looked at here, after them. A finished run is
kept in data/benchmarks/fashion.json, and a killed one goes on from its checkpoint, so the table may be made in several
goes. `convnet` is what params.yaml declares.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.measure import ROOT, machine
from stages.contract import Contract, load
from stages.core.files import hash_json, read_json, sha256, write_json
from stages.core.problem import Problem
from stages.core.store import code_hash
from stages.core.tensors import read_tensors
from stages.features import read_split
from stages.training import Arrays, Fitted, Train, fit, options_of
from stages.training.features import arrays_of, fit_features, problem_of

PIPELINE = "fashion"
RUNS = ROOT / "data" / "benchmarks" / "fashion.json"
KERAS = {"patch": 1, "padding": "valid", "normalise": False, "pool_last": True, "grid": 28}
PLAIN = {"optimizer": "adam", "learning_rate": 0.001, "schedule": "constant", "batch_size": 128}
DECLARED: dict[str, dict[str, Any]] = {
    "linear": {"model": "linear", "options": {"max_iterations": 40}},
    "mlp 784-100-10, sigmoid, plain gradient descent": {
        "model": "mlp", "options": {"hidden": [100], "activation": "sigmoid", "dropout": 0.0}, "epochs": 30,
        "batch_size": 32, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant",
    },
    "Keras tutorial: conv32, pool, dense128, dropout": {
        "model": "convnet", "options": {**KERAS, "channels": [32], "hidden": [128], "dropout": 0.5}, "epochs": 10,
        **PLAIN,
    },
    "Keras tutorial: conv32, pool, conv64, pool, dense64": {
        "model": "convnet", "options": {**KERAS, "channels": [32, 64], "hidden": [64], "dropout": 0.0}, "epochs": 10,
        **PLAIN,
    },
    "transformer of 4×4 patches": {
        "model": "transformer", "options": {"width": 64, "depth": 3, "patch": 4, "read": "mean"}, "epochs": 12,
        "batch_size": 128, "learning_rate": 0.002, "weight_decay": 0.05, "prune": 0.7,
        "augment": {"image": {"flip": True}},
    },
}  # fmt: skip
SLOW: dict[str, dict[str, Any]] = {
    "resnet": {
        "model": "resnet",
        "options": {
            "channels": [16, 64, 128, 256], "blocks": 1, "grid": 4, "mirror": True, "jitter": 1, "dropout": 0.2,
        },
        "epochs": 60, "batch_size": 128, "learning_rate": 0.005, "weight_decay": 0.1, "warm_up": 0.15,
        "label_smoothing": 0.05, "prune": 0.7, "augment": {"image": {"flip": True, "shift": 2, "erase": 8}},
        "precision": "bfloat16", "threads": 2,
    },
}  # fmt: skip
CODE = ("training", "models", "targets")
ONE_SEED = ("linear",)  # it has no chance in it


def declared(contract: Contract, slow: bool) -> dict[str, Train]:
    """What the table holds, `convnet` as params.yaml has it."""
    found = {name: Train.model_validate({"threads": 1, "device": "cpu", **raw}) for name, raw in DECLARED.items()}
    found["convnet, as params.yaml declares it"] = contract.section("train", Train)
    if slow:
        found |= {name: Train.model_validate({"threads": 1, "device": "cpu", **raw}) for name, raw in SLOW.items()}
    return found


def read(contract: Contract) -> tuple[Problem, dict[str, Arrays]]:
    """The splits that training sees, and test, encoded by what the training rows taught."""
    features, examples = (ROOT / "data" / stage / PIPELINE for stage in ("features", "examples"))
    splits: dict[str, Arrays] = {
        name: read_tensors(features / f"{name}.safetensors") for name in ("train", "validation")
    }
    fitted = fit_features(read_split(examples / "train.parquet"), contract)
    splits["test"] = arrays_of(read_split(examples / "test.parquet"), fitted, contract)
    return problem_of(read_json(features / "features.json"), contract), splits


def kept() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(RUNS) if RUNS.exists() else []
    return found


def accuracy(fitted: Fitted, problem: Problem, arrays: Arrays) -> float:
    outputs = fitted.predict({spec.name: arrays[spec.name] for spec in problem.specs})
    return float((outputs.argmax(1) == arrays["target"]).mean())


def run(
    name: str, train: Train, seed: int, problem: Problem, splits: Mapping[str, Arrays], data: str
) -> dict[str, Any]:
    """One fit and its scores. Seconds are of this process alone: one that went on from a checkpoint tells too few."""
    _, options = options_of(train.model, train.options, PIPELINE)
    made_of = hash_json([name, train.model_dump(mode="json"), seed, data, *map(code_hash, CODE)])
    checkpoint = RUNS.with_name(f"fashion_{made_of[:32]}.safetensors")  # another recipe does not go on from it
    began, wall, goes_on = time.process_time(), time.monotonic(), checkpoint.exists()
    fitted = fit(
        train.model, options, problem, {name: splits[name] for name in ("train", "validation")},
        recipe=train.recipe.model_copy(update={"seed": seed}), checkpoint=checkpoint,
        report=lambda text: print(f"  {name}, seed {seed}: {text}", flush=True),
    )  # fmt: skip
    found = {"cpu_seconds": time.process_time() - began, "seconds": time.monotonic() - wall, "goes_on": goes_on}
    scores = {split: accuracy(fitted, problem, splits[split]) for split in ("validation", "test")}
    checkpoint.unlink(missing_ok=True)
    return {"name": name, "seed": seed, **scores, **found, "parameters": fitted.num_parameters, "machine": machine()}


def row(name: str, runs: list[dict[str, Any]]) -> str:
    tests, held = ([100 * run[split] for run in runs] for split in ("test", "validation"))
    spread = f" ± {statistics.stdev(tests):.2f}" if len(tests) > 1 else ""
    timed = [run for run in runs if not run["goes_on"]]
    cpu, wall = (
        f"{statistics.median(r[key] for r in timed):.0f}" if timed else "" for key in ("cpu_seconds", "seconds")
    )
    return (
        f"| {name} | {statistics.mean(tests):.2f}{spread} | {statistics.mean(held):.2f} | {len(runs)} "
        f"| {runs[0]['recipe'].get('threads', 1)} | {cpu} | {wall} "
        f"| {runs[0]['parameters']:,} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of names")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--slow", action="store_true", help="the resnet too: 75 minutes of processor time")
    given = parser.parse_args()
    contract = load(ROOT / "params.yaml", PIPELINE)
    problem, splits = read(contract)
    data = sha256(ROOT / "data" / "features" / PIPELINE / "train.safetensors")
    lines = []
    for name, train in declared(contract, given.slow).items():
        recipe = json.loads(train.model_dump_json(exclude={"seed"}, exclude_unset=True))
        mine = [run for run in kept() if (run["name"], run["recipe"], run["data"]) == (name, recipe, data)]
        wanted = not given.only or any(name.startswith(beginning) for beginning in given.only)
        seeds = given.seeds[:1] if train.model in ONE_SEED or name in SLOW else given.seeds
        for seed in sorted(set(seeds if wanted else []) - {run["seed"] for run in mine}):
            mine.append({**run(name, train, seed, problem, splits, data), "recipe": recipe, "data": data})
            write_json(RUNS, [*kept(), mine[-1]])
        if mine:
            lines.append(row(name, mine))
    print(f"\n{machine()}. Accuracy in percent, mean ± standard deviation over seeds.\n")
    print("| | test | validation | seeds | threads | CPU s | wall s | parameters |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
