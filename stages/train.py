"""Encoded splits in; trained weights, their ONNX graph and the history out."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.contract import Contract
from stages.core import cli, store
from stages.core.files import read_json, write_json
from stages.core.problem import Problem
from stages.core.tensors import map_tensors, read_tensors
from stages.training import Arrays, Fitted, Recipe, Train, auto, fit, options_of
from stages.training.augmentation import check_augment, check_mixup
from stages.training.features import problem_of
from stages.training.fitted import write_fitted
from stages.training.recipe import memory_limit
from stages.training.tracking import tracking

CODE = ("training", "models", "targets", "statistics", "contract", "core")


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.train`."""
    section, path = auto.declared(contract), f"{contract.pipeline}.train"
    if isinstance(section, auto.Auto):
        auto.check(section, contract)
    trains = auto.trains_of(section, path) if isinstance(section, auto.Auto) else {"": section}
    for name, train in trains.items():
        inside = f"{path}.candidates.{name}" if name else path
        options_of(train.model, train.options, inside)
        check_augment(train.augment, contract.input_columns, f"{inside}.augment")
        check_mixup(train.mixup, contract.input_columns, f"{inside}.mixup")


def read_splits(paths: Mapping[str, Path], recipe: Recipe) -> dict[str, Arrays]:
    """Each split's arrays, mapped from its file where all of them do not fit in memory."""
    size = sum(path.stat().st_size for path in paths.values())
    read = map_tensors if size > memory_limit(recipe) else read_tensors
    return {name: read(path) for name, path in paths.items()}


def summary(fitted: Fitted, problem: Problem) -> str:
    text = f"{fitted.model}, {fitted.num_parameters:,} parameters"
    if not fitted.history:
        return text
    from stages.training.live import words

    last = fitted.history[-1]
    rests = f"; rests on {' and '.join(fitted.depends_on)} too" if fitted.depends_on else ""
    return f"{text}, {int(last['epoch'])} epochs (kept {fitted.best_epoch}): {words(last, problem)}{rests}"


def train_one(section: Train, problem: Problem, splits: Mapping[str, Arrays], job: cli.Job, key: str) -> str:
    """Fit and write the declared model, with a checkpoint under `key` that a killed run goes on from."""
    pipeline, kept = job.contract.pipeline, store.Store()
    _, options = options_of(section.model, section.options, f"{pipeline}.train")
    with kept.lock("checkpoints", key), tracking(pipeline) as watch:
        fitted = fit(
            section.model, options, problem, splits, recipe=section.recipe,
            checkpoint=kept.path("checkpoints", key) / "run.safetensors",
            report=lambda text: cli.progress(f"train {pipeline}: {text}"), watch=watch,
        )  # fmt: skip
    write_fitted(job.out, fitted)
    return summary(fitted, problem)


def write_chosen(out: Path, chosen: auto.Chosen) -> str:
    """The chosen fit's files, and in model.json why it was chosen; returns a line on it."""
    for path in chosen.folder.iterdir():
        if path.name != auto.SECONDS:
            shutil.copyfile(path, out / path.name)
    facts = read_json(out / "model.json")
    rests = [*facts["depends_on"], *(["time"] if chosen.evidence["depends_on_time"] else [])]
    write_json(out / "model.json", {**facts, "depends_on": list(dict.fromkeys(rests)), "auto": chosen.evidence})
    return auto.describe(chosen.evidence)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("train", "train", "validation", "features", argv=argv) as job:
        pipeline, section = job.contract.pipeline, auto.declared(job.contract)
        problem = problem_of(read_json(job["features"]), job.contract)
        hashes = store.file_hashes(job.inputs.values())
        key = store.key(section.model_dump(), hashes, code=CODE)
        splits = read_splits({name: job[name] for name in ("train", "validation")}, section)
        if isinstance(section, auto.Auto):
            bench = auto.Bench(problem, splits, hashes, store.Store())
            chosen = auto.fit_best(section, bench, say=lambda text: cli.progress(f"train {pipeline}: {text}"))
            about = write_chosen(job.out, chosen)
        else:
            about = train_one(section, problem, splits, job, key)
        job.say(f"{len(splits['train']['target']):,} rows → {about}")
    store.Store().drop("checkpoints", key)


if __name__ == "__main__":
    main()
