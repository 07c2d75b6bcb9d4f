"""A fitted model, cheap baselines beside it, and the validation split in; scores and plots out.

Sees train and validation only. Calibrates each model on validation, gives every score a 95%
bootstrap interval, compares paired on the same resamples, and where `folds` is declared repeats
the whole line from examples to model on grouped folds.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from stages.contract import Contract
from stages.contract.decide import Decide
from stages.contract.section import Section as BaseSection
from stages.core import cli, store
from stages.core.errors import ContractError, suggest
from stages.core.files import read_json, write_json
from stages.core.problem import Problem
from stages.core.tensors import read_tensors
from stages.statistics.bootstrap import summarise
from stages.statistics.plots import write_plots
from stages.targets import target_module
from stages.training import Arrays, Recipe, auto, fit, options_of, suits
from stages.training.features import problem_of
from stages.training.fitted import write_fitted
from stages.training.scoring import Scoring, check_slices, scoring_of, show_slices

BASELINES = ("prior", "linear", "svm", "hog", "boosting", "popularity", "itemknn", "ease")
CODE = ("training", "models", "targets", "statistics", "contract", "core")
MODEL, CONSTANT, PRIOR = "model", "constant answer", "prior"


class Section(BaseSection):
    """`metric` decides; `baselines` are models of `stages/models/`, with their options where wanted."""

    metric: str | None = None
    baselines: dict[str, dict[str, Any]] | None = None
    slices: list[str] = []
    folds: int = Field(default=0, ge=0, le=20)
    seed: int = Field(default=0, ge=0)


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.evaluate`."""
    section, path = contract.section("evaluate", Section), f"{contract.pipeline}.evaluate"
    check_slices(section.slices, contract.example_columns, path)
    for name, raw in (section.baselines or {}).items():
        options_of(name, raw, f"{path}.baselines.{name}")
    if section.metric is not None and section.metric not in (known := target_module(contract.target).METRICS):
        hint = suggest(section.metric, known)
        raise ContractError(f"{path}.metric is {section.metric!r}.{hint} There are {', '.join(known)}")
    if section.folds == 1:
        raise ContractError(f"{path}.folds is 1; expected 0 (none), or 2 and more")


def choose_metric(section: Section, problem: Problem, decide: Decide, path: str) -> str:
    """The declared metric, or the target's own choice."""
    names: list[str] = problem.target.metric_names(problem.state, bool(decide.value))
    if section.metric is None:
        return str(problem.target.default_metric(problem.state, bool(decide.value)))
    if section.metric not in names:
        hint = suggest(section.metric, names)
        raise ContractError(f"{path}.metric is {section.metric!r}.{hint} This target has {', '.join(names)}")
    return section.metric


def fit_baselines(
    section: Section, problem: Problem, train: Arrays, inputs: Sequence[str], out: Path
) -> dict[str, bytes]:
    """Fit each baseline that suits the arrays, keep it under `out`, and return its graph's bytes."""
    chosen = section.baselines
    if chosen is None:
        chosen = {name: {} for name in BASELINES if suits(name, problem)}
    out.mkdir()
    for name, raw in chosen.items():
        _, options = options_of(name, raw, "evaluate.baselines")
        key = store.key(name, options.model_dump(), section.seed, inputs, code=CODE)
        if not store.Store().has("baselines", key):
            cli.progress(f"evaluate: fitting the baseline {name}")
            fitted = fit(name, options, problem, {"train": train}, recipe=Recipe(seed=section.seed))
            with store.Store().put("baselines", key) as folder:
                write_fitted(folder, fitted)
        shutil.copytree(store.Store().path("baselines", key), out / name)
    return {name: (out / name / "network.onnx").read_bytes() for name in chosen}


def constant_answer(problem: Problem, train: Arrays, validation: Arrays, scoring: Scoring) -> np.ndarray:
    """One answer for all rows, calibrated as the models are: else they would be ahead by what validation's own shares
    tell them."""
    if hasattr(problem.target, "prior"):
        answer: np.ndarray = problem.target.prior(problem.state, len(validation["target"]))
        return answer
    _, options = options_of(PRIOR, {}, PRIOR)
    fitted = fit(PRIOR, options, problem, {"train": train}, recipe=Recipe())
    return scoring.answers(fitted.network, validation, scoring.calibrate(fitted.network, validation))


