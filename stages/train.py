"""Encoded splits in; trained weights, their ONNX graph and the history out."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from stages.contract import Contract, load
from stages.core import cli, store
from stages.core.errors import ContractError, IngotError
from stages.core.files import read_json, write_json
from stages.core.problem import Problem
from stages.core.tensors import map_tensors, read_tensors
from stages.training import Arrays, Fitted, Recipe, Train, auto, fit, launch, options_of
from stages.training.augmentation import check_augment, check_mixup
from stages.training.features import problem_of
from stages.training.fitted import write_fitted
from stages.training.recipe import memory_limit
from stages.training.tracking import tracking

INPUTS = ("train", "validation", "features")
OWN_FIT = {"model", "options", "seed", "threads", "device"}  # what such a model uses, or may without loss declare
CODE = ("training", "models", "targets", "statistics", "contract", "core")


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.train`."""
    section, path = auto.declared(contract), f"{contract.pipeline}.train"
    if isinstance(section, auto.Auto):
        auto.check(section, contract)
    trains = auto.trains_of(section, path) if isinstance(section, auto.Auto) else {"": section}
    for name, train in trains.items():
        inside = f"{path}.candidates.{name}" if name else path
        module, _ = options_of(train.model, train.options, inside)
        if train.processes > 1 and (name or not hasattr(module, "build")):
            fits = "model: auto fits each candidate in" if name else f"{train.model} is fitted by"
            raise ContractError(f"{inside}.processes is {train.processes}, and {fits} one process. Leave it at 1")
        if train.label_smoothing and contract.target.type == "number":
            raise ContractError(
                f"{inside}.label_smoothing is {train.label_smoothing}, and smooths classes; "
                f"{contract.target.column} is a number. Leave it at 0"
            )
        check_augment(train.augment, contract.input_columns, f"{inside}.augment")
        check_mixup(train.mixup, contract.input_columns, f"{inside}.mixup")


def declared_processes(argv: Sequence[str] | None) -> int:
    """As the contract says; 1 where it is wrong, which one process tells as well as many."""
    arguments = cli.arguments_of("train", *INPUTS, argv=argv)
    try:
        contract = load(arguments.params, arguments.pipeline)
        check(contract)
        return auto.declared(contract).processes
    except IngotError:
        return 1


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


@contextmanager
def together(section: Train, key: str, rank: int | None) -> Iterator[None]:
    """This process alone has the checkpoint under `key`, or with the others that it meets here for so long."""
    with nullcontext() if rank else store.Store().lock("checkpoints", key):
        if rank is None:
            yield
            return
        from stages.training import processes
        from stages.training.devices import choose_device

        processes.join(choose_device(section.device))
        yield
        processes.leave()


def notes(section: Train) -> Iterator[str]:
    """What is declared and makes no difference here."""
    from stages.training.devices import choose_device, short_type

    module, _ = options_of(section.model, section.options, "train")
    if not hasattr(module, "build"):
        if idle := sorted(section.model_fields_set - OWN_FIT):
            yield f"{section.model} has a fit of its own, which does not use {', '.join(idle)}"
    elif section.precision == "bfloat16" and short_type("bfloat16", choose_device(section.device)) is None:
        yield "in float32: this processor has no instructions for bfloat16, and would be slower with it"


def train_one(section: Train, problem: Problem, splits: Mapping[str, Arrays], job: cli.Job, key: str) -> str:
    """Fit and write the declared model, with a checkpoint under `key` that a killed run goes on from."""
    pipeline, kept, rank = job.contract.pipeline, store.Store(), launch.rank()
    _, options = options_of(section.model, section.options, f"{pipeline}.train")
    checkpoint = kept.path("checkpoints", key) / "run.safetensors"
    for note in notes(section) if not rank else ():
        cli.progress(f"train {pipeline}: {note}", last=True)
    with (
        together(section, key, rank),
        nullcontext() if rank else tracking(pipeline, resume=checkpoint.exists()) as watch,
    ):
        fitted = fit(
            section.model, options, problem, splits, recipe=section.recipe, checkpoint=checkpoint,
            report=lambda text: cli.progress(f"train {pipeline}: {text}"), watch=watch,
        )  # fmt: skip
    if not rank:
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
    """In one process; as one of several, which torchrun or `launch` started; or as the launcher of those declared."""
    rank = launch.rank()
    if rank is None and (processes := declared_processes(argv)) > 1:
        given = sys.argv[1:] if argv is None else argv
        raise SystemExit(launch.launch([sys.executable, "-m", "stages.train", *given], processes))
    launch.die_with_parent(rank)
    if launch.restarted() and (code := cli.former_failure(cli.arguments_of("train", *INPUTS, argv=argv).status)):
        raise SystemExit(code)  # it was told, and no restart mends it
    with cli.job("train", *INPUTS, argv=argv, rank=rank) as job:
        check(job.contract)
        pipeline, section = job.contract.pipeline, auto.declared(job.contract)
        problem = problem_of(read_json(job["features"]), job.contract)
        hashes = store.file_hashes(job.inputs.values())
        key = store.key(section.model_dump(), hashes, code=CODE)
        splits = read_splits({name: job[name] for name in ("train", "validation")}, section)
        if isinstance(section, auto.Auto) and rank is not None:
            raise ContractError(f"{pipeline}.train.model is auto, which fits each candidate in one process")
        if isinstance(section, auto.Auto):
            bench = auto.Bench(problem, splits, hashes, store.Store())
            chosen = auto.fit_best(
                section, bench, say=lambda text: cli.progress(f"train {pipeline}: {text}"),
                track=lambda name, resume: tracking(f"{pipeline}/{name}", resume=resume),
            )  # fmt: skip
            about = write_chosen(job.out, chosen)
        else:
            about = train_one(section, problem, splits, job, key)
        job.say(f"{len(splits['train']['target']):,} rows → {about}")
    if not rank:
        store.Store().drop("checkpoints", key)


if __name__ == "__main__":
    main()
