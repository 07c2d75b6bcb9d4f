"""One of two or many classes: labels in; loss, scores, calibration and decision out.

Truths are places of classes [N], or shares of the classes [N, C] where labels are soft.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract.decide import Decide
from stages.contract.target import Target
from stages.core.errors import ContractError, DataError, suggest
from stages.statistics import scores
from stages.statistics.bootstrap import Score
from stages.statistics.plots import Table, class_plots
from stages.targets._labels import soft_labels, weights_of, word

State = Mapping[str, Any]
Calibration = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]
SMALLER_IS_BETTER = ("log_loss", "brier")
METRICS = ("accuracy", "log_loss", "brier", "roc_auc", "average_precision", "f1", "macro_f1", "value")
BY_ORDER = ("roc_auc", "average_precision")  # scores that no calibration of two classes changes
BY_LIKELIEST = ("accuracy", "f1", "macro_f1")  # scores that a temperature leaves as they are
UNCALIBRATED = {"temperature": 1.0}


def fit(target: Target, table: pa.Table) -> dict[str, Any]:
    """Classes in alphabetical order, or as `soft` names them; of two, which is the positive one (default: the last)."""
    if target.soft is None:
        words = [word(value) for value in table.column(target.column).to_pylist()]
        classes = sorted(set(words))
        counts: Mapping[str, float] = count(words, weights_of({"weight": target.weight}, table))
    else:
        classes = list(target.soft)
        shares_NC = soft_labels(target.soft, target.column, table)
        weight_N = weights_of({"weight": target.weight}, table).get("weight", np.ones(len(shares_NC)))
        counts = dict(zip(classes, (weight_N @ shares_NC).tolist(), strict=True))
    if len([name for name in classes if counts[name]]) < 2:
        raise DataError(
            f"the training rows have one class of {target.column}: {classes}. Nothing can be learnt from it."
        )
    positive = target.positive if target.positive is not None else classes[-1]
    if positive not in classes:
        raise ContractError(
            f"examples.target.positive is {positive!r}.{suggest(positive, classes)} Classes in the data: "
            f"{', '.join(classes)}"
        )
    state = {
        "type": "category",
        "column": target.column,
        "classes": classes,
        "positive": classes.index(positive),
        "counts": [counts[name] for name in classes],
    }
    optional = {"soft": target.soft, "weight": target.weight, "class_weight": class_weights(target, counts)}
    return state | {key: value for key, value in optional.items() if value is not None}


def count(words: list[str], weights: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How many rows have each word; where rows have weights, what those add up to."""
    if not weights:
        return dict(Counter(words))
    found: dict[str, float] = dict.fromkeys(words, 0.0)
    for name, weight in zip(words, weights["weight"].tolist(), strict=True):
        found[name] += weight
    return found


def class_weights(target: Target, counts: Mapping[str, float]) -> list[float] | None:
    """Of each class; `balanced` gives every class the same total, as scikit-learn does."""
    declared = target.class_weight
    if declared is None:
        return None
    if declared == "balanced":
        return [sum(counts.values()) / (len(counts) * total) if total else 1.0 for total in counts.values()]
    for name in set(declared) ^ set(counts):
        raise ContractError(
            f"examples.target.class_weight: {name!r} is {'no class' if name in declared else 'left out'}. "
            f"Give a weight for each of {', '.join(counts)}"
        )
    return [float(declared[name]) for name in counts]


def encode(state: State, table: pa.Table) -> dict[str, np.ndarray]:
    """`target` int64 [N], or float32 [N, C] of soft labels. Raises DataError on a class that training never saw."""
    weights = weights_of(state, table)
    if "soft" in state:
        return {"target": soft_labels(state["soft"], state["column"], table).astype(np.float32), **weights}
    places = {name: place for place, name in enumerate(state["classes"])}
    words = [word(value) for value in table.column(state["column"]).to_pylist()]
    unseen = sorted(set(words) - set(places))
    if unseen:
        raise DataError(
            f"{state['column']} has classes that no training row has: {unseen}. Widen training, or reject them in "
            "the contract's values."
        )
    return {"target": np.array([places[name] for name in words], np.int64), **weights}


def num_outputs(state: State) -> int:
    return len(state["classes"])


