"""Encoded training rows and a recipe in; the loss at rising learning rates, as a table and a plot, out.

`python -m stages.training.find_rate --pipeline P`, a tool beside the stages: it changes nothing. From the declared
start, each step takes a rate a little higher than the last (Smith 2017, "Cyclical learning rates"); the loss falls
while the rate is useful, and blows up where it is too high.
"""

import argparse
import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stages.contract import load
from stages.core import cli
from stages.core.errors import ContractError, IngotError, TrainingError
from stages.core.files import read_json, write_text
from stages.core.problem import Problem
from stages.core.tensors import read_tensors
from stages.training import Arrays, Recipe, Train, options_of
from stages.training.auto import declared
from stages.training.features import problem_of

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 140  # twenty steps for each factor of ten
SMOOTHING = 0.9
BLOWN_UP = 4.0  # times the least loss: higher rates would say no more
SAFETY = 0.1  # of the rate with the least loss, which is at the edge already

Curve = list[tuple[float, float]]  # learning rates and smoothed losses


def search(build: Any, options: Any, problem: Problem, arrays: Arrays, recipe: Recipe) -> Curve:
    """One run of at most 140 steps, each at a higher rate; as many epochs as that takes.

    Raises TrainingError where not even the first step has a loss.
    """
    from stages.training.augmentation import augment_of
    from stages.training.batches import batches, rows_of
    from stages.training.devices import choose_device, set_up
    from stages.training.loop import seed_of, start
    from stages.training.recipe import memory_limit
    from stages.training.step import gradient, learner_of, step, teaches

    device = choose_device(recipe.device)
    set_up(recipe.threads, device)
    rows = rows_of(arrays, problem.specs, device, memory_limit(recipe))
    run = start(build, options, problem, recipe, device)
    run.network.train()
    learner = learner_of(run.network, problem, recipe, augment_of(recipe.augment, problem.specs), device, steps=STEPS)
    epochs = (batches(rows, problem.specs, recipe.batch_size, seed=seed_of(recipe.seed, i)) for i in range(STEPS))
    curve: Curve = []
    mean = 0.0
    usable = (batch for batch in chain.from_iterable(epochs) if teaches(learner, batch, len(rows)))
    for number, batch in zip(range(STEPS), usable, strict=False):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
        loss = float(gradient(learner, batch, run.generator))
        step(learner, run.optimizers, rate)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING ** (number + 1))
        if not math.isfinite(smooth) or (curve and smooth > BLOWN_UP * min(loss for _, loss in curve)):
            break
        curve.append((rate, smooth))
    if not curve:
        raise TrainingError(
            f"at the lowest rate ({LOWEST}) no batch had a loss that is a number. Look for extreme values in the "
            "inputs, and for weights that are all 0."
        )
    return curve


def suggestion(curve: Curve) -> float:
    """A tenth of the rate with the least loss, two digits."""
    rate, _ = min(curve, key=lambda point: point[1])
    return float(f"{SAFETY * rate:.2g}")


def table(curve: Curve) -> str:
    """Two rates for each factor of ten."""
    lines = [f"{rate:>12.2g}  {loss:.4f}" for rate, loss in curve[::10]]
    return "\n".join(["learning rate  loss", *lines])


def plot(curve: Curve, title: str) -> str:
    """A self-contained SVG: loss over the logarithm of the rate."""
    width, height, edge = 640, 400, 48
    across = np.log10([rate for rate, _ in curve])
    losses = np.array([loss for _, loss in curve])
    low, high = float(losses.min()), float(max(losses.max(), losses.min() + 1e-9))
    left, right = math.floor(across.min()), math.ceil(across.max() + 1e-9)
    x = edge + (across - left) / (right - left) * (width - 2 * edge)
    y = height - edge - (losses - low) / (high - low) * (height - 2 * edge)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    marks = [
        f'<text x="{edge + (power - left) / (right - left) * (width - 2 * edge):.0f}" y="{height - 20}" '
        f'text-anchor="middle">1e{power}</text>'
        for power in range(left, right + 1)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            'font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="{edge}" y="24">{title}: loss at rising learning rates</text>',
            f'<text x="8" y="{edge + 4}">{high:.3g}</text><text x="8" y="{height - edge + 4}">{low:.3g}</text>',
            *marks,
            f'<polyline points="{points}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
            "</svg>",
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.training.find_rate", description=__doc__)
    parser.add_argument("--pipeline", required=True, help="a section of params.yaml, built up to `features`")
    parser.add_argument("--features", type=Path, help="default: data/features/<pipeline>")
    parser.add_argument("--out", type=Path, help="the plot; default: data/.run/<pipeline>.rates.svg")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--status", type=Path, default=Path("data/.run"))
    arguments = parser.parse_args(argv)
    pipeline = arguments.pipeline
    with cli.reporting("find_rate", pipeline, arguments.status / f"{pipeline}.find_rate.json") as told:
        contract = told.contract = load(arguments.params, pipeline)
        section = declared(contract)
        if not isinstance(section, Train):
            raise ContractError(f"{pipeline}.train.model is auto; name one model to seek a rate for")
        module, options = options_of(section.model, section.options, f"{pipeline}.train")
        if not hasattr(module, "build"):
            raise ContractError(f"{pipeline}.train.model is {section.model!r}, which is not fitted by a learning rate")
        folder = arguments.features or Path("data/features") / pipeline
        if not (folder / "features.json").exists():
            raise IngotError(f"{folder / 'features.json'} does not exist. Run `dvc repro features@{pipeline}` first.")
        problem = problem_of(read_json(folder / "features.json"), contract)
        curve = search(module.build, options, problem, read_tensors(folder / "train.safetensors"), section.recipe)
        out = arguments.out or arguments.status / f"{pipeline}.rates.svg"
        write_text(out, plot(curve, f"{pipeline}, {section.model}"))
        print(f"{table(curve)}\nplot: {out}")
        print(f"try train.learning_rate: {suggestion(curve)} (now {section.learning_rate})")


if __name__ == "__main__":
    main()
