"""A fitted model, cheap baselines beside it, and the validation split in; scores and plots out.

Sees train and validation only. Calibrates each model on validation, gives every score a 95%
bootstrap interval, compares paired on the same resamples, and where `folds` is declared repeats
the whole line from examples to model on grouped folds.
"""

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
from stages.core.graph import run
from stages.core.tensors import read_tensors
from stages.statistics.bootstrap import bootstrap, summarise
from stages.statistics.plots import write_plots
from stages.training import Arrays, Problem, Recipe, fit, options_of, suits
from stages.training.features import problem_of
from stages.training.fitted import write_fitted

BASELINES = ("prior", "linear", "boosting")
MIN_SLICE_ROWS = 30
CODE = ("training", "models", "targets", "core")
MODEL = "model"


class Section(BaseSection):
    """`metric` decides; `baselines` are models of `stages/models/`, with their options where wanted."""

    metric: str | None = None
    baselines: dict[str, dict[str, Any]] | None = None
    slices: list[str] = []
    folds: int = Field(default=0, ge=0, le=20)
    seed: int = 0


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.evaluate`."""
    section = contract.section("evaluate", Section)
    contract.section("decide", Decide)
    for name in section.slices:
        if name not in contract.example_columns:
            raise ContractError(
                f"{contract.pipeline}.evaluate.slices names {name!r}, which is not declared.{suggest(name, contract.example_columns)}"
            )
    for name, raw in (section.baselines or {}).items():
        options_of(name, raw, f"{contract.pipeline}.evaluate.baselines.{name}")


def choose_metric(section: Section, problem: Problem, decide: Decide, path: str) -> str:
    """The declared metric; or value where decisions have one, else ROC AUC or accuracy."""
    names = problem.target.metric_names(problem.state, bool(decide.value))
    if section.metric is None:
        return "value" if "value" in names else next(name for name in ("roc_auc", "accuracy") if name in names)
    if section.metric not in names:
        raise ContractError(
            f"{path}.metric is {section.metric!r}.{suggest(section.metric, names)} This target has {', '.join(names)}"
        )
    return section.metric


def fit_baselines(
    section: Section, problem: Problem, train: Arrays, inputs: Sequence[str], out: Path
) -> dict[str, np.ndarray]:
    """Fit each baseline that suits the arrays, keep it under `out`, and return its graph's bytes."""
    chosen = (
        section.baselines
        if section.baselines is not None
        else {name: {} for name in BASELINES if suits(name, problem.specs)}
    )
    for name, raw in chosen.items():
        module, options = options_of(name, raw, "evaluate.baselines")
        key = store.key(name, options.model_dump(), section.seed, inputs, code=CODE)
        if not store.Store().has("baselines", key):
            cli.progress(f"evaluate: fitting the baseline {name}")
            fitted = fit(name, options, problem, {"train": train}, recipe=Recipe(seed=section.seed))
            with store.Store().put("baselines", key) as folder:
                write_fitted(folder, fitted)
        copy_folder(store.Store().path("baselines", key), out / name)
    return {name: (out / name / "network.onnx").read_bytes() for name in chosen}


def copy_folder(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        (target / path.name).write_bytes(path.read_bytes())


def evaluate(
    models: Mapping[str, bytes],
    problem: Problem,
    validation: Arrays,
    decision: tuple[list[str], np.ndarray] | None,
    *,
    metric: str,
    seed: int,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Scores of every model with intervals, paired differences to the model, and probabilities."""
    target, truth = problem.target, validation["target"]
    outputs = {name: run(network, dict(validation))["outputs"] for name, network in models.items()}
    calibration = {name: target.calibrate(values, truth) for name, values in outputs.items()}
    chances = {name: target.probabilities(values, calibration[name]) for name, values in outputs.items()}
    functions = {
        name: target.score_functions(problem.state, decision, values, truth) for name, values in chances.items()
    }
    flat = {(name, score): function for name, scores in functions.items() for score, function in scores.items()}
    samples = bootstrap(flat, validation["group"], seed=seed)
    report: dict[str, Any] = {"metric": metric, "rows": len(truth), "models": {}, "model_minus_baseline": {}}
    for name, scores in functions.items():
        report["models"][name] = {
            "calibration": calibration[name],
            "scores": {score: summarise(samples[name, score]) for score in scores},
        }
        if name != MODEL:
            differences = {score: summarise(samples[MODEL, score] - samples[name, score]) for score in scores}
            report["model_minus_baseline"][name] = differences
    return report, chances


def rank(report: Mapping[str, Any], sign: int) -> list[str]:
    """Baselines, best first by the deciding metric on validation."""
    names = [name for name in report["models"] if name != MODEL]
    return sorted(
        names, key=lambda name: -sign * report["models"][name]["scores"][report["metric"]].get("value", -sign * np.inf)
    )


def judge(report: Mapping[str, Any], sign: int) -> list[str]:
    """Refuse where neither the model nor a baseline is shown to beat the class shares."""
    metric = report["metric"]
    if "prior" not in report["model_minus_baseline"]:
        return []
    ahead = report["model_minus_baseline"]["prior"][metric]
    edge = ahead.get("low") if sign > 0 else -ahead.get("high", np.nan)
    if edge is not None and edge > 0:
        return []
    return [
        f"the model is not shown to beat the class shares: its {metric} minus theirs is {show(ahead)} on {report['rows']:,} validation rows. Are the labels right, and the inputs informative?"
    ]


def show(score: Mapping[str, Any]) -> str:
    if "low" not in score:
        return str(score.get("value", score.get("absent")))
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


def slices_of(
    names: Sequence[str],
    path: Path,
    chances: np.ndarray,
    problem: Problem,
    validation: Arrays,
    *,
    metric: str,
    decision: Any,
    seed: int,
) -> dict[str, Any]:
    """The deciding metric on each value of each slice column that has enough rows."""
    found: dict[str, Any] = {}
    with path.open("rb") as file:
        table = pq.read_table(file, columns=list(names))
    for name in names:
        values = np.array([str(value) for value in table.column(name).to_pylist()])
        found[name] = {}
        for value in sorted(set(values.tolist())):
            rows = values == value
            score: dict[str, Any] = {"absent": f"fewer than {MIN_SLICE_ROWS} rows"}
            if rows.sum() >= MIN_SLICE_ROWS:
                functions = problem.target.score_functions(
                    problem.state, decision, chances[rows], validation["target"][rows]
                )
                samples = bootstrap({metric: functions[metric]}, validation["group"][rows], seed=seed)
                score = summarise(samples[metric])
            found[name][value] = {"rows": int(rows.sum()), metric: score}
    return found


def metrics_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What `dvc metrics show` prints: each model's plain scores."""
    return {
        name: {score: entry["value"] for score, entry in model["scores"].items() if "value" in entry}
        for name, model in report["models"].items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("evaluate", "model", "features", "examples", argv=argv) as job:
        contract, path = job.contract, f"{job.contract.pipeline}.evaluate"
        section, decide = contract.section("evaluate", Section), contract.section("decide", Decide)
        problem = problem_of(read_json(job["features"] / "features.json"), contract)
        splits = {name: read_tensors(job["features"] / f"{name}.safetensors") for name in ("train", "validation")}
        metric = choose_metric(section, problem, decide, path)
        decision = (
            decide.matrix(list(problem.state["classes"]), f"{contract.pipeline}.decide") if decide.value else None
        )
        hashes = store.file_hashes([job["features"] / "train.safetensors", job["features"] / "features.json"])
        networks = {MODEL: job["model"].read_bytes()}
        networks |= fit_baselines(section, problem, splits["train"], hashes, job.out / "baselines")
        report, chances = evaluate(networks, problem, splits["validation"], decision, metric=metric, seed=section.seed)
        sign = problem.target.sign(metric)
        report["baselines_ranked"] = rank(report, sign)
        validation = job["examples"] / "validation.parquet"
        report["slices"] = (
            slices_of(
                section.slices,
                validation,
                chances[MODEL],
                problem,
                splits["validation"],
                metric=metric,
                decision=decision,
                seed=section.seed,
            )
            if section.slices
            else {}
        )
        if section.folds:
            from stages.training.folds import cross_validate

            report["folds"] = cross_validate(contract, job["examples"], section.folds, decision, seed=section.seed)
        reasons = judge(report, sign)
        write_json(job.out / "evaluation.json", {"passed": not reasons, "reasons": reasons, **report})
        write_json(job.out / "metrics.json", metrics_of(report))
        write_plots(
            job.out / "plots",
            chances[MODEL],
            splits["validation"]["target"],
            problem.state["classes"],
            problem.state["positive"],
        )
        best = report["baselines_ranked"][0] if report["baselines_ranked"] else None
        job.say(f"{report['rows']:,} validation rows, {metric} {show(report['models'][MODEL]['scores'][metric])}")
        if best:
            job.say(f"minus best baseline ({best}) {show(report['model_minus_baseline'][best][metric])}")
        if section.folds:
            job.say(f"{section.folds} folds: {metric} {report['folds']['mean'].get(metric)}")
        if reasons:
            job.say("REFUSED: " + reasons[0])


if __name__ == "__main__":
    main()
