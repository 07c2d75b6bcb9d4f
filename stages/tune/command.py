"""What was typed in; trials run, the page written, and the change printed or made out."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.contract import Contract, load
from stages.contract.section import parse
from stages.core import store
from stages.core.errors import ContractError, SourceError, TrainingError
from stages.core.files import read_json, write_text
from stages.core.tensors import read_tensors
from stages.statistics.bootstrap import summarise
from stages.training.auto import CODE, Bench, fit_one
from stages.training.features import problem_of
from stages.training.scoring import scoring_of
from stages.tune.change import change, diff
from stages.tune.page import interval, page
from stages.tune.plots import Point
from stages.tune.section import Tune, check, present, ranges_of
from stages.tune.study import Search, finished, open_study
from stages.tune.study import run as run_trials

if TYPE_CHECKING:
    import optuna

PARTS = ("train.safetensors", "validation.safetensors", "features.json")
LEAST_FOR_IMPORTANCE = 8


def run(arguments: Namespace) -> None:
    """The whole search, as typed."""
    pipeline: str = arguments.pipeline
    contract = load(arguments.params, pipeline)
    if "tune" not in contract.raw:
        raise ContractError(
            f"{pipeline}.tune is missing. Declare what to search, such as "
            "tune: {ranges: {learning_rate: {low: 1e-4, high: 1e-2, log: true}}}"
        )
    check(contract)
    out: Path = arguments.out or Path("data/.tune") / pipeline
    folder = arguments.features or Path("data/features") / pipeline
    kept = store.Store(out)
    with kept.lock("study", "search"):
        search = search_of(contract, folder, kept)
        name = store.key(contract.get("train"), search.section.model_dump(exclude={"trials", "seconds"}),
                         search.bench.inputs, search.metric, code=CODE)  # fmt: skip
        study = open_study(search, out / "study.db", name)
        trials = arguments.trials or search.section.trials
        seconds = arguments.seconds or search.section.seconds or float("inf")
        if (processes := search.train({}).processes) > 1:
            told = f"trials are fitted in one process each; train.processes ({processes}) holds for `dvc repro`"
            print(told, file=sys.stderr)
        run_trials(search, study, trials=trials, seconds=seconds, say=lambda text: print(text, flush=True))
        conclude(search, study, contract, arguments, out=out, trials=trials)


def search_of(contract: Contract, folder: Path, kept: store.Store) -> Search:
    """Reads train and validation; the test split is not among what `features` makes."""
    paths = [folder / name for name in PARTS]
    for path in paths:
        if not path.exists():
            raise SourceError(f"{path} does not exist. Run `dvc repro features@{contract.pipeline}`")
    where = f"{contract.pipeline}.tune"
    section = parse(Tune, contract.raw["tune"], where)
    problem = problem_of(read_json(folder / "features.json"), contract)
    splits = {name: read_tensors(folder / f"{name}.safetensors") for name in ("train", "validation")}
    bench = Bench(problem, splits, store.file_hashes(paths), kept)
    scoring = scoring_of(problem, contract, section.seed)
    names = problem.target.metric_names(problem.state, scoring.decision is not None)
    declared = section.metric or (contract.raw.get("evaluate") or {}).get("metric")
    metric = declared or str(problem.target.default_metric(problem.state, scoring.decision is not None))
    if metric not in names:
        raise ContractError(f"{where}.metric is {metric!r}; this target has {', '.join(names)}")
    return Search(section, ranges_of(section, where), contract.get("train"), bench, scoring, metric)


def conclude(
    search: Search, study: "optuna.Study", contract: Contract, arguments: Namespace, *, out: Path, trials: int
) -> None:
    """Compare the best with the present setting, write the page, and print the change, or make it."""
    points = points_of(study)
    best = best_of(points, search.sign)
    if best is None:
        print("no trial has a score yet. The same command goes on where this one ended", file=sys.stderr)
        return
    about = compare(search, best)
    before = arguments.params.read_bytes().decode("utf-8")
    train = search.train({})
    values = {name: value for name, value in best.values.items() if value != present(train, name)}
    after = change(before, contract.pipeline, values)
    about |= {
        "pipeline": contract.pipeline, "model": train.model, "metric": search.metric, "sign": search.sign,
        "finished": len(points), "trials": trials, "pruned": sum(point.score is None for point in points),
        "rows": len(search.bench.splits["validation"]["target"]), "importance": importance_of(study),
        "diff": diff(before, after, arguments.params.name), "best": best.number,
    }  # fmt: skip
    write_text(out / "report.html", page(about, points, search.ranges))
    for line in summary(about, out / "report.html"):
        print(line, file=sys.stderr)
    print(about["diff"], end="", flush=True)
    if arguments.write and after != before:
        write_text(arguments.params, after)
        print(f"written: {arguments.params}. Review it, then `dvc repro train@{contract.pipeline}`", file=sys.stderr)


def points_of(study: "optuna.Study") -> list[Point]:
    found = [trial for trial in finished(study) if "values" in trial.user_attrs]
    complete = [trial.state.name == "COMPLETE" for trial in found]
    return [
        Point(number, trial.value if scored else None, trial.user_attrs["values"])
        for number, (trial, scored) in enumerate(zip(found, complete, strict=True), 1)
    ]


def best_of(points: list[Point], sign: int) -> Point | None:
    """Of equal scores the first."""
    scored = [(sign * point.score, -point.number, point) for point in points if point.score is not None]
    return max(scored)[2] if scored else None


def compare(search: Search, best: Point) -> dict[str, Any]:
    """Both settings on the same resamples of validation, paired, where the present one can be fitted."""
    answers, lost = {"winner": answers_of(search, best.values)}, ""
    try:
        answers["present"] = answers_of(search, {})
    except TrainingError as error:
        lost = str(error)
    samples = search.scoring.samples(answers, search.bench.splits["validation"])
    found: dict[str, Any] = {name: summarise(samples[name, search.metric]) for name in answers}
    if lost:
        words = f"the present setting has no score: {lost}"
        return {**found, "present": {"absent": "no score"}, "difference": {"absent": "none"}, "shown": False,
                "words": words}  # fmt: skip
    ahead = summarise(samples["winner", search.metric] - samples["present", search.metric])
    signed = summarise(search.sign * (samples["winner", search.metric] - samples["present", search.metric]))
    shown = signed.get("low", -1.0) > 0
    words = "shown better than the present setting" if shown else "not shown better than the present setting"
    return {**found, "difference": ahead, "shown": shown, "words": f"{words}; a winner's own rows flatter it"}


def answers_of(search: Search, values: Mapping[str, Any]) -> np.ndarray:
    return search.answers(fit_one(search.train(values), search.bench, report=lambda text: None))


def importance_of(study: "optuna.Study") -> Mapping[str, float] | str:
    """fANOVA over the trials that have a score (Hutter et al. 2014), or why it is not known."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    scores = [trial.value for trial in finished(study) if trial.state.name == "COMPLETE"]
    if len(scores) < LEAST_FOR_IMPORTANCE or len(set(scores)) < 2:
        return f"fewer than {LEAST_FOR_IMPORTANCE} trials with a score, or all alike"
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def summary(about: Mapping[str, Any], path: Path) -> list[str]:
    lines = [f"{about['finished']} of {about['trials']} trials, {about['pruned']} pruned or without a score"]
    lines.append(f"present setting: {about['metric']} {interval(about['present'])}")
    lines.append(f"best (trial {about['best']}): {about['metric']} {interval(about['winner'])}")
    lines.append(f"difference, paired: {interval(about['difference'])}: {about['words']}")
    return [*lines, f"plots: {path}"]