def evaluate(
    networks: Mapping[str, bytes], constant: np.ndarray, validation: Arrays, scoring: Scoring, metric: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Scores of every model with intervals, paired differences to the model, and calibrated answers."""
    target, num_rows = scoring.problem.target, len(validation["target"])
    calibration = {name: scoring.calibrate(network, validation) for name, network in networks.items()}
    answers = {name: scoring.answers(network, validation, calibration[name]) for name, network in networks.items()}
    samples = scoring.samples({**answers, CONSTANT: constant}, validation)
    metrics = list(dict.fromkeys(metric for _, metric in samples))
    models = {
        name: {
            "calibration": calibration[name],
            "scores": {score: summarise(samples[name, score]) for score in metrics},
        }
        for name in networks
    }
    differences = {
        name: {score: summarise(samples[MODEL, score] - samples[name, score]) for score in metrics}
        for name in networks
        if name != MODEL
    }
    sign = target.sign(metric)
    ranked = sorted(differences, key=lambda name: -sign * samples[name, metric][0])
    report = {"metric": metric, "rows": num_rows, "models": models, "model_minus_baseline": differences}
    ahead = {name: samples[name, metric] - samples[CONSTANT, metric] for name in networks if name != PRIOR}
    # with several models to choose from, each must show more (Bonferroni)
    shown = [name for name in ahead if np.nanquantile(sign * ahead[name][1:], 0.025 / len(ahead)) > 0]
    margins = {name: summarise(values) for name, values in ahead.items()}
    report |= {"baselines_ranked": ranked, "minus_constant": margins, "beats_constant": shown}
    report["constant"] = constant[0].tolist()
    return report, answers


def judge(report: Mapping[str, Any]) -> list[str]:
    """Refuse where neither the model nor a baseline is shown to beat the same answer for every row."""
    if report["beats_constant"]:
        return []
    metric, ahead = report["metric"], report["minus_constant"][MODEL]
    several, rows = len(report["minus_constant"]), f"{report['rows']:,} validation rows"
    judged = f"; of {several} models each must show more, at {1 - 0.05 / several:.1%}" if several > 1 else ""
    return [
        f"no model is shown to beat one answer for all rows: the network's {metric} minus its is {show(ahead)} (95%"
        f"{judged}) on {rows}. Are the labels right, and the inputs informative? More rows, a larger "
        "examples.split.validation, or a metric that sees more, such as log_loss, tell smaller differences"
    ]


def show(score: Mapping[str, Any]) -> str:
    if "low" not in score:
        return str(score.get("value", score.get("absent")))
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


def metrics_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What `dvc metrics show` prints: each model's plain scores."""
    return {
        name: {score: entry["value"] for score, entry in model["scores"].items() if "value" in entry}
        for name, model in report["models"].items()
    }


def summary(report: Mapping[str, Any], reasons: Sequence[str]) -> str:
    metric = report["metric"]
    parts = [f"{report['rows']:,} validation rows, {metric} {show(report['models'][MODEL]['scores'][metric])}"]
    if report["baselines_ranked"]:
        best = report["baselines_ranked"][0]
        parts.append(f"minus the best baseline ({best}) {show(report['model_minus_baseline'][best][metric])}")
    if "folds" in report:
        mean, of = report["folds"]["mean"], f"{len(report['folds']['scores'])} folds"
        told = f"mean {metric} {mean[metric]}" if metric in mean else f"no {metric}, which rests on a calibration"
        parts.append(f"{of}: {told}")
    return "; ".join([*parts, *(f"REFUSED: {reason}" for reason in reasons)])


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("evaluate", "model", "features", "examples", argv=argv) as job:
        contract, features = job.contract, job["features"]
        section = contract.section("evaluate", Section)
        problem = problem_of(read_json(features / "features.json"), contract)
        scoring = scoring_of(problem, contract, section.seed)
        metric = choose_metric(section, problem, contract.section("decide", Decide), f"{contract.pipeline}.evaluate")
        train, validation = (read_tensors(features / f"{name}.safetensors") for name in ("train", "validation"))
        hashes = store.file_hashes([features / "train.safetensors", features / "features.json"])
        baselines = fit_baselines(section, problem, train, hashes, job.out / "baselines")
        constant = constant_answer(problem, train, validation, scoring)
        networks = {MODEL: job["model"].read_bytes(), **baselines}
        report, answers = evaluate(networks, constant, validation, scoring, metric)
        if isinstance(declared := auto.declared(contract), auto.Auto):
            report["auto"] = read_json(job["model"].with_name("model.json"))["auto"]
        if section.slices:
            with (job["examples"] / "validation.parquet").open("rb") as file:
                columns = pq.read_table(file, columns=section.slices)
            report["slices"] = show_slices(scoring.slices(columns, {MODEL: answers[MODEL]}, validation), MODEL)
        if section.folds:
            from stages.training.folds import cross_validate

            repeated = auto.chosen_train(declared, problem, report.get("auto"))
            report["folds"] = cross_validate(
                contract, job["examples"], section.folds, train=repeated, seed=section.seed
            )
        reasons = judge(report)
        write_json(job.out / "evaluation.json", {"passed": not reasons, "reasons": reasons, **report})
        write_json(job.out / "metrics.json", metrics_of(report))
        write_plots(job.out / "plots", problem.target.plots(problem.state, answers[MODEL], validation))
        job.say(summary(report, reasons))


if __name__ == "__main__":
    main()
