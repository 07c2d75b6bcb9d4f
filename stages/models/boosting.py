"""Encoded arrays in, gradient-boosted trees out, fitted by LightGBM and drawn as TreeEnsemble.

An index enters as its number (most frequent value first). Sets and images are not for trees.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph
from stages.core.problem import Problem

TARGETS = ("category",)
SUITS = ("dense", "index")
LEAF = -1


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
    """The trees' nodes as flat arrays: tree, feature, threshold, children, leaf value."""
    import lightgbm

    specs, num_outputs = problem.specs, problem.num_outputs
    parameters = {
        "objective": "binary" if num_outputs == 2 else "multiclass",
        **({} if num_outputs == 2 else {"num_class": num_outputs}),
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
    data = lightgbm.Dataset(matrix(arrays, specs), arrays["target"])
    booster = lightgbm.train(parameters, data, num_boost_round=options.trees)
    rows: list[tuple[int, int, int, float, int, int, float]] = []
    for number, tree in enumerate(booster.dump_model()["tree_info"]):
        flatten(tree["tree_structure"], number, rows, [0])
    names = ("tree", "node", "feature", "threshold", "left", "right", "value")
    dtypes = (np.int64, np.int64, np.int64, np.float64, np.int64, np.int64, np.float64)
    return {
        name: np.array(column, dtype)
        for name, column, dtype in zip(names, zip(*rows, strict=True), dtypes, strict=True)
    }


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
    specs, num_outputs = problem.specs, problem.num_outputs
    graph = Graph()
    parts = []
    for spec in specs:
        name = graph.input(spec.name, spec.dtype, spec.dims)
        parts.append(name if spec.kind == "dense" else graph.column(graph.cast(name, FLOAT)))
    joined = graph("Concat", *parts, axis=1)
    num_scores = 1 if num_outputs == 2 else num_outputs
    leaf = weights["feature"] == LEAF
    scores = graph(
        "TreeEnsembleRegressor", joined, domain="ai.onnx.ml", n_targets=num_scores, post_transform="NONE",
        nodes_treeids=weights["tree"].tolist(), nodes_nodeids=weights["node"].tolist(),
        nodes_featureids=np.where(leaf, 0, weights["feature"]).tolist(),
        nodes_values=floor_float32(weights["threshold"]).astype(float).tolist(),
        nodes_modes=["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        nodes_truenodeids=weights["left"].tolist(), nodes_falsenodeids=weights["right"].tolist(),
        target_treeids=weights["tree"][leaf].tolist(), target_nodeids=weights["node"][leaf].tolist(),
        target_ids=(weights["tree"][leaf] % num_scores).tolist(),
        target_weights=weights["value"][leaf].astype(np.float32).astype(float).tolist(),
    )  # fmt: skip
    if num_scores == 1:
        scores = graph("Concat", graph("Mul", scores, graph.constant(0.0, "float32")), scores, axis=1)
    graph.output(scores, "outputs", "float32", ["N", num_outputs])
    return graph.build("boosting")
