"""The very `model.onnx` that ships and the raw test split in; final scores and a verdict out.

The only stage that sees the test split. Each gate asks for evidence: an interval, not a point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from stages.columns import inputs
from stages.contract import Contract
from stages.contract.section import Section as BaseSection
from stages.core import cli
from stages.core.errors import ContractError, suggest
from stages.core.files import read_json, sha256, write_json
from stages.core.graph import run
from stages.core.problem import Problem
from stages.statistics.bootstrap import summarise
from stages.targets import target_module
from stages.training.features import problem_of
from stages.training.scoring import Samples, check_slices, scoring_of, show_slices

SHIPPED, RIVAL = "model", "baseline"  # where a baseline ships, its rival is the network


@dataclass(frozen=True)
class Evidence:
    """Bootstrap samples on all test rows; and by column and value, with how many rows there are, on those alone."""

    samples: Samples
    slices: Mapping[str, Mapping[str, tuple[int, Samples]]] = field(default_factory=dict)


class Gate(BaseSection):
    """One condition on a metric of the test split, held against the end of its 95% interval.

    `baseline` is the best one by validation or, where that ships, the network.

    `at_least` / `at_most`: the whole interval lies on that side. `better_than`: the paired
    difference is above 0. `not_worse_than` … `by`: it is not below -by.
    `where: {column: value}`: asked of these test rows alone; the column is one of `slices`.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    better_than: Literal["prior", "baseline"] | None = None
    not_worse_than: Literal["prior", "baseline"] | None = None
    by: float = Field(default=0.0, ge=0)
    where: dict[str, str] = Field(default={}, max_length=1)

    @model_validator(mode="after")
    def one_condition(self) -> "Gate":
        given = [self.at_least, self.at_most, self.better_than, self.not_worse_than]
        if sum(value is not None for value in given) != 1:
            raise ValueError("exactly one of at_least, at_most, better_than, not_worse_than")
        if self.by and self.not_worse_than is None:
            raise ValueError("by only beside not_worse_than")
        return self


