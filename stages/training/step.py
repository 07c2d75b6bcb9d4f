"""A batch in; its gradient, and one step of the weights, out.

Shapes: B rows of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stages.core.errors import TrainingError
from stages.core.problem import Problem
from stages.training.augment import augment, mix
from stages.training.augmentation import Augment
from stages.training.batches import Batch
from stages.training.devices import short_type, shortened
from stages.training.optimise import decayed_by_step, has_batch_norm, shrink
from stages.training.processes import ALONE, World, apart, bounds, summed, world
from stages.training.recipe import Recipe

COMPILED_STEPS = 2000  # compiling takes half a minute or more, which fewer steps do not win back
Truth = tuple[Tensor, Tensor | None]  # what is true of the rows of a batch, and their weights


@dataclass
class Learner:
    """How a step is made. `network` is called, and may be compiled or spread over processes.

    `parts` grows where a GPU's memory does not hold a batch.
    """

    network: Callable[..., Tensor]
    loss: Callable[..., Tensor]  # (outputs, truth, weight) → weighted mean
    row_weights: Callable[..., Tensor]  # (truth, weight) → what each row counts for in that mean
    specs: Any
    recipe: Recipe
    augment: Augment
    autocast: torch.dtype | None
    device: torch.device
    weights: list[nn.Parameter]
    decayed: list[Tensor]  # those that `step` shrinks itself
    whole: bool  # batch normalisation: rows of a batch are not apart
    parts: int
    world: World = ALONE


class Prepared(NamedTuple):
    """What is learnt from: with a mix come two truths, and the first one's `share`.

    `shares` are those of the rows in the loss of the whole batch; `rows` is the least that any process has.
    """

    arrays: list[Tensor]
    truths: list[Truth]
    share: float
    shares: list[Tensor] | None  # None where the rows are the whole batch
    rows: int


def prepare(learner: Learner, batch: Batch, generator: torch.Generator) -> Prepared:
    """The batch augmented and mixed; of several processes, each one's share of that."""
    pruned = batch.rows is not None
    if pruned and batch.weight is not None:
        batch.weight.requires_grad_()  # see row_losses
    arrays, truths, share = batch.arrays, [(batch.truth, batch.weight)], 1.0
    if learner.augment:
        arrays = augment(arrays, learner.specs, learner.augment, generator)
    if learner.recipe.mixup:
        arrays, partner_B, share = mix(arrays, learner.specs, learner.recipe.mixup, generator)
        truths.append((batch.truth[partner_B], None if batch.weight is None else batch.weight[partner_B]))
    num_rows, size = len(batch.truth), learner.world.size
    mine = bounds(num_rows, learner.world)
    if mine == slice(0, num_rows):
        shares = [row_shares(learner, truth) for truth in truths] if pruned else None
        return Prepared(arrays, truths, share, shares, num_rows)
    # gradients are averaged over the processes, so each counts for so many
    shares = [size * row_shares(learner, truth)[mine] for truth in truths]
    truths = [(truth[mine], None if weight is None else weight[mine]) for truth, weight in truths]
    return Prepared([array[mine] for array in arrays], truths, share, shares, num_rows // size)


def gradient(learner: Learner, batch: Batch, generator: torch.Generator) -> Tensor:
    """Fill the weights' gradients with the batch's, part by part; returns its mean loss.

    Where a GPU's memory is too small, smaller parts of the same batch are tried.
    Raises TrainingError where that cannot help.
    """
    prepared = prepare(learner, batch, generator)
    while True:
        try:
            loss = in_parts(learner, prepared)
            return loss if learner.world.size == 1 else summed(loss, learner.world) / learner.world.size
        except torch.OutOfMemoryError as error:
            said = str(error)
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # how torch says it of a CPU's
                raise TrainingError(too_large(learner.recipe, "memory")) from None
            raise
        forget(learner.weights)  # out here, where the error no longer holds what the batch filled
        if batch.weight is not None:
            batch.weight.grad = None  # see row_losses
        divide(learner, len(batch.truth), said)


def row_shares(learner: Learner, truth: Truth) -> Tensor:
    """float [B]: each row's share of the batch's mean loss."""
    weight_B = learner.row_weights(*truth)
    return weight_B / weight_B.sum().detach().clamp(min=1e-12)


def in_parts(learner: Learner, prepared: Prepared) -> Tensor:
    arrays, truths, share, shares, rows = prepared
    parts = min(learner.parts, max(1, rows // 2) if learner.whole else rows)
    if parts == 1 and shares is None:
        loss = loss_of(learner, arrays, truths, share)
        torch.autograd.backward(loss)
        return loss.detach()
    shares = shares or [row_shares(learner, truth) for truth in truths]
    sizes = [len(part) for part in torch.arange(len(truths[0][0])).tensor_split(parts)]
    found = torch.zeros((), device=learner.device)
    split = zip(*(torch.split(array, sizes) for array in arrays), strict=True)
    for place, part in enumerate(split):
        own = [
            (torch.split(truth, sizes)[place], None if weight is None else torch.split(weight, sizes)[place])
            for truth, weight in truths
        ]
        weigh = [torch.split(rows_B, sizes)[place].sum() for rows_B in shares]
        with apart(learner.network, place < parts - 1):
            loss = loss_of(learner, list(part), own, share, weigh)
            torch.autograd.backward(loss, retain_graph=shares[0].requires_grad)  # all parts share its few nodes
        found += loss.detach()
    return found


def teaches(learner: Learner, batch: Batch, num_rows: int) -> bool:
    """Whether an epoch of `num_rows` learns from this batch of it: batch normalisation has no spread over one row."""
    return batch.total > 0 and not (learner.whole and len(batch.truth) < 2 < num_rows)


def row_losses(batch: Batch) -> Tensor:
    """float [B], after `gradient`: the loss is Σ weight · row's loss / total, hence from a weight's gradient."""
    assert batch.weight is not None
    assert batch.weight.grad is not None
    return batch.weight.grad * batch.total


def loss_of(
    learner: Learner, arrays: list[Tensor], truths: list[Truth], share: float, parts: list[Tensor] | None = None
) -> Tensor:
    """A scalar. `parts` is what share of its batch each truth's rows weigh, where they are only some of it."""
    with shortened(learner.device, learner.autocast):
        outputs = learner.network(*arrays)
    losses = [learner.loss(outputs.float(), truth, weight) for truth, weight in truths]
    if parts is not None:
        losses = [loss * part for loss, part in zip(losses, parts, strict=True)]
    return losses[0] if len(losses) == 1 else share * losses[0] + (1 - share) * losses[1]


def divide(learner: Learner, num_rows: int, error: str) -> None:
    """Twice as many parts from now on, where the same gradient comes of it. Raises TrainingError where not."""
    if learner.world.size > 1:  # the others would wait for as many parts as they know of
        raise TrainingError(too_large(learner.recipe, "a GPU's memory"))
    if learner.whole:
        raise TrainingError(
            too_large(learner.recipe, "the GPU's memory")
            + " Its batch normalisation forbids to compute the same batch in parts unasked"
        )
    if learner.parts >= num_rows:
        raise TrainingError(f"one row at a time does not fit in the GPU's memory: {error}. Use a smaller model")
    learner.parts = min(2 * learner.parts, num_rows)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_large(recipe: Recipe, memory: str) -> str:
    return (
        f"a batch does not fit in {memory}. Lower train.batch_size (now {recipe.batch_size}), or raise "
        f"train.accumulate (now {recipe.accumulate}), which computes it in parts."
    )


@torch.no_grad()
def step(learner: Learner, optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    """Move the weights along their gradients, then forget those."""
    recipe = learner.recipe
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_(learner.weights, recipe.clip)
    if learner.decayed:  # as AdamW shrinks them, before it moves them
        torch._foreach_mul_(learner.decayed, 1 - rate * recipe.decay)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        optimizer.step()
    if recipe.l1:
        shrink(optimizers, recipe.l1)
    forget(learner.weights)


def forget(weights: list[nn.Parameter]) -> None:
    for weight in weights:
        weight.grad = None


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, ema: float, steps: int) -> None:
    """Move the average towards the network; a short one at first, so that the random start is soon forgotten."""
    towards = 1 - min(ema, (1 + steps) / (10 + steps))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), towards)
    for old, new in zip(average.buffers(), network.buffers(), strict=True):
        old.copy_(new)


def learner_of(
    network: nn.Module, problem: Problem, recipe: Recipe, augment: Augment, device: torch.device, *,
    steps: int, called: Callable[..., Tensor] | None = None,
) -> Learner:  # fmt: skip
    """With the precision and the compiler that suit the device.

    `steps` is how many the run will make; `called` is what spreads the network over processes.
    """
    target, state, smoothing = problem.target, problem.state, recipe.label_smoothing

    def loss(outputs: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
        if outputs.ndim == 3:  # [B, K, C]: members of an ensemble learn apart, each by its own loss
            members, outputs = outputs.shape[1], outputs.flatten(0, 1)
            truth = truth.repeat_interleave(members, 0)
            weight = None if weight is None else weight.repeat_interleave(members)
        found: Tensor = target.loss(state, outputs, truth, weight, label_smoothing=smoothing)
        return found

    def row_weights(truth: Tensor, weight: Tensor | None) -> Tensor:
        if hasattr(target, "row_weights"):
            own: Tensor = target.row_weights(state, truth, weight)
            return own
        return torch.ones(len(truth), device=device) if weight is None else weight

    called = called or network
    if recipe.compile is True or (recipe.compile == "auto" and device.type == "cuda" and steps >= COMPILED_STEPS):
        called = torch.compile(called)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    decayed = decayed_by_step(network, recipe)
    return Learner(
        called, loss, row_weights, problem.specs, recipe, augment, short_type(recipe.precision, device), device,
        weights, decayed, has_batch_norm(network), recipe.accumulate, world(),
    )  # fmt: skip
