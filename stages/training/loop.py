"""A torch module and arrays in, its trained weights and its ONNX graph out: the one loop.

Arrays lie on the device as the small integers that they are, and batches are taken by indexing.
Shapes: N rows, B rows of a batch.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.core.errors import TrainingError
from stages.core.problem import Problem
from stages.training import Arrays, Fitted, Recipe
from stages.training.augment import augment
from stages.training.checkpoint import load_checkpoint, save_checkpoint
from stages.training.export import export

WARM_UP_SHARE = 0.25
FINAL_RATE_SHARE = 0.001
CHECKPOINT_SECONDS = 5.0
KEPT_BYTES = 31 * 2**20  # glibc learns from blocks below 32 MiB


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one. Raises TrainingError where a named device is absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("train.device is cuda, and torch sees no GPU here. Use device: auto, or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def to_device(arrays: Arrays, names: list[str], device: torch.device) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])).to(device) for name in names}


def take(tensors: Mapping[str, Tensor], specs: tuple[ArraySpec, ...], rows_B: Tensor) -> list[Tensor]:
    """One batch, in the order of the specs. Sets and tokens are cut to the longest of the batch."""
    batch = []
    for spec in specs:
        array = tensors[spec.name][rows_B]
        if spec.kind in ("set", "tokens"):
            longest = int((array > 0).sum(1).max()) if len(array) else 1
            array = trim(array, longest)
        batch.append(array)
    return batch


def trim(ids_BW: Tensor, longest: int) -> Tensor:
    """Drop columns of padding; words and pairs interleave, so a live id may stand one place later."""
    return ids_BW[:, : max(longest + 1, 1)]


def rate_at(progress: float, recipe: Recipe) -> float:
    """Learning rate at `progress` 0 … 1 of the run; one-cycle as Smith & Topin (2018), linear up, cosine down."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if progress < WARM_UP_SHARE:
        return recipe.learning_rate * (0.04 + 0.96 * progress / WARM_UP_SHARE)
    down = (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
    return recipe.learning_rate * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * 0.5 * (1 + float(np.cos(np.pi * down))))


def set_up(threads: int) -> None:
    """Make torch deterministic, and spare it two costs: filling new memory, and getting it anew each batch."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # no kernel used here reads what it did not write
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.empty(KEPT_BYTES, dtype=torch.uint8)  # freed at once: from then on glibc keeps what is freed


@dataclass
class Run:
    """Everything that changes while training: what a checkpoint holds."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    best: dict[str, Tensor]
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    history: list[dict[str, float]] = field(default_factory=list)


def start(build: Callable[..., nn.Module], options: Any, problem: Problem, recipe: Recipe, device: torch.device) -> Run:
    torch.manual_seed(recipe.seed)
    network = build(problem, options).to(device)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]  # biases and norms are not shrunk
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    return Run(network, optimizer, generator, best=copy_of(network))


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def train(
    name: str,
    build: Callable[..., nn.Module],
    options: Any,
    problem: Problem,
    splits: Mapping[str, Arrays],
    *,
    recipe: Recipe,
    checkpoint: Path | None,
    report: Callable[[str], None] | None,
) -> Fitted:
    """Train for `recipe.epochs`, keep the weights of the best epoch where patience is declared.

    With a `checkpoint` path a killed run goes on where it was, to the same weights.
    Raises TrainingError when the loss is no longer a number.
    """
    set_up(recipe.threads)
    device = choose_device(recipe.device)
    names = [spec.name for spec in problem.specs] + ["target", "weight"]
    tensors = {
        split: to_device(arrays, [name for name in names if name in arrays], device) for split, arrays in splits.items()
    }
    run = start(build, options, problem, recipe, device)
    if checkpoint is not None:
        load_checkpoint(checkpoint, run)
    clock, first_epoch, saved = time.monotonic(), run.epoch, time.monotonic()
    while run.epoch < recipe.epochs and not exhausted(run, recipe):
        loss = train_epoch(run, tensors["train"], problem, recipe)
        note_epoch(run, loss, tensors.get("validation"), problem, recipe)
        if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
            save_checkpoint(checkpoint, run)
            saved = time.monotonic()
        if report is not None:
            report(describe(run, recipe, len(tensors["train"]["target"]), time.monotonic() - clock, first_epoch))
    run.network.load_state_dict(run.best)
    run.network.eval().cpu()
    weights = {key: tensor.numpy() for key, tensor in run.network.state_dict().items()}
    sample = {spec.name: splits["train"][spec.name][:4] for spec in problem.specs}
    draw = partial(export, run.network, problem.specs, sample)
    return Fitted(name, draw, partial(outputs_of, run.network, problem.specs), weights, run.history, run.best_epoch)


