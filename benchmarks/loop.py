"""The one loop beside a hand-written one, of the same net and batch, in turn: `python -m benchmarks.loop`.

Both learn from the same made-up rows, with the same fused AdamW and one thread, and validate after each epoch. The
hand-written loop is the least that does so: tensors in memory, a random order, batches by indexing, a fixed
learning rate; it neither reports, checks its loss, schedules nor checkpoints, all of which the loop does here, with a
checkpoint every five seconds. Rounds take turns in one process, in an order that changes. Speed does not depend on
what the pictures show.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.measure import machine, ratio
from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.targets import category
from stages.training import Arrays, Recipe, loop
from stages.training.devices import set_up

Splits = dict[str, Arrays]


def pictures() -> tuple[str, dict[str, object], Problem, Splits, Recipe]:
    """Of the shape of Fashion-MNIST: uint8 [N, 1, 28, 28], ten classes."""
    spec = ArraySpec("encoded.image_0", "image", ("image",), 784, (1, 28, 28), (0.286,), (0.353,))
    splits = splits_of(spec, 3200, 10)
    recipe = Recipe(epochs=2, batch_size=128, learning_rate=0.01, weight_decay=0.1, device="cpu")
    return "convnet", {"channels": [16, 32, 48]}, problem_of(spec, 10), splits, recipe


def table() -> tuple[str, dict[str, object], Problem, Splits, Recipe]:
    """Thirty numbers a row, two classes: so small a net that a step is mostly Python."""
    spec = ArraySpec("encoded.dense", "dense", tuple(f"c{i}" for i in range(30)), 30)
    splits = splits_of(spec, 25_600, 2)
    recipe = Recipe(epochs=3, batch_size=256, learning_rate=0.002, weight_decay=0.1, device="cpu")
    return "mlp", {"hidden": [64, 32], "dropout": 0.1}, problem_of(spec, 2), splits, recipe


def splits_of(spec: ArraySpec, num_rows: int, classes: int) -> Splits:
    return {
        "train": rows(spec, num_rows, classes, 0),
        "validation": rows(spec, num_rows // 10, classes, 1),
    }


def rows(spec: ArraySpec, num: int, classes: int, seed: int) -> Arrays:
    draw = np.random.default_rng(seed)
    values = (
        draw.integers(0, 256, (num, *spec.shape)).astype(np.uint8)
        if spec.kind == "image"
        else draw.normal(size=(num, spec.size)).astype(np.float32)
    )
    return {spec.name: values, "target": draw.integers(0, classes, num)}


def problem_of(spec: ArraySpec, classes: int) -> Problem:
    names = [f"class {i}" for i in range(classes)]
    state = {"type": "category", "column": "y", "classes": names, "positive": 1, "counts": [1] * classes}
    return Problem((spec,), category, state)


def by_hand(network: nn.Module, splits: Splits, name: str, recipe: Recipe) -> float:
    """The least loop that learns and validates; returns the last validation loss."""
    inputs, truth = torch.from_numpy(splits["train"][name]), torch.from_numpy(splits["train"]["target"])
    held_inputs, held_truth = (torch.from_numpy(splits["validation"][key]) for key in (name, "target"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.decay, fused=True)
    loss_of = nn.CrossEntropyLoss()
    held = 0.0
    for _ in range(recipe.epochs):
        network.train()
        for rows_B in torch.randperm(len(truth)).split(recipe.batch_size):
            loss = loss_of(network(inputs[rows_B]), truth[rows_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            outputs = torch.cat([network(part) for part in held_inputs.split(1024)])
            held = float(loss_of(outputs, held_truth))
    return held


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Of the clock, and of the processor: with one thread the same, but where others use the machine too."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - processor


def measure(make: Callable[[], tuple[str, dict[str, object], Problem, Splits, Recipe]], rounds: int) -> None:
    model, raw, problem, splits, recipe = make()
    module = choose("models", model, "")
    options, name = module.Options(**raw), problem.specs[0].name
    set_up(1, torch.device("cpu"))

    def ours() -> object:
        with tempfile.TemporaryDirectory() as folder:
            return loop.train(
                model, module.build, options, problem, splits, recipe=recipe,
                checkpoint=Path(folder) / "run.safetensors", report=lambda text: None,
            )  # fmt: skip

    contenders = {
        "the loop": ours,
        "by hand": lambda: by_hand(module.build(problem, options), splits, name, recipe),
    }
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in contenders}
    order = random.Random(0)
    for number in range(rounds + 1):
        for key in order.sample(list(contenders), len(contenders)):
            taken = seconds(contenders[key])
            if number:  # the first round fills the caches
                times[key].append(taken)
    show(model, recipe, times, recipe.epochs * len(splits["train"]["target"]))


def show(model: str, recipe: Recipe, times: Mapping[str, Sequence[tuple[float, float]]], num_rows: int) -> None:
    rounds = len(times["the loop"])
    print(f"\n### {model}, batches of {recipe.batch_size}, {rounds} rounds of {num_rows:,} rows\n")
    print("| | median s | min … max s | median processor s | rows a second |\n|---|---:|---:|---:|---:|")
    for key, found in times.items():
        clock, processor = zip(*found, strict=True)
        middle = statistics.median(clock)
        print(
            f"| {key} | {middle:.3f} | {min(clock):.3f} … {max(clock):.3f} | {statistics.median(processor):.3f} "
            f"| {num_rows / middle:,.0f} |"
        )
    for place, name in enumerate(("the clock", "the processor")):
        ours, theirs = ([found[place] for found in times[key]] for key in ("the loop", "by hand"))
        print(f"\nthe loop / by hand by {name}: {ratio(ours, theirs)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41)
    arguments = parser.parse_args()
    print(machine(), f"torch {torch.__version__}, one thread")
    for make in (pictures, table):
        measure(make, arguments.rounds)


if __name__ == "__main__":
    main()