def loss(state: State, outputs_BC: Any, truth_B: Any, weight_B: Any = None, *, label_smoothing: float = 0.0) -> Any:
    """Cross-entropy of a torch batch, a scalar: the mean by weights of rows and classes; 0 where all are 0."""
    from torch.nn.functional import cross_entropy

    if weight_B is None and "class_weight" not in state:
        return cross_entropy(outputs_BC, truth_B, label_smoothing=label_smoothing)
    losses_B = cross_entropy(outputs_BC, truth_B, label_smoothing=label_smoothing, reduction="none")
    total_B = row_weights(state, truth_B, weight_B)
    return (losses_B * total_B).sum() / total_B.sum().clamp(min=1e-12)


def row_weights(state: State, truth_B: Any, weight_B: Any = None) -> Any:
    """float [B]: what each row counts for in the loss, by its own weight and its class's."""
    import torch

    total_B = torch.ones(len(truth_B), device=truth_B.device) if weight_B is None else weight_B.float()
    if "class_weight" in state:
        of_class_C = torch.tensor(state["class_weight"], device=truth_B.device)
        total_B = total_B * (of_class_C[truth_B] if truth_B.ndim == 1 else truth_B.float() @ of_class_C)
    return total_B


def answer(outputs_NC: np.ndarray, calibration: Calibration, *, state: State, arrays: Arrays) -> np.ndarray:
    """float64 [N, C]: the probabilities of the classes."""
    return probabilities(outputs_NC, calibration)


def answer_of_graph(state: State, outputs: Arrays) -> np.ndarray:
    return outputs["probabilities"].astype(np.float64)


