"""Everything that changes while training: what a checkpoint holds, and what must stay sound."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stages.core.errors import TrainingError
from stages.training.recipe import Recipe

BLOWN_UP = 1e3  # times its start: a loss that grew so far does not come back
LEAST_START = 0.01


@dataclass
class Run:
    """`called` is the network, or what spreads it over processes.

    `position` counts the epoch's batches, `total` and `weight` sum their losses; `seconds` are of all attempts.
    """

    network: nn.Module
    optimizers: list[torch.optim.Optimizer]
    generator: torch.Generator
    average: nn.Module | None = None
    called: Callable[..., Tensor] | None = None
    best: dict[str, Tensor] | None = None
    total: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    weight: float = 0.0
    epoch: int = 0
    position: int = 0
    steps: int = 0
    parts: int = 1
    best_epoch: int = 0
    best_loss: float = math.inf
    first_loss: float | None = None
    seconds: float = 0.0
    losses: Tensor | None = None  # [N]: each row's last one, where the recipe prunes
    shares: Tensor | None = None  # [N]: each row's weight in this epoch, where it leaves rows out
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def watched(self) -> nn.Module:
        """What is validated and kept: the moving average, where there is one."""
        return self.network if self.average is None else self.average

    def count(self, loss: Tensor, weight: float) -> None:
        if self.first_loss is None:
            self.first_loss = float(loss)
        self.total.add_(loss, alpha=weight)
        self.weight += weight
        self.steps += 1

    def mean_loss(self) -> float:
        """Of the epoch so far; 0 where nothing weighed anything."""
        return float(self.total) / self.weight if self.weight else 0.0

    def watched_losses(self) -> list[float]:
        return [line.get("validation_loss", line["train_loss"]) for line in self.history]

    def copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.watched.state_dict().items()}


def require_sound(run: Run, recipe: Recipe) -> None:
    """Raise TrainingError where the epoch's loss, or the last one on validation, is no number or has blown up."""
    epoch = run.epoch + 1 if run.weight else run.epoch
    loss = run.mean_loss() if run.weight else run.history[-1].get("validation_loss", 0.0) if run.history else 0.0
    cure = f"Lower train.learning_rate (now {recipe.learning_rate})"
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in epoch {epoch}. {cure}, set train.clip (1.0, say), or look for extreme values "
            "in the inputs."
        )
    most = BLOWN_UP * max(run.first_loss or 0.0, LEAST_START)
    if loss > most:
        raise TrainingError(
            f"the loss diverged: {loss:.4g} in epoch {epoch}, from {run.first_loss:.4g} at the start. {cure}, or set "
            "train.clip (1.0, say)."
        )
