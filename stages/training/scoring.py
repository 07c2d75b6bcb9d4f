"""Probabilities and truths in, every score of the target on common resamples out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.contract import Contract
from stages.contract.decide import Decide
from stages.core.graph import run
from stages.statistics.bootstrap import Score, bootstrap
from stages.training import Problem


@dataclass(frozen=True)
class Scoring:
    """How predictions of one problem are judged. `decision` is actions [A] and their worth [C, A]."""

    problem: Problem
    decision: tuple[list[str], np.ndarray] | None
    seed: int

    def functions(self, chances_NC: np.ndarray, truth_N: np.ndarray) -> dict[str, Score]:
        target = self.problem.target
        found: dict[str, Score] = target.score_functions(self.problem.state, self.decision, chances_NC, truth_N)
        return found

    def samples(
        self, chances: Mapping[str, np.ndarray], truth_N: np.ndarray, groups_N: np.ndarray
    ) -> dict[tuple[str, str], np.ndarray]:
        """Bootstrap samples by (model, metric); models are paired, since they see the same resamples."""
        functions = {
            (name, metric): function
            for name, values_NC in chances.items()
            for metric, function in self.functions(values_NC, truth_N).items()
        }
        return bootstrap(functions, groups_N, seed=self.seed)

    def chances(self, network: bytes, arrays: Mapping[str, np.ndarray], calibration: Mapping[str, float]) -> np.ndarray:
        """Calibrated probabilities [N, C] of a network over encoded arrays."""
        outputs = run(network, dict(arrays))["outputs"]
        return np.asarray(self.problem.target.probabilities(outputs, calibration))


def scoring_of(problem: Problem, contract: Contract, seed: int) -> Scoring:
    """With the money of `<pipeline>.decide`, where it is declared."""
    decide = contract.section("decide", Decide)
    classes: Any = problem.state["classes"]
    path = f"{contract.pipeline}.decide"
    return Scoring(problem, decide.matrix(list(classes), path) if decide.value else None, seed)
