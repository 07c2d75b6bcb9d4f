"""Next items of a catalogue: lists of items in; loss, full-ranking scores and the drawn ranking out.

The catalogue is what the training rows hold, the items of most rows first; so equal scores rank the popular first,
and who has no history is answered with them. Output j of a network is the score of the item numbered FIRST + j, and
a row's history is encoded with the same numbers: whatever can be answered can be masked.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from stages.columns._tokens import FIRST, UNKNOWN
from stages.columns.category import most_frequent
from stages.columns.items import count_rows
from stages.contract.decide import Decide
from stages.contract.target import Target
from stages.core.errors import ContractError, DataError
from stages.core.graph import Graph
from stages.statistics import rankings
from stages.statistics.bootstrap import Score
from stages.statistics.plots import Table
from stages.targets._labels import weights_of

State = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]
CUT = 10
METRICS = tuple(f"{name}@{CUT}" for name in ("ndcg", "recall", "precision", "map", "mrr", "hit_rate"))
UNCALIBRATED: dict[str, Any] = {}
NOTHING = -1  # a place of an answer that no item is left for
MASKED = -1e30  # below every score; finite, since JSON knows no infinity


def fit(target: Target, table: pa.Table) -> dict[str, Any]:
    """The catalogue, and in how many rows each of its items is a next one that counts."""
    assert target.history is not None, "checked by the contract"
    past, next_items = (table.column(name).combine_chunks() for name in (target.history, target.column))
    catalogue = most_frequent(count_rows(past, next_items), table.num_rows * 10**6, target.min_count)
    if len(catalogue) < 2:
        raise DataError(
            f"the training rows hold {len(catalogue)} items of {target.history} and {target.column} that stand in at "
            f"least {target.min_count} rows. There is nothing to rank; lower examples.target.min_count"
        )
    rows = next_of(target.seen, table, target.history, target.column)
    counts = totals(rows, weights_of({"weight": target.weight}, table).get("weight"))
    return {
        "type": "ranking",
        "column": target.column,
        "history": target.history,
        "catalogue": catalogue,
        "counts": [counts.get(item, 0) for item in catalogue],
        "mean_next": sum(map(len, rows)) / max(1, sum(map(bool, rows))),
        "top": min(target.top, len(catalogue)),
        "seen": target.seen,
        **({"weight": target.weight} if target.weight else {}),
    }


def totals(rows: list[list[str]], weight_N: np.ndarray | None) -> Mapping[str, float]:
    """How many rows have each item next; where rows have weights, what those add up to."""
    if weight_N is None:
        return Counter(item for items in rows for item in items)
    found: dict[str, float] = defaultdict(float)
    for items, weight in zip(rows, weight_N.tolist(), strict=True):
        for item in items:
            found[item] += weight
    return found


def encode(state: State, table: pa.Table) -> dict[str, np.ndarray]:
    """`target` int32 [N, T]: the next items' numbers, each once; UNKNOWN for one that is not in the catalogue.

    Where seen items are masked, only new ones count. `weight` is 0 for a row without any: it counts in no loss and
    no score, and only tells models of baskets what goes together.
    """
    numbers = {item: FIRST + place for place, item in enumerate(state["catalogue"])}
    rows = next_of(state["seen"], table, state["history"], state["column"])
    target = np.zeros((len(rows), max([1, *map(len, rows)])), np.int32)
    for row, items in enumerate(rows):
        target[row, : len(items)] = [numbers.get(item, UNKNOWN) for item in items]
    weights = weights_of(state, table).get("weight", np.ones(len(rows), np.float32))
    return {"target": target, "weight": weights * (target[:, 0] > 0)}


def next_of(seen: str, table: pa.Table, history: str, column: str) -> list[list[str]]:
    """Each row's next items, each once; where seen ones are masked, the new ones alone."""
    known = [set(items or ()) if seen == "mask" else set() for items in table.column(history).to_pylist()]
    following = table.column(column).to_pylist()
    return [
        list(dict.fromkeys(item for item in items or () if item not in held))
        for items, held in zip(following, known, strict=True)
    ]


