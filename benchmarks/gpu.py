"""The one loop on a GPU beside a hand-written one, as Markdown: `python -m benchmarks.gpu`.

Needs torch 2.11 or newer, numpy, pyarrow and safetensors, and nothing else of what this project installs. Both loops
train the same network from the same start, on the same made-up rows in the device's memory, with the same fused
AdamW, precision, compiler and memory layout; the hand-written one is the least that learns. Rounds of a few seconds
take turns, in an order that changes. FLOPs are those of the network's products, forwards and backwards, counted once.
"""

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.bare import stand_in

stand_in()  # before anything of ours is imported

from benchmarks.devices import Peak, ceiling, clocks, peak_of, settle  # noqa: E402
from benchmarks.measure import machine, ratio  # noqa: E402
from stages.core.arrays import ArraySpec  # noqa: E402
from stages.core.problem import Problem  # noqa: E402
from stages.models import resnet, transformer  # noqa: E402
from stages.targets import category  # noqa: E402
from stages.training import Arrays, Recipe  # noqa: E402
from stages.training.batches import rows_of  # noqa: E402
from stages.training.devices import channels_last, set_up  # noqa: E402
from stages.training.loop import note_epoch, pulse_of, start, train_epoch  # noqa: E402
from stages.training.step import learner_of  # noqa: E402

ENDLESS = 10**6  # epochs: a schedule that stays where it is
COUNTED_ROWS = 8
Epoch = Callable[[], None]


@dataclass(frozen=True)
class Task:
    """A network, and `num_rows` made-up rows of what it learns from."""

    title: str
    module: Any
    options: dict[str, Any]
    spec: ArraySpec
    num_rows: int
    batch_size: int
    classes: int = 10

    @property
    def problem(self) -> Problem:
        names = [f"class {i}" for i in range(self.classes)]
        state = {"type": "category", "column": "y", "classes": names, "positive": 1, "counts": [1] * self.classes}
        return Problem((self.spec,), category, state)

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        network: nn.Module = self.module.build(self.problem, self.module.Options(**self.options))
        return network

    def rows(self) -> Arrays:
        draw = np.random.default_rng(0)
        if self.spec.kind == "image":
            values = draw.integers(0, 256, (self.num_rows, *self.spec.shape)).astype(np.uint8)
        else:
            values = draw.integers(2, self.spec.size, (self.num_rows, self.options["max_length"])).astype(np.int32)
        return {self.spec.name: values, "target": draw.integers(0, self.classes, self.num_rows)}


def tasks(small: bool) -> list[Task]:
    image = ArraySpec("encoded.image_0", "image", ("image",), 784, (1, 28, 28), (0.286,), (0.353,))
    tokens = ArraySpec("encoded.tokens_0", "tokens", ("text",), 30_000)
    deep = {"width": 768, "depth": 12, "heads": 12, "expand": 4, "dropout": 0.0, "max_length": 256}
    wide = {"channels": [64, 128, 256], "blocks": 1, "patch": 2, "grid": 4, "dropout": 0.2}  # as benchmarks/fashion.py
    found = [
        Task("resnet on pictures of fashion's shape", resnet, wide, image, 61_440, 512),
        Task("transformer on 256 words", transformer, deep, tokens, 2048, 64),
    ]
    if not small:
        return found
    shallow = {**deep, "width": 32, "depth": 2, "heads": 4, "max_length": 16}
    return [
        replace(
            found[0], title="a small resnet", num_rows=64, batch_size=16, options={"channels": [8, 16], "blocks": 1}
        ),
        replace(
            found[1],
            title="a small transformer",
            num_rows=64,
            batch_size=16,
            options=shallow,
            spec=replace(tokens, size=100),
        ),
    ]


class Variant(NamedTuple):
    precision: str
    compiled: bool

    @property
    def dtype(self) -> torch.dtype | None:
        return torch.bfloat16 if self.precision == "bfloat16" else None


def our_epoch(task: Task, rows: Arrays, variant: Variant, device: torch.device) -> Epoch:
    """An epoch of the loop that `train` runs, to the line of history; without reports and checkpoints."""
    recipe = Recipe(
        epochs=ENDLESS, batch_size=task.batch_size, learning_rate=1e-4, schedule="constant", weight_decay=0.01,
        device=device.type, precision=variant.precision, compile=variant.compiled,
    )  # fmt: skip
    found = rows_of(rows, task.problem.specs, device, sys.maxsize)
    run = start(lambda problem, options: task.build(), None, task.problem, recipe, device)
    learner = learner_of(run.network, task.problem, recipe, {}, device, steps=ENDLESS)
    pulse = pulse_of(run, recipe, task.num_rows, None, None)

    def epoch() -> None:
        train_epoch(run, learner, found, pulse)
        note_epoch(run, learner, None)

    return epoch


