"""A search that may be killed at any time in; trials, each fitted and scored on validation, out.

Optuna keeps the trials in SQLite. The n-th suggestion is drawn from the trials before it and from a seed of its own,
so a search that was killed and goes on makes the same suggestions as one that was not, and the fit that the kill cut
goes on from its checkpoint.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.errors import ContractError, TrainingError
from stages.training import Train
from stages.training.auto import Bench, OutOfTime, fit_one, key_of
from stages.training.scoring import Scoring
from stages.tune.section import Range, Ranges, Tune, present, takes_fractions, train_of

if TYPE_CHECKING:
    import optuna

STEPS = 100  # a trial reports its progress in hundredths of its epochs: they may be searched, too
WARM_UP_TRIALS, WARM_UP_STEPS = 5, 10
DIGITS = 3


@dataclass(frozen=True)
class Search:
    """What is searched: ranges over a raw train section, by a metric."""

    section: Tune
    ranges: Ranges
    raw: Mapping[str, Any]
    bench: Bench
    scoring: Scoring
    metric: str

    @property
    def sign(self) -> int:
        return int(self.scoring.problem.target.sign(self.metric))

    def train(self, values: Mapping[str, Any]) -> Train:
        return train_of(self.raw, values, "train")

    def answers(self, folder: Path) -> np.ndarray:
        """Calibrated answers of a fit on validation."""
        network, validation = (folder / "network.onnx").read_bytes(), self.bench.splits["validation"]
        return self.scoring.answers(network, validation, self.scoring.calibrate(network, validation))

    def score(self, folder: Path) -> float:
        validation = self.bench.splits["validation"]
        function = self.scoring.functions(self.answers(folder), validation)[self.metric]
        return float(function(np.ones((1, len(validation["target"])), np.float32))[0])


def open_study(search: Search, path: Path, name: str) -> "optuna.Study":
    """The study of this very search, found again by `name`. What a kill left running is noted as failed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name=name, load_if_exists=True, pruner=pruner_of(search.section.pruner),
        direction="maximize" if search.sign > 0 else "minimize",
    )  # fmt: skip
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def pruner_of(name: str) -> "optuna.pruners.BasePruner":
    from optuna import pruners

    if name == "none":
        return pruners.NopPruner()
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=WARM_UP_STEPS, max_resource=STEPS)
    return pruners.MedianPruner(n_startup_trials=WARM_UP_TRIALS, n_warmup_steps=WARM_UP_STEPS)


def finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def run(search: Search, study: "optuna.Study", *, trials: int, seconds: float, say: Callable[[str], None]) -> None:
    """Search until there are so many finished trials, or the seconds are over."""
    from optuna.trial import TrialState

    deadline = time.monotonic() + seconds
    while (done := len(finished(study))) < trials and time.monotonic() < deadline:
        study.sampler = sampler_of(search.section.seed, done)
        if done == 0 and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            begin_with_present(search, study)
        trial = study.ask()
        values = {name: suggest(trial, name, of, search.raw) for name, of in search.ranges.items()}
        began = time.monotonic()
        try:
            outcome = run_trial(search, study, trial, values, deadline=deadline)
        except OutOfTime:
            study.tell(trial, state=TrialState.FAIL)  # its checkpoint stays; the next run suggests the same
            return
        shown = ", ".join(f"{name} {value}" for name, value in values.items())
        say(f"trial {done + 1} of {trials}: {outcome}; {shown}; {time.monotonic() - began:.1f} s")


def sampler_of(seed: int, done: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import TPESampler

    return TPESampler(seed=int(np.random.SeedSequence([seed, done]).generate_state(1)[0]))


def begin_with_present(search: Search, study: "optuna.Study") -> None:
    """The first trial is the setting as it is, where the ranges hold it."""
    train, values = search.train({}), {}
    for name, of in search.ranges.items():
        now = present(train, name)
        if isinstance(of, list):
            held = now in of
            values[name] = json.dumps(of[of.index(now)] if held else None)
        else:
            held = isinstance(now, (int, float)) and of.low <= now <= of.high and of.step is None
            values[name] = now
        if not held:
            return
    study.enqueue_trial(values)


def suggest(trial: "optuna.Trial", name: str, of: Range | list[Any], raw: Mapping[str, Any]) -> Any:
    """A value of the range, to three digits, as it will stand in params.yaml."""
    if isinstance(of, list):
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in of]))
    if takes_fractions(raw, name, of):
        value = trial.suggest_float(name, of.low, of.high, log=of.log, step=of.step)
        return min(max(float(f"{value:.{DIGITS}g}"), of.low), of.high)
    return trial.suggest_int(name, int(of.low), int(of.high), log=of.log, step=int(of.step or 1))


def run_trial(
    search: Search, study: "optuna.Study", trial: "optuna.Trial", values: Mapping[str, Any], *, deadline: float
) -> str:
    """Fit, score and tell the study; returns what came of it. Raises OutOfTime past the deadline."""
    import optuna

    def report(text: str) -> None:
        if time.monotonic() >= deadline:
            raise OutOfTime

    trial.set_user_attr("values", dict(values))
    try:
        train = search.train(values)
        with watching(search, study, trial, train) as watch:
            score = search.score(fit_one(train, search.bench, report=report, watch=watch))
        if not np.isfinite(score):
            raise TrainingError(f"{search.metric} is not defined on validation")
    except optuna.TrialPruned:
        search.bench.kept.drop("checkpoints", key_of(train, search.bench))
        outcome = "pruned"
    except (TrainingError, ContractError) as error:  # two values that train does not allow together, say
        outcome = f"no score: {error}"
    else:
        study.tell(trial, score)
        numbers = {other.number: place for place, other in enumerate(finished(study), 1)}
        best = study.best_trial
        return f"{search.metric} {score:.5g} (best {best.value:.5g}, trial {numbers[best.number]})"
    trial.set_user_attr("outcome", outcome)
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return outcome


@contextmanager
def watching(
    search: Search, study: "optuna.Study", trial: "optuna.Trial", train: Train
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """What the loop tells each epoch's line to: the pruner judges by validation's loss."""
    import optuna

    told = told_before(study, trial)
    for step, value in told.items():
        trial.report(value, step)

    def watch(line: Mapping[str, float]) -> None:
        step = round(STEPS * line["epoch"] / train.epochs)
        if step in told or "validation_loss" not in line:
            return
        told[step] = -search.sign * line["validation_loss"]
        trial.report(told[step], step)
        if trial.should_prune():
            raise optuna.TrialPruned

    yield watch


def told_before(study: "optuna.Study", trial: "optuna.Trial") -> dict[int, float]:
    """What the same setting had told before a kill cut it: its checkpoint goes on behind that."""
    from optuna.trial import TrialState

    for former in reversed(study.get_trials(deepcopy=False, states=(TrialState.FAIL,))):
        if former.params == trial.params:
            return dict(former.intermediate_values)
    return {}
