"""One of two or many classes: labels in; loss, scores, calibration and decision out."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract.decide import Decide
from stages.contract.target import Target
from stages.core.errors import ContractError, DataError, suggest
from stages.core.graph import Graph
from stages.statistics import scores
from stages.statistics.bootstrap import Score

State = Mapping[str, Any]
SMALLER_IS_BETTER = ("log_loss", "brier")
METRICS = ("accuracy", "log_loss", "brier", "roc_auc", "average_precision", "f1", "macro_f1", "value")
FREE_OF_CALIBRATION = ("accuracy", "roc_auc", "average_precision", "f1", "macro_f1")
UNCALIBRATED = {"temperature": 1.0}


def fit(target: Target, labels: pa.ChunkedArray) -> dict[str, Any]:
    """Classes in alphabetical order; for two classes, which is the positive one (default: the last)."""
    counts = Counter(word(value) for value in labels.to_pylist())
    classes = sorted(counts)
    if len(classes) < 2:
        raise DataError(
            f"the training rows have one class of {target.column}: {classes}. Nothing can be learnt from it."
        )
    positive = target.positive if target.positive is not None else classes[-1]
    if positive not in classes:
        raise ContractError(
            f"examples.target.positive is {positive!r}.{suggest(positive, classes)} Classes in the data: "
            f"{', '.join(classes)}"
        )
    return {
        "type": "category",
        "column": target.column,
        "classes": classes,
        "positive": classes.index(positive),
        "counts": [counts[name] for name in classes],
    }


def word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def encode(state: State, labels: pa.ChunkedArray) -> np.ndarray:
    """int64 [N]. Raises DataError on a class that training never saw."""
    places = {name: place for place, name in enumerate(state["classes"])}
    words = [word(value) for value in labels.to_pylist()]
    unseen = sorted(set(words) - set(places))
    if unseen:
        raise DataError(
            f"{state['column']} has classes that no training row has: {unseen}. Widen training, or reject them in "
            "the contract's values."
        )
    return np.array([places[name] for name in words], np.int64)


def num_outputs(state: State) -> int:
    return len(state["classes"])


def loss(outputs_BC: Any, truth_B: Any, *, label_smoothing: float = 0.0) -> Any:
    """Cross-entropy of a torch batch, a scalar."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(outputs_BC, truth_B, label_smoothing=label_smoothing)


def probabilities(outputs_NC: np.ndarray, calibration: Mapping[str, float]) -> np.ndarray:
    """float64 [N, C]: softmax of outputs / temperature."""
    scaled = outputs_NC.astype(np.float64) / calibration["temperature"]
    grown = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(grown / grown.sum(1, keepdims=True))


def calibrate(outputs_NC: np.ndarray, truth_N: np.ndarray) -> dict[str, float]:
    """The temperature with the least log loss on held-out rows (Guo et al. 2017).

    Truths are softened as Platt (1999) does, by 1 / (rows of the class + 2): where the rows are
    few or perfectly separated, the answer is not made surer than they can show.
    """
    from scipy.optimize import minimize_scalar

    num_classes = outputs_NC.shape[1]
    doubt_N = 1.0 / (np.bincount(truth_N, minlength=num_classes)[truth_N] + 2.0)
    wanted_NC = np.tile(doubt_N[:, None] / (num_classes - 1), (1, num_classes))
    wanted_NC[np.arange(len(truth_N)), truth_N] = 1.0 - doubt_N

    def held_out(log_temperature: float) -> float:
        chances_NC = probabilities(outputs_NC, {"temperature": float(np.exp(log_temperature))})
        return float(-(wanted_NC * np.log(np.clip(chances_NC, 1e-300, 1.0))).sum(1).mean())

    found = minimize_scalar(held_out, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return {"temperature": float(f"{np.exp(found.x):.6g}")}


def prior(state: State, num_rows: int) -> np.ndarray:
    """float64 [N, C]: the class shares of the training rows, the same for every row."""
    shares = np.array(state["counts"], np.float64)
    return np.tile(shares / shares.sum(), (num_rows, 1))


def score_functions(
    state: State, decide: tuple[list[str], np.ndarray] | None, chances_NC: np.ndarray, truth_N: np.ndarray
) -> dict[str, Score]:
    """Each score of this target by name, as a function of row weights. `value` is money a row."""
    guess_N = chances_NC.argmax(1)
    found: dict[str, Score] = {
        "accuracy": partial(scores.mean, (guess_N == truth_N).astype(np.float64)),
        "log_loss": partial(scores.mean, scores.log_loss_rows(chances_NC, truth_N)),
        "brier": partial(scores.mean, scores.brier_rows(chances_NC, truth_N)),
    }
    if len(state["classes"]) == 2:
        positive = state["positive"]
        found["roc_auc"] = partial(scores.roc_auc, chances_NC[:, positive], truth_N == positive)
        found["average_precision"] = partial(scores.average_precision, chances_NC[:, positive], truth_N == positive)
        found["f1"] = partial(scores.f1, guess_N == positive, truth_N == positive)
    else:
        found["macro_f1"] = partial(scores.macro_f1, guess_N, truth_N, len(state["classes"]))
    if decide is not None:
        worth_CA = decide[1]
        found["value"] = partial(scores.mean, worth_CA[truth_N, (chances_NC @ worth_CA).argmax(1)])
    return found


def metric_names(state: State, has_value: bool) -> list[str]:
    few = ["roc_auc", "average_precision", "f1"] if len(state["classes"]) == 2 else ["macro_f1"]
    return ["accuracy", "log_loss", "brier", *few, *(["value"] if has_value else [])]


def sign(metric: str) -> int:
    """+1 where more is better, -1 where less is."""
    return -1 if metric in SMALLER_IS_BETTER else 1


def nodes(state: State, calibration: Mapping[str, float], decide: Decide, path: str) -> Any:
    """Outputs [N, C] → `probabilities` [N, C], `decision` [N] and, where declared, `expected_value` [N]."""
    graph, num_classes = Graph(), len(state["classes"])
    actions, worth_CA = decide.matrix(list(state["classes"]), path)
    outputs = graph.input("outputs", "float32", ["N", num_classes])
    scaled = graph("Div", outputs, graph.constant(calibration["temperature"], "float32"))
    chances = graph("Softmax", scaled, axis=1)
    worth = graph("MatMul", chances, graph.constant(worth_CA, "float32"))
    best = graph("ArgMax", worth, axis=1, keepdims=0)
    graph.output(chances, "probabilities", "float32", ["N", num_classes])
    graph.output(graph("Gather", graph.constant(actions, "string"), best), "decision", "string", ["N"])
    if decide.value:
        graph.output(graph("ReduceMax", worth, graph.integers(1), keepdims=0), "expected_value", "float32", ["N"])
    return graph.build("decide")


def describe(state: State, decide: Decide) -> dict[str, Any]:
    """The outputs as a bundle's contract.json names them."""
    outputs: list[dict[str, Any]] = [
        {
            "name": "probabilities",
            "type": "float32",
            "shape": ["N", len(state["classes"])],
            "classes": list(state["classes"]),
        },
        {"name": "decision", "type": "string", "shape": ["N"], "values": list(decide.value) or list(state["classes"])},
    ]
    if decide.value:
        outputs.append({"name": "expected_value", "type": "float32", "shape": ["N"], "unit": decide.currency})
    return {"target": state["column"], "outputs": outputs}