def epoch_by_hand(task: Task, rows: Arrays, variant: Variant, device: torch.device) -> Epoch:
    """The least that learns: a random order, batches by indexing, forwards, backwards, a step."""
    network = task.build().to(device)
    if device.type == "cuda" and task.spec.kind == "image":
        channels_last(network)
    inputs, truth = (torch.from_numpy(rows[name]).to(device) for name in (task.spec.name, "target"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    called = torch.compile(network) if variant.compiled else network
    loss_of = nn.CrossEntropyLoss()
    network.train()

    def epoch() -> None:
        for rows_B in torch.randperm(task.num_rows, device=device).split(task.batch_size):
            with torch.autocast(device.type, variant.dtype, enabled=variant.dtype is not None):
                outputs_BC = called(inputs[rows_B])
            loss = loss_of(outputs_BC.float(), truth[rows_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def flops_a_row(task: Task, rows: Arrays, device: torch.device) -> float:
    """Of one step, forwards and backwards; attention as plain products, whatever kernel computes it."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    network = task.build().to(device)
    inputs, truth = (torch.from_numpy(rows[name][:COUNTED_ROWS]).to(device) for name in (task.spec.name, "target"))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(network(inputs), truth).backward()
    return counter.get_total_flops() / COUNTED_ROWS


def in_turn(epochs: dict[str, Epoch], device: torch.device, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds an epoch of each, by round: as many epochs a round as fill `seconds`."""
    for epoch in epochs.values():
        timed(epoch, 2, device)  # compiles, picks kernels and fills the allocator
    repeats = max(1, round(seconds / timed(epochs["by hand"], 1, device)))
    found: dict[str, list[float]] = {name: [] for name in epochs}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(epochs), len(epochs)):
            found[name].append(timed(epochs[name], repeats, device) / repeats)
    return found


def timed(epoch: Epoch, repeats: int, device: torch.device) -> float:
    settle(device)
    begun = time.perf_counter()
    for _ in range(repeats):
        epoch()
    settle(device)
    return time.perf_counter() - begun


def line(task: Task, variant: Variant, arguments: argparse.Namespace, peak: Peak | None) -> str:
    """One row of the table, or why there is none."""
    device, rows = torch.device(arguments.device), task.rows()
    words = f"| {variant.precision} | {'compiled' if variant.compiled else 'eager'} |"
    try:
        flops = flops_a_row(task, rows, device)
        epochs = {
            "the loop": our_epoch(task, rows, variant, device),
            "by hand": epoch_by_hand(task, rows, variant, device),
        }
        times = in_turn(epochs, device, arguments.rounds, arguments.seconds)
    except (RuntimeError, ImportError) as error:  # memory, or a compiler that is not there
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
        return f"{words} not measured: {reason} |"
    ours, hand = (task.num_rows / statistics.median(times[name]) for name in ("the loop", "by hand"))
    spread = max(times["the loop"]) / min(times["the loop"])
    best = None if peak is None else getattr(peak, variant.precision)
    rate = ours * flops / 1e12
    share = "unknown" if best is None else f"{rate / best:.1%}"
    return (
        f"{words} {ours:,.0f} | {hand:,.0f} | {ratio(times['the loop'], times['by hand'])} | {spread:.2f} "
        f"| {rate:,.3g} | {share} |"
    )


def variants(eager: bool) -> Iterator[Variant]:
    for precision in ("float32", "bfloat16"):
        yield Variant(precision, False)
        if not eager:
            yield Variant(precision, True)


def report(arguments: argparse.Namespace) -> None:
    device = torch.device(arguments.device)
    set_up(1, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = Peak(*arguments.peak_tflops) if arguments.peak_tflops else peak_of(name)
    print(f"## The loop on {name}\n\ntorch {torch.__version__}, CUDA {torch.version.cuda}; host {machine()}.")
    known = "" if peak is None else f"{peak.bfloat16} TFLOP/s in bfloat16, {peak.float32} in float32"
    print(f"Peak, dense: {known or 'unknown; give --peak-tflops'}.")
    side = 256 if arguments.small else 8192
    for dtype in (torch.bfloat16, torch.float32):
        reached = ceiling(device, dtype, side)
        print(f"A product of {side}² {str(dtype).removeprefix('torch.')} numbers reaches {reached:,.3g} TFLOP/s.")
    for task in tasks(arguments.small):
        parameters = sum(parameter.numel() for parameter in task.build().parameters())
        print(f"\n### {task.title}: {parameters:,} parameters, batches of {task.batch_size}\n")
        print("| precision | | loop, rows/s | by hand, rows/s | time, loop / by hand | max / min | TFLOP/s | of peak |")
        print("|---|---|---:|---:|---:|---:|---:|---:|")
        for variant in variants(arguments.eager):
            print(line(task, variant, arguments, peak), flush=True)
            gc.collect()
            torch.compiler.reset()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    print(
        f"\nMedians of {arguments.rounds} rounds of at least {arguments.seconds} s, in turn; ratios of medians with "
        f"95% bootstrap intervals, paired by round; {clocks() if device.type == 'cuda' else 'smoke run'}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny networks: whether it runs, not how fast")
    parser.add_argument("--eager", action="store_true", help="leave out what torch.compile makes")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument(
        "--peak-tflops", type=float, nargs=2, metavar=("BFLOAT16", "FLOAT32"), help="of a device unknown here"
    )
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("not measured: torch sees no GPU here")
        return
    report(arguments)


if __name__ == "__main__":
    main()
