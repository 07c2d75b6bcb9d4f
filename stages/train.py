"""Encoded splits in; trained weights, their ONNX graph and the history out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.contract import Contract
from stages.core import cli, store
from stages.core.files import read_json
from stages.core.problem import Problem
from stages.core.tensors import map_tensors, read_tensors
from stages.training import Arrays, Fitted, Recipe, Train, fit, options_of
from stages.training.augmentation import check_augment, check_mixup
from stages.training.features import problem_of
from stages.training.fitted import write_fitted
from stages.training.recipe import memory_limit
from stages.training.tracking import tracking

Section = Train
CODE = ("training", "models", "targets", "statistics", "contract", "core")


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.train`."""
    section, path = contract.section("train", Section), f"{contract.pipeline}.train"
    options_of(section.model, section.options, path)
    check_augment(section.augment, contract.input_columns, f"{path}.augment")
    check_mixup(section.mixup, contract.input_columns, f"{path}.mixup")


def read_splits(paths: Mapping[str, Path], recipe: Recipe) -> dict[str, Arrays]:
    """Each split's arrays, mapped from its file where all of them do not fit in memory."""
    size = sum(path.stat().st_size for path in paths.values())
    read = map_tensors if size > memory_limit(recipe) else read_tensors
    return {name: read(path) for name, path in paths.items()}


def summary(fitted: Fitted, problem: Problem, num_rows: int) -> str:
    from stages.training.live import words

    text = f"{num_rows:,} rows → {fitted.model}, {fitted.num_parameters:,} parameters"
    if not fitted.history:
        return text
    last = fitted.history[-1]
    rests = f"; rests on {' and '.join(fitted.depends_on)} too" if fitted.depends_on else ""
    return f"{text}, {int(last['epoch'])} epochs (kept {fitted.best_epoch}): {words(last, problem)}{rests}"


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("train", "train", "validation", "features", argv=argv) as job:
        pipeline = job.contract.pipeline
        section = job.contract.section("train", Section)
        _, options = options_of(section.model, section.options, f"{pipeline}.train")
        problem = problem_of(read_json(job["features"]), job.contract)
        key = store.key(section.model_dump(), store.file_hashes(job.inputs.values()), code=CODE)
        kept = store.Store()
        with kept.lock("checkpoints", key), tracking(pipeline) as watch:
            splits = read_splits({name: job[name] for name in ("train", "validation")}, section)
            fitted = fit(
                section.model, options, problem, splits, recipe=section.recipe,
                checkpoint=kept.path("checkpoints", key) / "run.safetensors",
                report=lambda text: cli.progress(f"train {pipeline}: {text}"), watch=watch,
            )  # fmt: skip
        write_fitted(job.out, fitted)
        job.say(summary(fitted, problem, len(splits["train"]["target"])))
    kept.drop("checkpoints", key)


if __name__ == "__main__":
    main()
