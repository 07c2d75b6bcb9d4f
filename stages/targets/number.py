"""A number with a predicted interval: values in; loss, scores, conformal calibration and the drawn answer out.

A network gives [N, 3]: a point, and the quantiles that leave (1 - interval) / 2 below and above, each standardised
by the training rows. Calibration widens the interval by what held-out rows show (conformalised quantile
regression, Romano et al. 2019), so that it holds the declared share of rows that are like them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract.decide import Decide
from stages.contract.target import Target
from stages.core.errors import ContractError, DataError
from stages.core.graph import Graph
from stages.statistics import scores
from stages.statistics.bootstrap import Score
from stages.statistics.plots import Table, number_plots
from stages.targets._labels import numbers, weights_of

State = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]
POINT, LOW, HIGH = 0, 1, 2
METRICS = ("mean_absolute_error", "root_mean_squared_error", "r2", "coverage", "interval_width", "interval_score")
LARGER_IS_BETTER = ("r2", "coverage")
OF_THE_POINT = ("mean_absolute_error", "root_mean_squared_error", "r2")
UNCALIBRATED = {"widen": 0.0}


def fit(target: Target, table: pa.Table) -> dict[str, Any]:
    """Where the training rows lie and how far they spread, each by its weight."""
    values = numbers(table, target.column)
    weight_N = weights_of({"weight": target.weight}, table).get("weight", np.ones(len(values))).astype(np.float64)
    values, weight_N = values[weight_N > 0], weight_N[weight_N > 0]
    center = scale = 0.0
    if len(values) and target.loss == "absolute":
        center = median(values, weight_N)
        scale = float(np.average(np.abs(values - center), weights=weight_N))
    elif len(values):
        center = float(np.average(values, weights=weight_N))
        scale = float(np.average((values - center) ** 2, weights=weight_N)) ** 0.5
    if not scale > 0:
        raise DataError(f"all training rows have the same {target.column}. Nothing can be learnt from it.")
    return {
        "type": "number",
        "column": target.column,
        "loss": target.loss,
        "interval": target.interval,
        "center": center,
        "scale": scale,
        **({"weight": target.weight} if target.weight else {}),
    }


def median(values: np.ndarray, weight_N: np.ndarray) -> float:
    """Between the two in the middle where all count alike, else the least value that half of the weight lies up to."""
    if (weight_N == weight_N[0]).all():
        return float(np.median(values))
    return float(np.quantile(values, 0.5, weights=weight_N, method="inverted_cdf"))


def levels_of(interval: float) -> tuple[float, float]:
    """The quantiles between which `interval` of the rows lie, equally many beyond each."""
    return (1 - interval) / 2, (1 + interval) / 2


def encode(state: State, table: pa.Table) -> dict[str, np.ndarray]:
    """`target` float64 [N], in its own unit."""
    return {"target": numbers(table, state["column"]), **weights_of(state, table)}


def num_outputs(state: State) -> int:
    return 3


def standardise(state: State, values: Any) -> Any:
    return (values - state["center"]) / state["scale"]


def loss(state: State, outputs_B3: Any, truth_B: Any, weight_B: Any = None, *, label_smoothing: float = 0.0) -> Any:
    """The point's declared loss, and the pinball losses of both quantiles (Koenker & Bassett 1978); their mean by
    weights. Labels that are numbers cannot be smoothed."""
    import torch

    wanted_B = standardise(state, truth_B).to(outputs_B3.dtype)
    error_B3 = wanted_B[:, None] - outputs_B3
    far_B = error_B3[:, POINT].abs()
    if state["loss"] == "huber":
        point_B = torch.where(far_B < 1, far_B.square() / 2, far_B - 0.5)
    else:
        point_B = far_B if state["loss"] == "absolute" else far_B.square()
    levels = outputs_B3.new_tensor(levels_of(state["interval"]))
    beyond_B2 = error_B3[:, LOW:]
    pinball_B = torch.maximum(levels * beyond_B2, (levels - 1) * beyond_B2).sum(1)
    total_B = point_B + pinball_B
    if weight_B is None:
        return total_B.mean()
    return (total_B * weight_B).sum() / weight_B.sum().clamp(min=1e-12)


def calibrate(outputs_N3: np.ndarray, arrays: Arrays, *, state: State) -> dict[str, float]:
    """By how much both ends must move out, standardised, for the declared share of held-out rows to lie within.

    The ⌈(n + 1) · interval⌉-th smallest miss of n rows; the largest, where there are too few. Ends may move in, too.
    Where rows have weights, n is what they are worth: (Σ w)² / Σ w² (Kish 1965).
    """
    wanted_N, outputs_N3 = standardise(state, arrays["target"]), outputs_N3.astype(np.float64)
    miss_N = np.maximum(outputs_N3[:, LOW] - wanted_N, wanted_N - outputs_N3[:, HIGH])
    weight_N = arrays.get("weight", np.ones(len(miss_N))).astype(np.float64)
    miss_N, weight_N = miss_N[weight_N > 0], weight_N[weight_N > 0]
    if not len(miss_N):
        return dict(UNCALIBRATED)
    order = np.argsort(miss_N, kind="stable")
    share_N = np.cumsum(weight_N[order]) / weight_N.sum()
    worth = weight_N.sum() ** 2 / (weight_N**2).sum()
    level = state["interval"] * (worth + 1) / worth
    place = min(int(np.searchsorted(share_N, level - 1e-12)), len(miss_N) - 1)
    return {"widen": float(f"{miss_N[order[place]]:.6g}")}


def answer(outputs_N3: np.ndarray, calibration: Mapping[str, float], *, state: State, arrays: Arrays) -> np.ndarray:
    """float64 [N, 3] in the target's unit: the point, and the ends of the interval, which holds the point."""
    moved_N3 = outputs_N3.astype(np.float64) + calibration["widen"] * np.array([0.0, -1.0, 1.0])
    found_N3: np.ndarray = state["center"] + state["scale"] * moved_N3
    found_N3[:, LOW] = np.minimum(found_N3[:, LOW], found_N3[:, POINT])
    found_N3[:, HIGH] = np.maximum(found_N3[:, HIGH], found_N3[:, POINT])
    return found_N3