def tally(state: State, outputs: Arrays) -> dict[str, int]:
    """How often model.onnx takes each decision."""
    names, counts = np.unique(outputs["decision"].astype(str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def probabilities(outputs_NC: np.ndarray, calibration: Calibration) -> np.ndarray:
    """float64 [N, C]: softmax of outputs / temperature + shift."""
    scaled = outputs_NC.astype(np.float64) / calibration["temperature"] + np.array(calibration.get("shift", 0.0))
    grown = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(grown / grown.sum(1, keepdims=True))


def calibrate(outputs_NC: np.ndarray, arrays: Arrays, *, state: State) -> dict[str, Any]:
    """The temperature with the least log loss on held-out rows (Guo et al. 2017).

    Where classes were weighted in training, a shift a class beside it: the answer is of the classes as they are,
    not as they were weighted. Truths are softened as Platt (1999) does, by 1 / (rows of the class + 2): where the
    rows are few or perfectly separated, the answer is not made surer than they can show.
    """
    from scipy.optimize import minimize, minimize_scalar

    num_classes = outputs_NC.shape[1]
    truth_NC = arrays["target"] if arrays["target"].ndim == 2 else np.eye(num_classes)[arrays["target"]]
    weight_N = arrays.get("weight", np.ones(len(truth_NC)))
    doubt_C = 1.0 / (truth_NC.sum(0) + 2.0)
    softened_CC = np.diag(1.0 - doubt_C * num_classes / (num_classes - 1)) + (doubt_C / (num_classes - 1))[:, None]
    wanted_NC = truth_NC.astype(np.float64) @ softened_CC

    share_N = weight_N / max(weight_N.sum(), 1e-12)

    def held_out(calibration: Calibration) -> tuple[float, np.ndarray]:
        chances_NC = probabilities(outputs_NC, calibration)
        loss = -(share_N * (wanted_NC * np.log(np.clip(chances_NC, 1e-300, 1.0))).sum(1)).sum()
        return float(loss), share_N[:, None] * (chances_NC - wanted_NC)

    def weighed(values: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss, and its gradient by the log temperature and the shifts."""
        loss, wrong_NC = held_out(unpack(values))
        return loss, np.array([-(wrong_NC * outputs_NC).sum() / np.exp(values[0]), *wrong_NC.sum(0)[1:]])

    if "class_weight" in state:
        weights_C = np.maximum(state["class_weight"], 1e-6)
        start = np.concatenate([[0.0], np.log(weights_C[0] / weights_C[1:])])
        bounds = [(np.log(0.05), np.log(20.0)), *[(-20.0, 20.0)] * (num_classes - 1)]
        found = minimize(weighed, start, jac=True, bounds=bounds, method="L-BFGS-B").x
        return {"temperature": rounded(np.exp(found[0])), "shift": [0.0, *(rounded(value) for value in found[1:])]}
    best = minimize_scalar(
        lambda x: held_out({"temperature": float(np.exp(x))})[0], bounds=(np.log(0.05), np.log(20.0)), method="bounded"
    )
    return {"temperature": rounded(np.exp(best.x))}


def unpack(values: np.ndarray) -> dict[str, Any]:
    """[log temperature, shifts of all classes but the first] as a calibration."""
    return {"temperature": float(np.exp(values[0])), "shift": [0.0, *values[1:].tolist()]}


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


def decision(state: State, decide: Decide, path: str) -> tuple[list[str], np.ndarray] | None:
    """Actions [A] and their worth [C, A], where they are declared."""
    return decide.matrix(list(state["classes"]), path) if decide.value else None


def score_functions(
    state: State, decide: tuple[list[str], np.ndarray] | None, chances_NC: np.ndarray, arrays: Arrays
) -> dict[str, Score]:
    """Each score of this target by name, as a function of row weights. `value` is money a row.

    Of soft truths, what asks for one class takes the likeliest.
    """
    truth_N = arrays["target"]
    hard_N, guess_N = truth_N.argmax(1) if truth_N.ndim == 2 else truth_N, chances_NC.argmax(1)
    found: dict[str, Score] = {
        "accuracy": partial(scores.mean, (guess_N == hard_N).astype(np.float64)),
        "log_loss": partial(scores.mean, scores.log_loss_rows(chances_NC, truth_N)),
        "brier": partial(scores.mean, scores.brier_rows(chances_NC, truth_N)),
    }
    if len(state["classes"]) == 2:
        positive = state["positive"]
        found["roc_auc"] = partial(scores.roc_auc, chances_NC[:, positive], hard_N == positive)
        found["average_precision"] = partial(scores.average_precision, chances_NC[:, positive], hard_N == positive)
        found["f1"] = partial(scores.f1, guess_N == positive, hard_N == positive)
    else:
        found["macro_f1"] = partial(scores.macro_f1, guess_N, hard_N, len(state["classes"]))
    if decide is not None:
        worth_CA = decide[1]
        worth_NA = worth_CA[truth_N] if truth_N.ndim == 1 else truth_N @ worth_CA
        found["value"] = partial(scores.mean, worth_NA[np.arange(len(guess_N)), (chances_NC @ worth_CA).argmax(1)])
    return found


def metric_names(state: State, has_value: bool) -> list[str]:
    few = ["roc_auc", "average_precision", "f1"] if len(state["classes"]) == 2 else ["macro_f1"]
    return ["accuracy", "log_loss", "brier", *few, *(["value"] if has_value else [])]


def free_of_calibration(state: State) -> tuple[str, ...]:
    """Where classes were weighed in training, calibration shifts which one is the likeliest."""
    return BY_ORDER if "class_weight" in state else BY_ORDER + BY_LIKELIEST


def default_metric(state: State, has_value: bool) -> str:
    """Value where decisions have one, else ROC AUC or accuracy."""
    names = metric_names(state, has_value)
    return next(name for name in ("value", "roc_auc", "accuracy") if name in names)


def sign(metric: str) -> int:
    """+1 where more is better, -1 where less is."""
    return -1 if metric in SMALLER_IS_BETTER else 1


def plots(state: State, chances_NC: np.ndarray, arrays: Arrays) -> dict[str, Table]:
    truth_N = arrays["target"]
    hard_N = truth_N.argmax(1) if truth_N.ndim == 2 else truth_N
    return class_plots(chances_NC, hard_N, state["classes"], state["positive"])


def nodes(state: State, calibration: Calibration, decide: Decide, path: str, specs: Any = ()) -> Any:
    """Outputs [N, C] → `probabilities` [N, C], `decision` [N] and, where declared, `expected_value` [N]."""
    from stages.core.graph import Graph  # a loss is computed where there is no onnx

    graph, num_classes = Graph(), len(state["classes"])
    actions, worth_CA = decide.matrix(list(state["classes"]), path)
    outputs = graph.input("outputs", "float32", ["N", num_classes])
    scaled = graph("Div", outputs, graph.constant(calibration["temperature"], "float32"))
    if "shift" in calibration:
        scaled = graph("Add", scaled, graph.constant(calibration["shift"], "float32"))
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
    classes = list(state["classes"])
    outputs: list[dict[str, Any]] = [
        {"name": "probabilities", "type": "float32", "shape": ["N", len(classes)], "classes": classes},
        {"name": "decision", "type": "string", "shape": ["N"], "values": list(decide.value) or classes},
    ]
    if decide.value:
        outputs.append({"name": "expected_value", "type": "float32", "shape": ["N"], "unit": decide.currency})
    return {"target": state["column"], "outputs": outputs}
