"""A run in, its lines of progress and its checkpoints at their times out."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from stages.core.problem import Problem
from stages.training import Arrays
from stages.training.recipe import Recipe
from stages.training.run import Run, require_sound

LINE_SECONDS = 10.0  # within an epoch
CHEAP_VALUES = 4_000_000  # of validation's outputs: up to so many, scoring them each epoch is not noticed


class Pulse:
    """Called after every batch: saves the run every few seconds, and says how far it is every ten."""

    def __init__(
        self, run: Run, recipe: Recipe, num_rows: int, report: Callable[[str], None] | None, save: Any
    ) -> None:
        self.run, self.recipe, self.report, self.save = run, recipe, report, save
        self.live = num_rows  # of this epoch
        self.learnt = 0  # rows, in this process
        self.checkpoint_seconds = 5.0
        self.agree: Callable[[bool], bool] = bool  # whether all processes are to save, where all must
        self.began = self.saved = self.said = time.monotonic()
        self.before = run.seconds
        self.epochs_before = self.epochs()

    def seconds(self) -> float:
        """Of training, in this process and in those before it."""
        return self.before + time.monotonic() - self.began

    def epochs(self) -> float:
        """Those that are over, and the share of the present one."""
        return self.run.epoch + min(self.run.position * self.recipe.batch_size / max(self.live, 1), 1.0)

    def __call__(self, num_rows: int) -> None:
        """So many more rows were learnt from."""
        self.learnt += num_rows
        now = time.monotonic()
        if self.report is not None and now - self.said >= LINE_SECONDS:
            self.report(within(self))
            self.said = now
        self.keep_if_due(now)

    def beat(self) -> None:
        """An epoch is noted."""
        self.said = time.monotonic()
        self.keep_if_due(self.said)

    def keep_if_due(self, now: float) -> None:
        if self.save is not None and self.agree(now - self.saved >= self.checkpoint_seconds):
            self.keep()

    def keep(self) -> None:
        require_sound(self.run, self.recipe)
        self.run.seconds = self.seconds()
        self.save()
        self.saved = time.monotonic()

    def speed(self) -> str:
        """Rows a second, and the time left at this speed."""
        seconds, done = max(time.monotonic() - self.began, 1e-9), self.epochs() - self.epochs_before
        left = seconds / max(done, 1e-9) * (self.recipe.epochs - self.epochs())
        if self.recipe.budget_seconds is not None:
            left = max(0.0, min(left, self.recipe.budget_seconds - self.seconds()))
        return f"{self.learnt / seconds:,.0f} rows/s, {left:.0f} s left"


def within(pulse: Pulse) -> str:
    run, share = pulse.run, 100 * (pulse.epochs() - pulse.run.epoch)
    return (
        f"epoch {run.epoch + 1} of {pulse.recipe.epochs}, {share:.0f}%: train loss {run.mean_loss():.4f}; "
        f"{pulse.speed()}"
    )


def describe(run: Run, recipe: Recipe, problem: Problem, pulse: Pulse) -> str:
    """A line of progress for an epoch: losses, score, speed, and the time left."""
    return f"epoch {run.epoch} of {recipe.epochs}: {words(run.history[-1], problem)}; {pulse.speed()}"


def words(line: Mapping[str, float], problem: Problem) -> str:
    """'train loss 0.3, validation loss 0.4, accuracy 0.9'"""
    metric = problem.target.default_metric(problem.state, False)
    names = {key: metric if key == "score" else key for key in line if key != "epoch"}
    return ", ".join(f"{name.replace('_', ' ')} {line[key]:.4f}" for key, name in names.items())


def score_of(problem: Problem, outputs_NC: Tensor, validation: Arrays) -> float | None:
    """The target's own metric on validation, not calibrated; None where it would take long."""
    if outputs_NC.numel() > CHEAP_VALUES:
        return None
    target, state = problem.target, problem.state
    answer = target.answer(outputs_NC.cpu().numpy(), target.UNCALIBRATED, state=state, arrays=validation)
    score = target.score_functions(state, None, answer, validation)[target.default_metric(state, False)]
    weight_N = validation["weight"] if "weight" in validation else np.ones(len(answer), np.float32)
    return float(score(np.asarray(weight_N, np.float32)[None])[0])
