"""Encoded arrays in, gradient-boosted trees out, fitted by LightGBM and drawn as TreeEnsemble.

An index enters as its number (most frequent value first). Sets and images are not for trees. A number gets three
ensembles in one graph: its point by the target's loss, and the two ends of its interval by the quantile loss.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph
from stages.core.problem import Problem
from stages.models import _truth as truth

SUITS = ("dense", "index")
TARGETS = ("category", "number")
LEAF = -1
POINT: dict[str, dict[str, Any]] = {
    "squared": {"objective": "regression"},
    "absolute": {"objective": "regression_l1"},
    "huber": {"objective": "huber", "alpha": 1.0},  # as targets/number.py: round within one standard deviation
}
NAMES = ("tree", "node", "feature", "threshold", "left", "right", "value", "output")
DTYPES = (np.int64, np.int64, np.int64, np.float64, np.int64, np.int64, np.float64, np.int64)


class Options(Section):
    trees: int = Field(default=150, ge=1)
    leaves: int = Field(default=15, ge=2)
    learning_rate: float = Field(default=0.05, gt=0)
    min_rows_a_leaf: int = Field(default=20, ge=1)
    row_share: float = Field(default=0.8, gt=0, le=1)
    column_share: float = Field(default=0.8, gt=0, le=1)


def matrix(arrays: Mapping[str, np.ndarray], specs: Sequence[ArraySpec]) -> np.ndarray:
    """float32 [N, D], as the drawn graph puts it together."""
    blocks = [arrays[spec.name] if spec.kind == "dense" else arrays[spec.name][:, None] for spec in specs]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """The trees' nodes as flat arrays: tree, feature, threshold, children, leaf value, and the output it adds to."""
    common = parameters(options, seed)
    grow_all = grow_number if problem.state["type"] == "number" else grow_classes
    found: list[tuple[int, int, int, float, int, int, float, int]] = []
    for number, (tree, output) in enumerate(grow_all(arrays, problem, common, options.trees)):
        nodes: list[Any] = []
        flatten(tree["tree_structure"], number, nodes, [0])
        found += [(*node, output) for node in nodes]
    columns = zip(*found, strict=True)
    return {name: np.array(column, dtype) for name, column, dtype in zip(NAMES, columns, DTYPES, strict=True)}


def grow_classes(
    arrays: Mapping[str, np.ndarray], problem: Problem, common: dict[str, Any], num_trees: int
) -> list[tuple[Any, int]]:
    """Trees and the output that each adds to. Of two classes the first one's outputs are 0."""
    rows, labels, weight_M = truth.one_class_rows(arrays, problem)
    several = {"objective": "multiclass", "num_class": problem.num_outputs}
    objective = {"objective": "binary"} if problem.num_outputs == 2 else several
    trees = grow(matrix(arrays, problem.specs)[rows], labels, weight_M, {**common, **objective}, num_trees)
    first, period = (1, 1) if problem.num_outputs == 2 else (0, problem.num_outputs)
    return [(tree, first + number % period) for number, tree in enumerate(trees)]


def grow_number(
    arrays: Mapping[str, np.ndarray], problem: Problem, common: dict[str, Any], num_trees: int
) -> list[tuple[Any, int]]:
    """Trees and the output that each adds to: 0 the point, 1 and 2 the ends of the interval."""
    rows_ND, wanted_N = matrix(arrays, problem.specs), truth.scaled(arrays, problem)
    objectives = [POINT[problem.state["loss"]]]
    objectives += [{"objective": "quantile", "alpha": level} for level in truth.levels(problem)]
    weight_N = truth.weights_of(arrays, problem)
    return [
        (tree, output)
        for output, objective in enumerate(objectives)
        for tree in grow(rows_ND, wanted_N, weight_N, {**common, **objective}, num_trees)
    ]


def parameters(options: Options, seed: int) -> dict[str, Any]:
    return {
        "num_leaves": options.leaves,
        "learning_rate": options.learning_rate,
        "min_data_in_leaf": options.min_rows_a_leaf,
        "bagging_fraction": options.row_share,
        "bagging_freq": 1,
        "feature_fraction": options.column_share,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "use_missing": False,
        "verbosity": -1,
    }


def grow(
    rows_ND: np.ndarray, truth_N: np.ndarray, weight_N: np.ndarray, settings: dict[str, Any], num_trees: int
) -> list[Any]:
    """LightGBM's trees, class by class in each round."""
    import lightgbm

    data = lightgbm.Dataset(rows_ND, truth_N, weight=None if (weight_N == 1).all() else weight_N)
    booster = lightgbm.train(settings, data, num_boost_round=num_trees)
    return list(booster.dump_model()["tree_info"])


def flatten(node: Mapping[str, Any], tree: int, rows: list[Any], counter: list[int]) -> int:
    """Append a LightGBM node and its children to `rows`; returns the node's number in its tree."""
    number = counter[0]
    counter[0] += 1
    if "leaf_value" in node:
        rows.append((tree, number, LEAF, 0.0, 0, 0, node["leaf_value"]))
        return number
    place = len(rows)
    rows.append(None)
    left = flatten(node["left_child"], tree, rows, counter)
    right = flatten(node["right_child"], tree, rows, counter)
    rows[place] = (tree, number, node["split_feature"], node["threshold"], left, right, 0.0)
    return number


def floor_float32(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 not above each threshold: then x ≤ threshold is the same question for float32 x."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    graph = Graph()
    parts = []
    for spec in problem.specs:
        name = graph.input(spec.name, spec.dtype, spec.dims)
        parts.append(name if spec.kind == "dense" else graph.column(graph.cast(name, FLOAT)))
    joined = graph("Concat", *parts, axis=1)
    leaf = weights["feature"] == LEAF
    outputs = graph(
        "TreeEnsembleRegressor", joined, domain="ai.onnx.ml", n_targets=problem.num_outputs, post_transform="NONE",
        nodes_treeids=weights["tree"].tolist(), nodes_nodeids=weights["node"].tolist(),
        nodes_featureids=np.where(leaf, 0, weights["feature"]).tolist(),
        nodes_values=floor_float32(weights["threshold"]).astype(float).tolist(),
        nodes_modes=["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        nodes_truenodeids=weights["left"].tolist(), nodes_falsenodeids=weights["right"].tolist(),
        target_treeids=weights["tree"][leaf].tolist(), target_nodeids=weights["node"][leaf].tolist(),
        target_ids=weights["output"][leaf].tolist(),
        target_weights=weights["value"][leaf].astype(np.float32).astype(float).tolist(),
    )  # fmt: skip
    graph.output(outputs, "outputs", "float32", ["N", problem.num_outputs])
    return graph.build("boosting")
