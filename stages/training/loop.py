"""A torch module and arrays in, its trained weights and its ONNX graph out: the one loop.

Only the process of rank 0 reports and writes. Shapes: N rows, B rows of a batch, C outputs.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.core.errors import TrainingError
from stages.core.problem import Problem
from stages.training import Arrays, Fitted, Watch
from stages.training.augmentation import augment_of
from stages.training.batches import Rows, batches, in_turn, rows_of
from stages.training.checkpoint import load_checkpoint, save_checkpoint
from stages.training.devices import channels_last, choose_device, set_up, short_type, shortened
from stages.training.export import export
from stages.training.live import Pulse, describe, score_of
from stages.training.optimise import optimisers, plateau_factor, rate_at
from stages.training.processes import ALONE, World, agreed, bounds, gathered, require_same, spread, whole, world
from stages.training.prune import prunes, shares_of, unknown_losses
from stages.training.recipe import Recipe, memory_limit
from stages.training.run import Run, require_sound
from stages.training.step import Learner, follow, gradient, learner_of, row_losses, step, teaches

CHECKPOINT_SECONDS = 5.0
PREDICTED_ROWS = 1024


class Held(NamedTuple):
    """Rows that are not learnt from, on the device, and what is true of them."""

    problem: Problem
    rows: Rows
    arrays: Arrays

    def scores(self, outputs: Tensor) -> dict[str, float]:
        """Loss, and the score where the target has one, of outputs [N, C]."""
        target, state = self.problem.target, self.problem.state
        truth, weight = (
            torch.as_tensor(self.arrays[name], device=outputs.device) if name in self.arrays else None
            for name in ("target", "weight")
        )
        found = {"validation_loss": float(target.loss(state, outputs, truth, weight))}
        score = score_of(self.problem, outputs, self.arrays)
        return found if score is None else {**found, "score": score}


def start(build: Callable[..., nn.Module], options: Any, problem: Problem, recipe: Recipe, device: torch.device) -> Run:
    torch.manual_seed(recipe.seed)
    network, here = build(problem, options), world()
    if not (recipe.shard and here.size > 1):  # what is sharded may not fit as a whole
        network = network.to(device)
    fast = device.type == "cuda" or short_type(recipe.precision, device) is not None
    if fast and any(spec.kind in ("image", "wave") for spec in problem.specs):
        channels_last(network)
    average = copy.deepcopy(network).requires_grad_(False) if recipe.ema is not None else None
    called = spread(network, here, device, shard=recipe.shard)  # before the optimisers: it may replace weights
    if average is not None and recipe.shard:
        spread(average, here, device, shard=True)
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    run = Run(network, optimisers(network, recipe), generator, average, called)
    run.total = run.total.to(device)
    return run


def train(
    name: str,
    build: Callable[..., nn.Module],
    options: Any,
    problem: Problem,
    splits: Mapping[str, Arrays],
    *,
    recipe: Recipe,
    checkpoint: Path | None = None,
    report: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Fitted:
    """Train for `recipe.epochs`, keep the weights of the best epoch where patience is declared.

    With a `checkpoint` path a killed run goes on where it was, to the same weights. `watch` is told
    each epoch's line of history.
    Raises TrainingError when the loss is no longer a number, or memory does not suffice.
    """
    device = choose_device(recipe.device)
    set_up(recipe.threads, device)
    limit = memory_limit(recipe)
    rows = {split: rows_of(arrays, problem.specs, device, limit) for split, arrays in splits.items()}
    if empty := [split for split, found in rows.items() if not len(found)]:
        raise TrainingError(f"the {empty[0]} split has no rows. Declare more of them in examples.split.")
    run = start(build, options, problem, recipe, device)
    if checkpoint is not None:
        load_checkpoint(checkpoint, run)
        require_same(run.steps, world())
    num_steps = recipe.epochs * -(-len(rows["train"]) // recipe.batch_size)
    augment = augment_of(recipe.augment, problem.specs)
    learner = learner_of(run.network, problem, recipe, augment, device, steps=num_steps, called=run.called)
    learner.parts = max(learner.parts, run.parts)
    held = Held(problem, rows["validation"], splits["validation"]) if "validation" in rows else None
    pulse = pulse_of(run, recipe, len(rows["train"]), report, checkpoint)
    for _ in epochs(run, learner, rows["train"], held, pulse):
        if pulse.report is not None:
            pulse.report(describe(run, recipe, problem, pulse))
        if watch is not None:
            watch(run.history[-1])
    network = kept(run, partial(build, problem, options))
    return finish(name, network, run, problem, splits["train"], depends_on(recipe, device, rows["train"]))


def epochs(run: Run, learner: Learner, rows: Rows, held: Held | None, pulse: Pulse) -> Iterator[None]:
    """Those that are left of the run, one by one, each with its line of history."""
    recipe = learner.recipe
    while run.epoch < recipe.epochs and not exhausted(run, recipe):
        train_epoch(run, learner, rows, pulse)
        if not run.weight and out_of_time(run, recipe):  # validation took what was left: nothing was learnt since
            break
        note_epoch(run, learner, held)
        pulse.beat()
        yield
    if not run.steps and out_of_time(run, recipe):
        raise TrainingError(
            f"train.budget_seconds ({recipe.budget_seconds}) was over before the first step. Raise it, or lower "
            f"train.batch_size (now {recipe.batch_size})."
        )


def pulse_of(
    run: Run, recipe: Recipe, num_rows: int, report: Callable[[str], None] | None, checkpoint: Path | None
) -> Pulse:
    """One process reports and saves; where weights are sharded, all gather them at one time."""
    here = world()
    save = (
        partial(save_checkpoint, checkpoint, run) if checkpoint is not None and (here.leads or recipe.shard) else None
    )
    pulse = Pulse(run, recipe, num_rows, report if here.leads else None, save)
    pulse.checkpoint_seconds = CHECKPOINT_SECONDS
    if recipe.shard:
        pulse.agree = lambda due: bool(agreed(due, here))
    return pulse


def depends_on(recipe: Recipe, device: torch.device, rows: Rows) -> tuple[str, ...]:
    """What else than the parameters the result rests on."""
    found = {
        "time": recipe.budget_seconds is not None,
        "device": device.type != "cpu" or recipe.precision == "bfloat16",  # not every processor has it
        "memory": bool(rows.window) and recipe.memory_limit is None,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def exhausted(run: Run, recipe: Recipe) -> bool:
    stale = recipe.patience is not None and run.epoch - run.best_epoch >= recipe.patience
    return stale or out_of_time(run, recipe)


def out_of_time(run: Run, recipe: Recipe) -> bool:
    return recipe.budget_seconds is not None and run.seconds >= recipe.budget_seconds


def seed_of(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def live_rows(run: Run, rows: Rows, recipe: Recipe) -> Rows:
    """All rows, or those that the epoch learns from. An epoch that was broken off keeps its own."""
    if not recipe.prune:
        return rows
    if world().size > 1:
        raise TrainingError("train.prune keeps each row's loss in one process. Set prune: 0, or start one process.")
    if run.losses is None:
        run.losses = unknown_losses(len(rows))
    if not run.position:
        share = recipe.prune if prunes(recipe, run.epoch) else 0.0
        run.shares = shares_of(run.losses, share, seed_of(recipe.seed, run.epoch) + 1)
    return replace(rows, shares=run.shares)


def train_epoch(run: Run, learner: Learner, rows: Rows, pulse: Pulse) -> None:
    """One pass over the training rows in a new order, or what is left of it."""
    recipe = learner.recipe
    rows = live_rows(run, rows, recipe)
    seed, pulse.live = seed_of(recipe.seed, run.epoch), rows.num_live
    num_batches = -(-pulse.live // recipe.batch_size)
    factor = plateau_factor(run.watched_losses()) if recipe.schedule == "plateau" else 1.0
    run.network.train()
    for batch in batches(rows, learner.specs, recipe.batch_size, seed=seed, skip=run.position):
        progress = (run.epoch + run.position / num_batches) / recipe.epochs
        if recipe.budget_seconds is not None:
            progress = max(progress, agreed(pulse.seconds(), learner.world) / recipe.budget_seconds)
            if progress >= 1:
                break
        if teaches(learner, batch, pulse.live):
            if learner.world.size > 1:  # other masks of dropout in each; the same again after a restart
                torch.manual_seed(seed_of(seed, run.position, learner.world.rank))
            loss = gradient(learner, batch, run.generator)
            if run.losses is not None and batch.rows is not None:
                run.losses[batch.rows] = row_losses(batch).cpu()
            step(learner, run.optimizers, factor * rate_at(progress, recipe))
            run.count(loss, batch.total)
            if run.average is not None and recipe.ema is not None:
                follow(run.average, run.network, recipe.ema, run.steps)
        run.position += 1
        run.parts = learner.parts
        pulse(len(batch.truth))
    run.seconds = agreed(pulse.seconds(), learner.world)


def note_epoch(run: Run, learner: Learner, held: Held | None) -> None:
    """Count the epoch, write its line of history, and keep its weights if they are to be kept."""
    recipe = learner.recipe
    require_sound(run, recipe)
    loss = run.mean_loss()
    run.epoch, run.position, run.weight = run.epoch + 1, 0, 0.0
    run.total.zero_()
    line = {"epoch": float(run.epoch), "train_loss": loss}
    if held is not None:
        # an epoch's line is of the pictures as they are: views cost several predictions; sharded, only the whole runs
        network = run.watched if recipe.shard else getattr(run.watched, "plain", run.watched)
        with shortened(learner.device, learner.autocast):
            outputs = torch.cat(list(predict(network, held.rows, learner.specs, here=learner.world))).float()
        line |= held.scores(outputs)
    run.history.append(line)
    require_sound(run, recipe)
    watched = agreed(line.get("validation_loss", loss), world())
    if recipe.patience is None:
        run.best_epoch = run.epoch
    elif watched < run.best_loss:
        run.best_loss, run.best_epoch, run.best = watched, run.epoch, run.copy()


def predict(network: nn.Module, rows: Rows, specs: Sequence[ArraySpec], *, here: World = ALONE) -> Iterator[Tensor]:
    """Outputs [B, C] of each batch, without gradients; of several processes, each computes its share of them."""
    network.eval()
    with torch.no_grad():
        for arrays in in_turn(rows, specs, PREDICTED_ROWS):
            num_rows = len(arrays[0])
            mine = bounds(num_rows, here)
            outputs = network(*(array[mine] for array in arrays))
            yield outputs if len(outputs) == num_rows else gathered(outputs, mine, num_rows, here)


def outputs_of(network: nn.Module, specs: Sequence[ArraySpec], arrays: Arrays) -> np.ndarray:
    """float32 [N, C]"""
    num_rows = len(arrays[specs[0].name])
    if not num_rows:  # of a row of zeros, which tells C
        arrays = {spec.name: np.zeros((1, *arrays[spec.name].shape[1:]), arrays[spec.name].dtype) for spec in specs}
    rows = rows_of({spec.name: arrays[spec.name] for spec in specs}, specs, torch.device("cpu"), 0)
    return np.concatenate([batch.numpy() for batch in predict(network, rows, specs)])[:num_rows]


def kept(run: Run, build: Callable[[], nn.Module]) -> nn.Module:
    """The network with the weights to keep, on the CPU; of several processes, a new one with what they gathered."""
    network, state = run.watched, run.best
    if world().size > 1:
        state = {name: whole(tensor) for name, tensor in (run.best or network.state_dict()).items()}
        network = build()
    if state is not None:
        network.load_state_dict(state)
    return network.eval().cpu()


def finish(
    name: str, network: nn.Module, run: Run, problem: Problem, arrays: Arrays, depends: tuple[str, ...]
) -> Fitted:
    """The weights to keep, with their graph."""
    weights = {key: tensor.contiguous().numpy() for key, tensor in network.state_dict().items()}
    broken = [key for key, array in weights.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if broken:
        raise TrainingError(
            f"the last step left no finite numbers in {broken[0]}. Lower train.learning_rate, or set train.clip (1.0)."
        )
    sample = {spec.name: np.asarray(arrays[spec.name][:4]) for spec in problem.specs}
    draw = partial(export, network, problem.specs, sample)
    predicted = partial(outputs_of, network, problem.specs)
    return Fitted(name, draw, predicted, weights, run.history, run.best_epoch, depends)
