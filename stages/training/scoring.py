"""Answers and truths in, every score of the target on common resamples out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract import Contract
from stages.contract.decide import Decide
from stages.core.errors import ContractError, suggest
from stages.core.graph import as_type, run, session
from stages.core.problem import Problem
from stages.statistics.bootstrap import Score, bootstrap, summarise
from stages.training import Arrays

BATCH_ROWS = 256
MIN_SLICE_ROWS = 30
Samples = Mapping[tuple[str, str], np.ndarray]  # by model and metric


@dataclass(frozen=True)
class Scoring:
    """How answers to one problem are judged. `decision` is actions [A] and their worth [C, A], where classes have one.

    `arrays` below are a split's: `target`, `group`, where declared `weight`, and what the network takes.
    """

    problem: Problem
    decision: tuple[list[str], np.ndarray] | None
    seed: int

    def functions(self, answer: np.ndarray, arrays: Arrays) -> dict[str, Score]:
        """Each score as a function of how often rows are drawn; a row counts by its weight, where it has one."""
        found: dict[str, Score] = self.problem.target.score_functions(self.problem.state, self.decision, answer, arrays)
        if "weight" not in arrays:
            return found
        return {name: partial(weighted, score, arrays["weight"]) for name, score in found.items()}

    def samples(self, answers: Mapping[str, np.ndarray], arrays: Arrays) -> dict[tuple[str, str], np.ndarray]:
        """Bootstrap samples by (model, metric); models are paired, since they see the same resamples."""
        functions = {
            (name, metric): function
            for name, answer in answers.items()
            for metric, function in self.functions(answer, arrays).items()
        }
        return bootstrap(functions, arrays["group"], seed=self.seed)

    def slices(
        self, columns: pa.Table, answers: Mapping[str, np.ndarray], arrays: Arrays
    ) -> dict[str, dict[str, tuple[int, Samples]]]:
        """By column and value: how many rows have it, and the samples on them; none where these are too few."""
        found: dict[str, dict[str, tuple[int, Samples]]] = {}
        for name in columns.column_names:
            values = np.array([str(value) for value in columns.column(name).to_pylist()])
            found[name] = {}
            for value in sorted(set(values.tolist())):
                rows = values == value
                part = {key: array[rows] for key, array in arrays.items()}
                own = {key: answer[rows] for key, answer in answers.items()}
                enough = rows.sum() >= MIN_SLICE_ROWS
                found[name][value] = int(rows.sum()), self.samples(own, part) if enough else {}
        return found

    def calibrate(self, network: bytes, arrays: Arrays) -> Any:
        """What a network's own outputs on these held-out rows say of how far to trust them."""
        target = self.problem.target
        if not hasattr(target, "calibrate"):  # an order of items has nothing to calibrate
            return target.UNCALIBRATED
        return target.calibrate(run(network, dict(arrays))["outputs"], arrays, state=self.problem.state)

    def answers(self, network: bytes, arrays: Arrays, calibration: Mapping[str, Any]) -> np.ndarray:
        """A network's calibrated answers, batch by batch: outputs of all rows may be too many to hold."""
        target, running = self.problem.target, session(network)
        wanted = {value.name: value.type for value in running.get_inputs()}
        parts = []
        for start in range(0, max(len(arrays["target"]), 1), BATCH_ROWS):
            batch = {name: array[start : start + BATCH_ROWS] for name, array in arrays.items()}
            outputs = running.run(["outputs"], {name: as_type(batch[name], kind) for name, kind in wanted.items()})[0]
            parts.append(target.answer(outputs, calibration, state=self.problem.state, arrays=batch))
        return np.concatenate(parts)


def weighted(score: Score, weight_N: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    return score(weights_RN * weight_N)


def show_slices(slices: Mapping[str, Mapping[str, tuple[int, Samples]]], model: str) -> dict[str, Any]:
    """One model's scores on each slice, as reports have them."""
    return {
        name: {
            value: {"rows": rows, **{metric: summarise(own) for (of, metric), own in samples.items() if of == model}}
            if samples
            else {"rows": rows, "absent": f"fewer than {MIN_SLICE_ROWS} rows"}
            for value, (rows, samples) in values.items()
        }
        for name, values in slices.items()
    }


def check_slices(names: Sequence[str], columns: Mapping[str, Any], path: str) -> None:
    for name in names:
        if name not in columns:
            raise ContractError(f"{path}.slices names {name!r}, which is not declared.{suggest(name, columns)}")


def scoring_of(problem: Problem, contract: Contract, seed: int) -> Scoring:
    """With the money of `<pipeline>.decide`, where it is declared."""
    decide = contract.section("decide", Decide)
    return Scoring(problem, problem.target.decision(problem.state, decide, f"{contract.pipeline}.decide"), seed)
