"""Encoded splits in; trained weights, their ONNX graph and the history out."""

from collections.abc import Sequence

from stages.contract import Contract
from stages.core import cli, store
from stages.core.files import read_json
from stages.core.tensors import read_tensors
from stages.training import Train, fit, options_of
from stages.training.augmentation import check_augment
from stages.training.features import problem_of
from stages.training.fitted import write_fitted

Section = Train
CODE = ("training", "models", "targets", "statistics", "contract", "core")


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.train`."""
    section = contract.section("train", Section)
    check_augment(section.augment, contract.input_columns, f"{contract.pipeline}.train.augment")
    options_of(section.model, section.options, f"{contract.pipeline}.train")


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("train", "train", "validation", "features", argv=argv) as job:
        pipeline = job.contract.pipeline
        section = job.contract.section("train", Section)
        _, options = options_of(section.model, section.options, f"{pipeline}.train")
        problem = problem_of(read_json(job["features"]), job.contract)
        splits = {name: read_tensors(job[name]) for name in ("train", "validation")}
        key = store.key(section.model_dump(), store.file_hashes(job.inputs.values()), code=CODE)
        fitted = fit(
            section.model, options, problem, splits, recipe=section.recipe,
            checkpoint=store.Store().path("checkpoints", key) / "run.safetensors",
            report=lambda text: cli.progress(f"train {pipeline}: {text}"),
        )  # fmt: skip
        write_fitted(job.out, fitted)
        last = fitted.history[-1] if fitted.history else {}
        losses = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in last.items() if name != "epoch")
        epochs = f", {int(last['epoch'])} epochs (kept {fitted.best_epoch}): {losses}" if last else ""
        job.say(
            f"{len(splits['train']['target']):,} rows → {section.model}, {fitted.num_parameters:,} parameters{epochs}"
        )
    store.Store().drop("checkpoints", key)


if __name__ == "__main__":
    main()
