"""Declared candidates and a budget in; each one fitted, and the simplest that is shown not worse than the best, out.

`train: {model: auto}`. Candidates are judged on validation, on common resamples. Each fit is kept in the store, so
one that was killed goes on where it was, and one whose neighbour changed is not fitted anew.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.contract import Contract
from stages.contract.loader import choose as choose_module
from stages.contract.loader import seam
from stages.contract.section import parse
from stages.core import store
from stages.core.errors import ContractError, TrainingError, suggest
from stages.core.files import read_json, write_json
from stages.core.problem import Problem
from stages.statistics.choice import choose
from stages.training import Arrays, Recipe, Train, Watch, fit, options_of, suits
from stages.training.fitted import write_fitted
from stages.training.scoring import Scoring

AUTO = "auto"
CODE = ("training", "models", "targets", "statistics", "contract", "core")
KIND = "candidates"
Track = Callable[[str, bool], AbstractContextManager[Watch]]  # a candidate's name, and whether it goes on
SECONDS = "seconds.json"  # what a fit took: beside it in the store, in no out


class Auto(Recipe):
    """`<pipeline>.train` with `model: auto`. What is declared of a recipe holds for every candidate that says nothing
    else. `candidates` are models with their `options` and recipe; a name that is no model's has a `model` of its own.

    `metric` is one of the target's that asks for no money; `margin` is how much of it a simpler model may lose at
    worst. `budget_seconds` is for all of them: what it cuts is left out, and the choice then depends on time.
    """

    model: Literal["auto"]
    candidates: dict[str, dict[str, Any]] = {}
    metric: str | None = None
    margin: float = Field(default=0.005, ge=0)
    budget_seconds: float | None = Field(default=None, gt=0)


def declared(contract: Contract) -> Train | Auto:
    """`<pipeline>.train`, typed by what its model asks for."""
    raw = contract.get("train")
    is_auto = isinstance(raw, Mapping) and raw.get("model") == AUTO
    return contract.section("train", Auto) if is_auto else contract.section("train", Train)


def check(section: Auto, contract: Contract) -> None:
    """Raise ContractError for what is wrong in a section with `model: auto`."""
    from stages.targets import target_module

    path, known = f"{contract.pipeline}.train", target_module(contract.target).METRICS
    if section.metric is not None and (section.metric not in known or section.metric == "value"):
        raise ContractError(
            f"{path}.metric is {section.metric!r}.{suggest(section.metric, known)} There are "
            f"{', '.join(name for name in known if name != 'value')}"
        )


def trains_of(section: Auto, path: str) -> dict[str, Train]:
    """Each declared candidate as a `train` section of its own."""
    common = {key: getattr(section, key) for key in section.model_fields_set & set(Recipe.model_fields)}
    common.pop("budget_seconds", None)
    found = {}
    for name, raw in section.candidates.items():
        found[name] = parse(Train, {**common, "model": name, **raw}, f"{path}.candidates.{name}")
        choose_module("models", found[name].model, f"{path}.candidates.{name}")
    return found


def default_trains(section: Auto, problem: Problem) -> dict[str, Train]:
    """Every model that suits, with its own defaults: those with a fit of their own first, since they cost least."""
    from importlib import import_module

    found = [name for name in seam("models") if suits(name, problem) and name != "prior" and has_defaults(name)]
    found.sort(key=lambda name: (hasattr(import_module(f"stages.models.{name}"), "build"), name))
    return trains_of(section.model_copy(update={"candidates": {name: {} for name in found}}), "train")


def chosen_train(section: Train | Auto, problem: Problem, evidence: Mapping[str, Any] | None) -> Train:
    """The section that folds repeat: the declared one, or the chosen candidate's. The choice itself is not repeated."""
    if not isinstance(section, Auto):
        return section
    assert evidence is not None
    return (trains_of(section, "train") or default_trains(section, problem))[evidence["chosen"]]


def has_defaults(name: str) -> bool:
    """Whether a model needs nothing declared; one with a file of weights has none before that file is there."""
    from importlib import import_module

    fields: Any = import_module(f"stages.models.{name}").Options.model_fields
    if any(field.is_required() for field in fields.values()):
        return False
    return "weights" not in fields or Path(fields["weights"].default).exists()


class OutOfTime(Exception):
    """The budget ended while a candidate was fitted."""


@dataclass(frozen=True)
class Bench:
    """What all candidates are fitted on. `inputs` are the hashes of its files; `kept` is where fits are kept."""

    problem: Problem
    splits: Mapping[str, Arrays]
    inputs: Sequence[str]
    kept: store.Store


@dataclass(frozen=True)
class Chosen:
    """The store's folder with the chosen fit, and why it was chosen."""

    folder: Path
    evidence: dict[str, Any]