def answer_of_graph(state: State, outputs: Arrays) -> np.ndarray:
    return np.stack([outputs[name].astype(np.float64) for name in ("prediction", "low", "high")], 1)


def tally(state: State, outputs: Arrays) -> dict[str, int]:
    """Numbers are no decisions to be counted."""
    return {}


def decision(state: State, decide: Decide, path: str) -> None:
    """Raises ContractError: money is declared for classes, and a number has none."""
    if decide.value:
        raise ContractError(
            f"{path}.value gives worth to classes, and {state['column']} is a number. Leave it out, or predict a "
            "class, such as whether the number passes a limit"
        )


def score_functions(state: State, decide: Any, answer_N3: np.ndarray, arrays: Arrays) -> dict[str, Score]:
    """Each score by name, as a function of row weights; errors are in the target's unit."""
    truth_N, (point_N, low_N, high_N) = arrays["target"], answer_N3.T
    tail = (1 - state["interval"]) / 2
    width_N = high_N - low_N
    beyond_N = np.maximum(low_N - truth_N, 0) + np.maximum(truth_N - high_N, 0)
    return {
        "mean_absolute_error": partial(scores.mean, np.abs(truth_N - point_N)),
        "root_mean_squared_error": partial(scores.root_mean, (truth_N - point_N) ** 2),
        "r2": partial(scores.r_squared, point_N, truth_N),
        "coverage": partial(scores.mean, ((low_N <= truth_N) & (truth_N <= high_N)).astype(np.float64)),
        "interval_width": partial(scores.mean, width_N),
        "interval_score": partial(scores.mean, width_N + beyond_N / tail),
    }


def metric_names(state: State, has_value: bool) -> list[str]:
    return list(METRICS)


def free_of_calibration(state: State) -> tuple[str, ...]:
    """Calibration moves the interval's ends alone."""
    return OF_THE_POINT


def default_metric(state: State, has_value: bool) -> str:
    return "root_mean_squared_error" if state["loss"] == "squared" else "mean_absolute_error"


def sign(metric: str) -> int:
    """+1 where more is better, -1 where less is."""
    return 1 if metric in LARGER_IS_BETTER else -1


def plots(state: State, answer_N3: np.ndarray, arrays: Arrays) -> dict[str, Table]:
    return number_plots(answer_N3[:, POINT], arrays["target"])


def nodes(state: State, calibration: Mapping[str, float], decide: Decide, path: str, specs: Any = ()) -> Any:
    """Outputs [N, 3] → `prediction`, `low` and `high` [N], in the target's unit."""
    decision(state, decide, path)
    graph = Graph()
    outputs = graph.input("outputs", "float32", ["N", 3])
    moves = graph.constant(calibration["widen"] * np.array([0.0, -1.0, 1.0]), "float32")
    scaled = graph("Mul", graph("Add", outputs, moves), graph.constant(state["scale"], "float32"))
    found = graph("Add", scaled, graph.constant(state["center"], "float32"))
    point, low, high = (
        graph("Squeeze", graph.slice(found, place, place + 1, 1), graph.integers(1)) for place in (POINT, LOW, HIGH)
    )
    graph.output(point, "prediction", "float32", ["N"])
    graph.output(graph("Min", low, point), "low", "float32", ["N"])
    graph.output(graph("Max", high, point), "high", "float32", ["N"])
    return graph.build("decide")


def describe(state: State, decide: Decide) -> dict[str, Any]:
    """The outputs as a bundle's contract.json names them."""
    share = state["interval"]
    outputs: list[dict[str, Any]] = [{"name": "prediction", "type": "float32", "shape": ["N"]}]
    outputs += [{"name": name, "type": "float32", "shape": ["N"], "interval": share} for name in ("low", "high")]
    return {"target": state["column"], "outputs": outputs}
