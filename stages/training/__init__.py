"""Encoded arrays and a recipe in, a fitted model out: the one way to fit anything.

Used by `train`, by the folds and baselines of `evaluate`, and later by distillation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.contract.loader import choose
from stages.contract.section import Section, parse
from stages.core.errors import ContractError
from stages.core.problem import Problem
from stages.training.recipe import Recipe, Train

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, np.ndarray]
Watch = Callable[[Mapping[str, float]], None]  # told each epoch's line of history
__all__ = ("Arrays", "Fitted", "Recipe", "Train", "Watch", "fit", "options_of", "suits")


@dataclass(frozen=True)
class Fitted:
    """A model's weights and how it got there. `predict` maps encoded arrays to outputs [N, C]."""

    model: str
    draw: Callable[[], "onnx.ModelProto"]
    predict: Callable[[Arrays], np.ndarray]
    weights: Mapping[str, np.ndarray]
    history: Sequence[Mapping[str, float]] = ()
    best_epoch: int | None = None
    depends_on: Sequence[str] = ()  # of time, device, memory: what else than the parameters it rests on

    @cached_property
    def network(self) -> "onnx.ModelProto":
        """The graph from encoded arrays to `outputs` [N, C]; drawn when asked for, since folds need none."""
        return self.draw()

    @property
    def num_parameters(self) -> int:
        """Those that are learnt: a batch norm's running statistics are not."""
        return int(sum(array.size for key, array in self.weights.items() if not key.endswith(RUNNING)))


RUNNING = ("running_mean", "running_var", "num_batches_tracked")
HINTS = {
    "tokens": " Choose a model that reads sequences, or declare features.by_column.<column>.kind: set.",
}


def options_of(name: str, raw: Mapping[str, Any], path: str) -> tuple[ModuleType, Section]:
    """A model's module and its typed options, declared at `path` (such as 'retail.train')."""
    module = choose("models", name, f"{path}.model")
    return module, parse(module.Options, raw, f"{path}.options")


def fit(
    name: str,
    options: Section,
    problem: Problem,
    splits: Mapping[str, Arrays],
    *,
    recipe: Recipe,
    checkpoint: Path | None = None,
    report: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Fitted:
    """Fit a model on `splits["train"]`; the loop watches `splits["validation"]` where it is given.

    Raises ContractError where the model cannot take one of the arrays.
    """
    from importlib import import_module

    module = import_module(f"stages.models.{name}")
    if (kind := problem.state["type"]) not in module.TARGETS:
        raise ContractError(
            f"the model {name!r} predicts targets of the types {', '.join(module.TARGETS)}; "
            f"{problem.state['column']} is a {kind}."
        )
    unfit = [spec for spec in problem.specs if spec.kind not in module.SUITS]
    if unfit:
        raise ContractError(
            f"the model {name!r} takes arrays of the kinds {', '.join(module.SUITS)}; {', '.join(unfit[0].columns)} "
            f"is of the kind {unfit[0].kind}.{HINTS.get(unfit[0].kind, '')}"
        )
    if not hasattr(module, "build"):
        from stages.core import graph

        weights = module.fit(splits["train"], problem, options, seed=recipe.seed)
        network = module.draw(weights, problem)
        return Fitted(name, lambda: network, lambda arrays: graph.run(network, dict(arrays))["outputs"], weights)
    from stages.training.loop import train

    return train(
        name, module.build, options, problem, splits, recipe=recipe, checkpoint=checkpoint, report=report, watch=watch
    )


def suits(name: str, problem: Problem) -> bool:
    """Whether a model can take all arrays of a problem, finds one that it is made for, and predicts its target."""
    from importlib import import_module

    module = import_module(f"stages.models.{name}")
    kinds, needed = {spec.kind for spec in problem.specs}, getattr(module, "NEEDS", ())
    made_for = not needed or bool(kinds & set(needed))
    return made_for and problem.state["type"] in module.TARGETS and kinds <= set(module.SUITS)