class Section(BaseSection):
    """Without `gates`, the model must be shown better than one answer for all rows by evaluate's metric.

    `slices`: columns for each of whose values the scores on test are reported too.
    """

    gates: list[Gate] = []
    slices: list[str] = []
    seed: int = Field(default=0, ge=0)


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.assay`."""
    section, known = contract.section("assay", Section), target_module(contract.target).METRICS
    check_slices(section.slices, contract.example_columns, f"{contract.pipeline}.assay")
    for place, gate in enumerate(section.gates):
        if gate.metric not in known:
            hint = suggest(gate.metric, known)
            where = f"{contract.pipeline}.assay.gates.{place}.metric"
            raise ContractError(f"{where} is {gate.metric!r}.{hint} There are {', '.join(known)}")
        for name in gate.where:
            if name not in section.slices:
                raise ContractError(
                    f"{contract.pipeline}.assay.gates.{place}.where names {name!r}, which assay.slices does not list"
                )


def open_gate(gate: Gate, samples: Mapping[tuple[str, str], np.ndarray], sign: int, path: str) -> dict[str, Any]:
    """One gate's result: passed, what was asked, what was found."""
    metrics = sorted({metric for _, metric in samples})
    if gate.metric not in metrics:
        raise ContractError(
            f"{path} asks for {gate.metric!r}.{suggest(gate.metric, metrics)} This target has {', '.join(metrics)}"
        )
    asked = gate.model_dump(exclude_none=True, exclude_defaults=True)
    own = samples[SHIPPED, gate.metric]
    other = gate.better_than or gate.not_worse_than
    if other is not None and (other, gate.metric) not in samples:
        raise ContractError(
            f"{path} compares with the {other}, and evaluate.baselines declares none. Declare one there"
        )
    if other is None:
        found = summarise(own)
        low, high = found.get("low", np.nan), found.get("high", np.nan)
        passed = low >= gate.at_least if gate.at_least is not None else high <= gate.at_most
    else:
        found = summarise(sign * (own - samples[other, gate.metric]))
        low = found.get("low", np.nan)
        passed = low > 0 if gate.better_than else low >= -gate.by
    return {"gate": asked, "passed": bool(passed), "found": found}


def explain(result: Mapping[str, Any]) -> str:
    asked = ", ".join(f"{key} {value}" for key, value in result["gate"].items())
    found = result["found"]
    interval = (
        f"{found['value']:.4f}, 95% interval [{found['low']:.4f}, {found['high']:.4f}]"
        if "low" in found
        else found.get("absent")
    )
    return f"gate ({asked}): found {interval}"


def predict(model: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run(model.read_bytes(), dict(arrays), batch_size=64)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("assay", "compressed", "features", "test", "evaluation", argv=argv) as job:
        contract = job.contract
        evaluation = cli.require_passed(job["evaluation"])
        section = contract.section("assay", Section)
        problem = problem_of(read_json(job["features"]), contract)
        with job["test"].open("rb") as file:
            test = pq.read_table(file)
        arrays = inputs(contract.input_columns, test)
        target, state = problem.target, problem.state
        shipped = predict(job["compressed"] / "model.onnx", arrays)
        constant = np.tile(evaluation["constant"], (test.num_rows, 1))
        answers = {SHIPPED: target.answer_of_graph(state, shipped), "prior": constant}
        if (rival := job["compressed"] / "rival.onnx").exists():
            answers[RIVAL] = target.answer_of_graph(state, predict(rival, arrays))
        truths = {**target.encode(state, test), "group": np.asarray(test.column("_group"), np.int64)}
        scoring = scoring_of(problem, contract, section.seed)
        slices = scoring.slices(test.select(section.slices), answers, truths)
        evidence = Evidence(scoring.samples(answers, truths), slices)
        report = judge(evidence, section, problem, evaluation["metric"], f"{contract.pipeline}.assay.gates")
        facts = {
            "rows": test.num_rows,
            "model_sha256": sha256(job["compressed"] / "model.onnx"),
            "test_sha256": sha256(job["test"]),
        }
        report |= {"slices": show_slices(slices, SHIPPED)} if slices else {}
        write_json(job.out / "assay.json", {**report, **facts, "decisions": target.tally(state, shipped)})
        metric = evaluation["metric"]
        own = report["scores"][SHIPPED][metric]
        job.say(f"{test.num_rows:,} test rows, {metric} {own.get('value')} [{own.get('low')}, {own.get('high')}]")
        for name, values in report.get("slices", {}).items():
            told = (f"{value} {entry[metric].get('value')}" for value, entry in values.items() if metric in entry)
            job.say(f"{metric} by {name}: {', '.join(told)}")
        job.say("passed" if report["passed"] else "REFUSED: " + report["reasons"][0])


def rows_of(gate: Gate, evidence: Evidence, path: str) -> Samples:
    """The samples that a gate speaks of. Raises ContractError where `where` has no row, or too few."""
    for name, value in gate.where.items():
        rows, own = evidence.slices[name].get(value, (0, {}))
        if not own:
            raise ContractError(
                f"{path} asks of rows whose {name} is {value!r}, and the test has {rows} of them, too few to tell. "
                f"It has "
                f"{', '.join(evidence.slices[name])}"
            )
        return own
    return evidence.samples


def judge(evidence: Evidence, section: Section, problem: Problem, metric: str, path: str) -> dict[str, Any]:
    """Verdict, every gate's result, all scores, and the paired differences to baseline and prior."""
    samples = evidence.samples
    gates = section.gates or [Gate(metric=metric, better_than="prior")]
    results = [open_gate(gate, rows_of(gate, evidence, path), problem.target.sign(gate.metric), path) for gate in gates]
    reasons = [explain(result) for result in results if not result["passed"]]
    scores: dict[str, dict[str, Any]] = {}
    for (name, score), values in samples.items():
        scores.setdefault(name, {})[score] = summarise(values)
    minus = {
        other: {score: summarise(samples[SHIPPED, score] - samples[other, score]) for score in scores[SHIPPED]}
        for other in scores
        if other != SHIPPED
    }
    return {
        "passed": not reasons,
        "reasons": reasons,
        "gates": results,
        "metric": metric,
        "scores": scores,
        "model_minus": minus,
    }


if __name__ == "__main__":
    main()
