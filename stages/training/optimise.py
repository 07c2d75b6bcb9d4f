"""A network and a recipe in, its optimisers and the learning rate of every step out."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stages.training.recipe import DECOUPLED, Recipe

FINAL_RATE_SHARE = 0.001
FIRST_RATE_SHARE = 0.04
MUON_SHARE = 10.0  # Muon's steps have the length of its rate; AdamW beside it takes a tenth, as Jordan et al. (2024)
PLATEAU_EPOCHS, PLATEAU_FACTOR = 3, 0.3


def optimisers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """One for all weights; of `muon` two: hidden matrices are Muon's, all else is AdamW's.

    Each has `share`, its part of the learning rate. Biases and norms are not shrunk.
    """
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    hidden = hidden_matrices(network) if recipe.optimizer == "muon" else []
    mine = {id(weight) for weight in hidden}
    rest = [weight for weight in weights if id(weight) not in mine]
    found: list[torch.optim.Optimizer] = []
    if hidden:
        found.append(torch.optim.Muon(hidden, lr=recipe.learning_rate, weight_decay=recipe.decay))
        found[0].param_groups[0]["share"] = MUON_SHARE
    if rest:
        found.append(plain(rest, recipe))
    return found


def plain(weights: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [weight for weight in weights if weight.ndim > 1]
    vectors = [weight for weight in weights if weight.ndim <= 1]
    rate, betas = recipe.learning_rate, (recipe.betas[0], recipe.betas[1])
    if recipe.optimizer in DECOUPLED:  # the decay is `step`'s: one group is one fused call a step
        return torch.optim.AdamW([{"params": weights, "share": 1.0}], rate, betas, weight_decay=0.0, fused=True)
    parts = [(matrices, recipe.l2), (vectors, 0.0)] if recipe.l2 else [(weights, 0.0)]
    groups: list[dict[str, Any]] = [
        {"params": part, "weight_decay": penalty, "share": 1.0} for part, penalty in parts if part
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, rate, betas, fused=True)
    return torch.optim.SGD(groups, rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


def decayed_by_step(network: nn.Module, recipe: Recipe) -> list[Tensor]:
    """The weights that `step` shrinks, since AdamW here does not; Muon shrinks its own."""
    if recipe.optimizer not in DECOUPLED or not recipe.decay:
        return []
    mine = {id(weight) for weight in hidden_matrices(network)} if recipe.optimizer == "muon" else set()
    weights = [weight for weight in network.parameters() if weight.requires_grad and weight.ndim > 1]
    return [weight for weight in weights if id(weight) not in mine]


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """Weights of linear layers but the last: neither embeddings nor the layer that gives the outputs."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    weights = [layer.weight for layer in layers[:-1]]
    return [weight for weight in weights if isinstance(weight, nn.Parameter) and weight.requires_grad]


def rate_at(progress: float, recipe: Recipe) -> float:
    """Learning rate at `progress` 0 … 1 of the run.

    A linear warm-up, then by schedule: one-cycle (Smith & Topin 2018) and cosine fall as a cosine does; constant
    stays, and so does plateau, which `plateau_factor` lowers.
    """
    warm_up = recipe.warm_up_share
    if progress < warm_up:
        return recipe.learning_rate * (FIRST_RATE_SHARE + (1 - FIRST_RATE_SHARE) * progress / warm_up)
    if recipe.schedule in ("constant", "plateau"):
        return recipe.learning_rate
    down = min((progress - warm_up) / (1 - warm_up), 1.0)
    return recipe.learning_rate * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * 0.5 * (1 + math.cos(math.pi * down)))


def plateau_factor(losses: Iterable[float]) -> float:
    """What `plateau` multiplies the rate by, after these losses: less each time three epochs brought no better one."""
    factor, best, stale = 1.0, math.inf, 0
    for loss in losses:
        best, stale = (loss, 0) if loss < best else (best, stale + 1)
        if stale == PLATEAU_EPOCHS:
            factor, stale = factor * PLATEAU_FACTOR, 0
    return factor


@torch.no_grad()
def shrink(optimizers: list[torch.optim.Optimizer], l1: float) -> None:
    """The proximal step of l1 · Σ|w|: every weight moves towards 0 by rate · l1, and stops there."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.ndim > 1:
                    weight.copy_(torch.nn.functional.softshrink(weight, group["lr"] * l1))


def has_batch_norm(network: nn.Module) -> bool:
    """Then rows of a batch are not apart: one row has no spread, and parts of a batch have others."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