def fit_best(section: Auto, bench: Bench, *, say: Callable[[str], None], track: Track | None = None) -> Chosen:
    """Fit all candidates that the budget allows and choose. Raises TrainingError where none could be fitted.

    `track` is asked for a watch of each candidate that is not kept yet, by its name.
    A declared candidate that the contract forbids is a mistake; one that nobody declared is left out.
    """
    metric_of(section, bench.problem)
    forgiven = (TrainingError,) if section.candidates else (TrainingError, ContractError)
    trains = trains_of(section, "train") or default_trains(section, bench.problem)
    left_out: dict[str, str] = {}
    folders: dict[str, Path] = {}
    left = float("inf") if section.budget_seconds is None else section.budget_seconds
    for number, (name, train) in enumerate(trains.items(), 1):
        said = f"candidate {number} of {len(trains)}, {name}"
        begun = checkpoint_of(train, bench).exists()
        try:
            with nullcontext() if track is None or is_kept(train, bench) else track(name, begun) as watch:
                folder = fit_one(train, bench, report=within(left, said, say), watch=watch)
        except OutOfTime:
            left_out[name], left = "the budget was at its end", 0.0
        except forgiven as error:
            left_out[name] = str(error)
        else:
            folders[name], left = folder, left - read_json(folder / SECONDS)["seconds"]
    if not folders:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise TrainingError(f"model: auto could fit no candidate. Raise train.budget_seconds, or mend: {reasons}")
    return choose_best(section, bench, folders, left_out)


def metric_of(section: Auto, problem: Problem) -> str:
    """The declared metric, or the target's own. Raises ContractError where its classes have none such."""
    known = problem.target.metric_names(problem.state, False)
    metric = section.metric or str(problem.target.default_metric(problem.state, False))
    if metric not in known:
        raise ContractError(f"train.metric is {metric!r}; {problem.state['column']} has {', '.join(known)}")
    return metric


def within(left: float, said: str, say: Callable[[str], None]) -> Callable[[str], None]:
    """A report that raises OutOfTime once `left` seconds are over."""
    began = time.monotonic()

    def report(text: str) -> None:
        say(f"{said}: {text}")
        if time.monotonic() - began >= left:
            raise OutOfTime

    return report


def fit_one(train: Train, bench: Bench, *, report: Callable[[str], None], watch: Watch | None = None) -> Path:
    """The store's folder of a fit, made where it is not there yet. What `report` or `watch` raises ends it."""
    kept = bench.kept
    key = key_of(train, bench)
    if kept.has(KIND, key):
        return kept.path(KIND, key)
    began = time.monotonic()
    report("fitting")
    _, options = options_of(train.model, train.options, "train")
    with kept.lock("checkpoints", key):
        fitted = fit(
            train.model, options, bench.problem, bench.splits, recipe=train.recipe,
            checkpoint=checkpoint_of(train, bench), report=report, watch=watch,
        )  # fmt: skip
    with kept.put(KIND, key) as folder:
        write_fitted(folder, fitted)
        write_json(folder / SECONDS, {"seconds": time.monotonic() - began})
    kept.drop("checkpoints", key)
    return kept.path(KIND, key)


def is_kept(train: Train, bench: Bench) -> bool:
    return bench.kept.has(KIND, key_of(train, bench))


def checkpoint_of(train: Train, bench: Bench) -> Path:
    return bench.kept.path("checkpoints", key_of(train, bench)) / "run.safetensors"


def key_of(train: Train, bench: Bench) -> str:
    return store.key(train.model_dump(), bench.inputs, code=CODE)


def choose_best(section: Auto, bench: Bench, folders: Mapping[str, Path], left_out: Mapping[str, str]) -> Chosen:
    """By the paired rule that compress has: the smallest graph that is shown not worse than the best."""
    problem, validation = bench.problem, bench.splits["validation"]
    metric = metric_of(section, problem)
    scoring = Scoring(problem, None, section.seed)
    networks = {name: (folder / "network.onnx").read_bytes() for name, folder in folders.items()}
    answers = {
        name: scoring.answers(network, validation, scoring.calibrate(network, validation))
        for name, network in networks.items()
    }
    everything = scoring.samples(answers, validation)
    sizes = {name: len(network) for name, network in networks.items()}
    samples = {name: everything[name, metric] for name in networks}
    chosen, evidence = choose(samples, sizes, margin=section.margin, sign=problem.target.sign(metric))
    for name, folder in folders.items():
        facts = read_json(folder / "model.json")
        evidence["candidates"][name] |= {"model": facts["model"], "parameters": facts["parameters"]}
    cut = any("budget" in reason for reason in left_out.values())
    evidence |= {"chosen": chosen, "metric": metric, "left_out": dict(left_out), "depends_on_time": cut}
    return Chosen(folders[chosen], evidence)


def describe(evidence: Mapping[str, Any]) -> str:
    """One line: the chosen, and each other candidate's difference to the best."""
    chosen, found = evidence["chosen"], evidence["candidates"]
    parts = [f"{chosen} of {', '.join(found)} by {evidence['metric']} on validation"]
    parts += [
        f"{name} {entry['score'].get('value')}, {found[name]['bytes'] / 1024:,.0f} KiB" for name, entry in found.items()
    ]
    parts += [f"{name} left out: {reason}" for name, reason in evidence["left_out"].items()]
    return "; ".join(parts)