def num_outputs(state: State) -> int:
    return len(state["catalogue"])


def loss(state: State, outputs_BI: Any, truth_BT: Any, weight_B: Any = None, *, label_smoothing: float = 0.0) -> Any:
    """Softmax cross-entropy over the catalogue, summed over a row's next items; the rows' mean by weights.

    The sum (Liang et al. 2018) and not the mean: a row that names many items teaches more. It stands over how many a
    training row has, so that the loss is about that of one item.
    """
    from torch.nn.functional import log_softmax

    known_BT = truth_BT >= FIRST
    logs_BI = log_softmax(outputs_BI, 1)
    chosen_BT = logs_BI.gather(1, (truth_BT.long() - FIRST).clamp(min=0)) * known_BT
    count_B = known_BT.sum(1)
    losses_B = -chosen_BT.sum(1)
    if label_smoothing:
        losses_B = (1 - label_smoothing) * losses_B - label_smoothing * logs_BI.mean(1) * count_B
    losses_B = losses_B / state["mean_next"]
    total_B = row_weights(state, truth_BT, weight_B)
    return (losses_B * total_B).sum() / total_B.sum().clamp(min=1e-12)


def row_weights(state: State, truth_BT: Any, weight_B: Any = None) -> Any:
    """float [B]: what each row counts for in the loss; nothing where no item of the catalogue is next."""
    known_B = (truth_BT >= FIRST).any(1).float()
    return known_B if weight_B is None else known_B * weight_B


def answer(outputs_NI: np.ndarray, calibration: Mapping[str, Any], *, state: State, arrays: Arrays) -> np.ndarray:
    """int64 [N, K]: the places 0 … I - 1 of the best items, best first; NOTHING where too few are left."""
    scores_NI = outputs_NI.astype(np.float32)
    if state["seen"] == "mask":
        padded = np.concatenate([np.zeros((len(scores_NI), FIRST), np.float32), scores_NI], 1)
        np.put_along_axis(padded, arrays[state["array"]].astype(np.int64), np.float32(MASKED), 1)
        scores_NI = padded[:, FIRST:]
    best_NK = np.argsort(-scores_NI, axis=1, kind="stable")[:, : state["top"]]
    left_NK = np.take_along_axis(scores_NI, best_NK, 1) > MASKED / 2
    return np.where(left_NK, best_NK, NOTHING)


def answer_of_graph(state: State, outputs: Arrays) -> np.ndarray:
    places = {item: place for place, item in enumerate(state["catalogue"])} | {"": NOTHING}
    found = [[places[item] for item in row] for row in outputs["items"].tolist()]
    return np.array(found, np.int64).reshape(outputs["items"].shape)