def exhausted(run: Run, recipe: Recipe) -> bool:
    return recipe.patience is not None and run.epoch - run.best_epoch >= recipe.patience


def train_epoch(run: Run, tensors: Mapping[str, Tensor], problem: Problem, recipe: Recipe) -> float:
    """One pass over the training rows in a new order; returns the mean loss."""
    num_rows = len(tensors["target"])
    order = torch.randperm(num_rows, generator=run.generator).to(tensors["target"].device)
    num_batches = -(-num_rows // recipe.batch_size)
    total = torch.zeros((), device=order.device)
    run.network.train()
    for number, rows_B in enumerate(torch.split(order, recipe.batch_size)):
        if len(rows_B) < 2 and num_rows > 1:
            continue  # batch normalisation has no spread over one row
        for group in run.optimizer.param_groups:
            group["lr"] = rate_at((run.epoch + number / num_batches) / recipe.epochs, recipe)
        batch = augment(take(tensors, problem.specs, rows_B), problem.specs, recipe, run.generator)
        weight_B = tensors["weight"][rows_B] if "weight" in tensors else None
        loss = problem.target.loss(
            problem.state, run.network(*batch), tensors["target"][rows_B], weight_B,
            label_smoothing=recipe.label_smoothing,
        )  # fmt: skip
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.optimizer.step()
        total += loss.detach() * len(rows_B)
    mean = float(total) / num_rows
    if not np.isfinite(mean):
        raise TrainingError(
            f"the loss became {mean} in epoch {run.epoch + 1}. Lower train.learning_rate (now "
            f"{recipe.learning_rate}), or look for extreme values in the inputs."
        )
    return mean


def note_epoch(
    run: Run, train_loss: float, validation: Mapping[str, Tensor] | None, problem: Problem, recipe: Recipe
) -> None:
    """Count the epoch, write its line of history, and keep its weights if they are to be kept."""
    run.epoch += 1
    line = {"epoch": run.epoch, "train_loss": train_loss}
    if validation is not None:
        outputs = torch.cat(list(predict(run.network, validation, problem.specs)))
        weight_N = validation.get("weight")
        line["validation_loss"] = float(problem.target.loss(problem.state, outputs, validation["target"], weight_N))
    run.history.append(line)
    watched = line.get("validation_loss", train_loss)
    if recipe.patience is None or watched < run.best_loss:
        run.best_loss, run.best_epoch, run.best = watched, run.epoch, copy_of(run.network)


def predict(
    network: nn.Module, tensors: Mapping[str, Tensor], specs: tuple[ArraySpec, ...], batch_size: int = 1024
) -> Iterator[Tensor]:
    """Outputs [B, C] of each batch, without gradients."""
    network.eval()
    num_rows = len(tensors[specs[0].name])
    with torch.no_grad():
        for rows_B in torch.split(torch.arange(num_rows, device=tensors[specs[0].name].device), batch_size):
            yield network(*take(tensors, specs, rows_B))


def outputs_of(network: nn.Module, specs: tuple[ArraySpec, ...], arrays: Arrays) -> np.ndarray:
    """float32 [N, C]"""
    tensors = to_device(arrays, [spec.name for spec in specs], torch.device("cpu"))
    return np.concatenate([batch.numpy() for batch in predict(network, tensors, specs)])


def describe(run: Run, recipe: Recipe, num_rows: int, seconds: float, first_epoch: int) -> str:
    """A line of progress: losses, speed, and the time left at this speed."""
    done = run.epoch - first_epoch
    losses = ", ".join(
        f"{key.replace('_', ' ')} {value:.4f}" for key, value in run.history[-1].items() if key != "epoch"
    )
    speed = done * num_rows / max(seconds, 1e-9)
    left = seconds / done * (recipe.epochs - run.epoch)
    return f"epoch {run.epoch} of {recipe.epochs}: {losses}; {speed:,.0f} rows/s, {left:.0f} s left"
