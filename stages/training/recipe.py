"""`<pipeline>.train` in, a typed recipe for the loop out: every key that changes how a network learns."""

import os
from typing import Any, Literal

from pydantic import Field, model_validator

from stages.contract.section import Section

DECOUPLED = ("adamw", "muon")  # those that shrink weights apart from the gradient (Loshchilov & Hutter 2019)
WARM_UP = {"one_cycle": 0.25, "cosine": 0.05, "plateau": 0.0, "constant": 0.0}
WEIGHT_DECAY = 0.01
MEMORY_SHARE = 0.5  # of the machine's, for the splits


class Recipe(Section):
    """How the loop trains. `threads` is part of the result: sums in another order differ."""

    epochs: int = Field(default=20, ge=1)
    budget_seconds: float | None = Field(default=None, gt=0)  # ends the run, and its schedule, by the clock
    batch_size: int = Field(default=256, ge=2)
    accumulate: int = Field(default=1, ge=1)  # parts that a batch is computed in, one after another

    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    learning_rate: float = Field(default=0.002, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)  # of sgd; without it, plain gradient descent
    nesterov: bool = False
    betas: list[float] = Field(default=[0.9, 0.999], min_length=2, max_length=2)  # of adam and adamw
    weight_decay: float | None = Field(default=None, ge=0)  # of adamw and muon; None is 0.01
    l2: float = Field(default=0.0, ge=0)  # of sgd and adam: l2 / 2 · the sum of squared weights joins the loss
    l1: float = Field(default=0.0, ge=0)  # l1 · the sum of absolute weights, by soft thresholds: exact zeros
    clip: float | None = Field(default=None, gt=0)  # longest gradient over all weights

    schedule: Literal["one_cycle", "cosine", "plateau", "constant"] = "one_cycle"
    warm_up: float | None = Field(default=None, ge=0, lt=1)  # share of the run; None is the schedule's own
    ema: float | None = Field(default=None, gt=0, lt=1)  # keep this moving average of the weights, not the last
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)  # alpha of Zhang et al. (2018)
    prune: float = Field(default=0.0, ge=0, lt=1)  # share of rows below the mean loss that an epoch leaves out
    augment: dict[str, dict[str, Any]] = {}  # by column: options of stages/training/augment.py
    patience: int | None = Field(default=None, ge=1)  # epochs without a better validation loss

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto is bfloat16 on a GPU; see devices.py
    compile: bool | Literal["auto"] = "auto"  # auto is a GPU's runs that are long enough to pay
    memory_limit: int | None = Field(default=None, ge=1)  # bytes of the splits that are read; None is half of memory
    threads: int = Field(default=1, ge=1)  # of each process
    processes: int = Field(default=1, ge=1)  # on this machine; each takes its share of every batch
    shard: bool = False  # split weights and optimiser over the processes, where one GPU cannot hold them
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _agrees(self) -> "Recipe":
        if self.optimizer in DECOUPLED and self.l2:
            raise ValueError(f"weight_decay in place of l2: {self.optimizer} shrinks weights apart from the gradient")
        if self.optimizer not in DECOUPLED and self.weight_decay:
            raise ValueError(f"l2 in place of weight_decay, which {self.optimizer} does not have")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum with optimizer: sgd alone; {self.optimizer} has its own")
        if self.nesterov and not self.momentum:
            raise ValueError("a momentum above 0 where nesterov is true")
        if self.prune and self.processes > 1:
            raise ValueError("prune: 0 with several processes: each row's loss is kept in one")
        if self.shard and self.optimizer == "muon":
            raise ValueError("another optimizer than muon where shard is true: Muon needs whole matrices")
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate of at most batch_size ({self.batch_size}): a part is one row or more")
        if self.prune and self.mixup:
            raise ValueError("prune or mixup, not both: prune needs each row's own loss")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas of at least 0 and below 1")
        return self

    @property
    def decay(self) -> float:
        """Decoupled weight decay."""
        return WEIGHT_DECAY if self.weight_decay is None else self.weight_decay

    @property
    def warm_up_share(self) -> float:
        return WARM_UP[self.schedule] if self.warm_up is None else self.warm_up


class Train(Recipe):
    """`<pipeline>.train`: a model, the options of `stages/models/<model>.py`, and the recipe."""

    model: str
    options: dict[str, Any] = {}

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate(self.model_dump(include=set(Recipe.model_fields)))


def memory_limit(recipe: Recipe) -> int:
    """Bytes that the splits may take in a process: the declared ones, or its part of half of the machine's."""
    if recipe.memory_limit is not None:
        return recipe.memory_limit
    share = MEMORY_SHARE / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # each process holds all rows
    return int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