def tally(state: State, outputs: Arrays) -> dict[str, int]:
    """How often model.onnx answers each item first."""
    names, counts = np.unique(outputs["items"][:, :1].astype(str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def prior(state: State, num_rows: int) -> np.ndarray:
    """int64 [N, K]: the items that most training rows had next, the same for every row, seen or not."""
    best = np.argsort(-np.array(state["counts"]), kind="stable")[: state["top"]]
    return np.tile(best, (num_rows, 1))


def decision(state: State, decide: Decide, path: str) -> None:
    """Raises ContractError: money is declared for classes, and a ranking has none."""
    if decide.value:
        raise ContractError(f"{path}.value gives worth to classes, and {state['column']} is a ranking. Leave it out")


def score_functions(state: State, decide: Any, answer_NK: np.ndarray, arrays: Arrays) -> dict[str, Score]:
    """Each score by name, over the rows that have something to find: all items are ranked, none is sampled.

    A next item that is not in the catalogue cannot be answered, and counts as missed. Coverage is told beside the
    metrics: nothing is chosen by it, as it has no interval.
    """
    truth_NT = np.asarray(arrays["target"], np.int64)
    num_right_N = (truth_NT > 0).sum(1)
    counted_N = (num_right_N > 0) & (arrays.get("weight", num_right_N) > 0)
    hit_NK = rankings.hits(answer_NK, truth_NT - FIRST)
    found: dict[str, Score] = {
        name: partial(rankings.mean_of, values, counted_N)
        for name, values in rankings.row_scores(hit_NK, num_right_N, CUT).items()
    }
    first_NC = answer_NK[:, :CUT]
    return found | {f"coverage@{CUT}": partial(rankings.coverage, first_NC, counted_N, num_outputs(state))}


def metric_names(state: State, has_value: bool) -> list[str]:
    return list(METRICS)


def free_of_calibration(state: State) -> tuple[str, ...]:
    """There is nothing to calibrate in an order of items."""
    return METRICS


def default_metric(state: State, has_value: bool) -> str:
    return METRICS[0]


def sign(metric: str) -> int:
    return 1


def plots(state: State, answer_NK: np.ndarray, arrays: Arrays) -> dict[str, Table]:
    """recall: the mean share of the next items among the first 1 … K answers."""
    truth_NT = np.asarray(arrays["target"], np.int64)
    num_right_N = (truth_NT > 0).sum(1)
    rows = num_right_N > 0
    found_NK = np.cumsum(rankings.hits(answer_NK[rows], truth_NT[rows] - FIRST), 1) / num_right_N[rows, None]
    means = found_NK.mean(0) if rows.any() else np.zeros(answer_NK.shape[1])
    return {"recall": (("answers", "recall"), [(float(k), float(mean)) for k, mean in enumerate(means, 1)])}


def nodes(state: State, calibration: Mapping[str, Any], decide: Decide, path: str, specs: Any = ()) -> Any:
    """Outputs [N, I], and the encoded history → `items` and `scores` [N, K], best first.

    Where too few items are left, the last `items` are "" and their `scores` 0.
    """
    decision(state, decide, path)
    graph, num_items, top = Graph(), num_outputs(state), state["top"]
    scores = graph.input("outputs", "float32", ["N", num_items])
    if state["seen"] == "mask":
        (spec,) = (spec for spec in specs if spec.name == state["array"])
        scores = draw_mask(graph, scores, graph.input(spec.name, spec.dtype, spec.dims))
    best, places = graph("TopK", scores, graph.integers(top), outputs=2, axis=1, largest=1, sorted=1)
    left = graph("Greater", best, graph.constant(MASKED / 2, "float32"))
    places = graph("Where", left, places, graph.constant(num_items, "int64"))
    names = graph("Gather", graph.constant([*state["catalogue"], ""], "string"), places)
    graph.output(names, "items", "string", ["N", top])
    graph.output(graph("Where", left, best, graph.constant(0.0, "float32")), "scores", "float32", ["N", top])
    return graph.build("decide")


def draw_mask(graph: Graph, scores: str, history: str) -> str:
    """Scores [N, I] with MASKED for each item of the history int64 [N, W]; padding and unknown fall on own columns."""
    rows = graph("Shape", scores, start=0, end=1)
    front = graph("Expand", graph.constant(0.0, "float32"), graph("Concat", rows, graph.integers(FIRST), axis=0))
    padded = graph("Concat", front, scores, axis=1)
    masks = graph("Expand", graph.constant(MASKED, "float32"), graph("Shape", history))
    return graph.slice(graph("ScatterElements", padded, history, masks, axis=1), FIRST, 2**31, 1)


def describe(state: State, decide: Decide) -> dict[str, Any]:
    """The outputs as a bundle's contract.json names them."""
    shape = ["N", state["top"]]
    return {
        "target": state["column"],
        "outputs": [
            {"name": "items", "type": "string", "shape": shape, "best": "first"},
            {"name": "scores", "type": "float32", "shape": shape},
        ],
    }
