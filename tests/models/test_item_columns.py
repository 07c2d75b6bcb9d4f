"""Items that have columns of their own: what a factorization learns of them, and what its graph holds."""

import numpy as np
import pytest
from onnx import numpy_helper

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.graph import run
from stages.core.problem import Catalogue, Problem
from stages.targets import ranking
from stages.training import Recipe, fit

HISTORY = "encoded.tokens_0"
SPECS = (ArraySpec(HISTORY, "tokens", ("past",), 14), ArraySpec("encoded.dense", "dense", ("a", "b"), 2))
STATE = {
    "type": "ranking", "column": "next", "history": "past", "catalogue": [f"item {i:02d}" for i in range(12)],
    "counts": list(range(12, 0, -1)), "mean_next": 1.5, "top": 5, "seen": "mask", "array": HISTORY,
}  # fmt: skip
PROBLEM = Problem(SPECS, ranking, STATE)
RECIPE = Recipe(epochs=12, batch_size=16, learning_rate=0.02, device="cpu", seed=3)


def rows_of(num_rows, seed):
    """A row is of one of three kinds: it holds up to five items of its four, and some of these come next."""
    draw = np.random.default_rng(seed)
    history, target = np.zeros((num_rows, 5), np.int32), np.zeros((num_rows, 3), np.int32)
    for row, kind in enumerate(draw.integers(0, 3, num_rows)):
        length, coming = draw.integers(0, 6), draw.integers(0, 4)
        history[row, :length] = 2 + kind * 4 + draw.integers(0, 4, length)
        target[row, :coming] = 2 + kind * 4 + draw.permutation(4)[:coming]
    dense, weight = draw.normal(size=(num_rows, 2)).astype(np.float32), (target[:, 0] > 0).astype(np.float32)
    return {HISTORY: history, "encoded.dense": dense, "target": target, "weight": weight, "group": np.arange(num_rows)}


def feed(arrays):
    return {spec.name: arrays[spec.name] for spec in SPECS}


TRAIN = rows_of(240, 1)

KINDS = np.repeat([0, 1, 2], 4)  # of each item: what is bought together
ITEM_SPECS = (
    ArraySpec("encoded.dense", "dense", ("price",), 1),
    ArraySpec("encoded.tokens_0", "tokens", ("name",), 5),
    ArraySpec("encoded.set_1", "set", ("name",), 9),
    ArraySpec("encoded.index_2", "index", ("kind",), 4),
)
COLUMNS = Catalogue(
    ITEM_SPECS,
    {
        "encoded.dense": np.linspace(-1, 1, 12, dtype=np.float32)[:, None],
        "encoded.tokens_0": np.stack([KINDS + 2, np.arange(12) % 2], 1),
        "encoded.set_1": np.stack([KINDS + 1, np.zeros(12, int)], 1),
        "encoded.index_2": KINDS + 1,
    },
)  # fmt: skip
DESCRIBED = Problem(SPECS, ranking, STATE, COLUMNS)


def fit_anew(name, problem, **options):
    module = choose("models", name, "")
    splits = {"train": TRAIN, "validation": rows_of(30, 2)}
    return fit(name, module.Options(**options), problem, splits, recipe=RECIPE)


@pytest.mark.parametrize("name", ["ials", "pairs"])  # one with a fit of its own, one of the loop
def test_other_models_leave_the_columns_of_items_aside(name):
    """The same bytes."""
    plain, again = (fit_anew(name, problem).network for problem in (PROBLEM, DESCRIBED))
    assert again.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)


def test_the_graph_of_a_factorization_holds_what_columns_add_to_items_and_no_columns():
    model, rows = fit_anew("factorization", DESCRIBED, width=8), rows_of(40, 9)
    drawn = model.network.graph
    assert [value.name for value in drawn.input] == [spec.name for spec in SPECS]
    plain = fit_anew("factorization", PROBLEM, width=8).network.graph
    assert [node.op_type for node in drawn.node] == [node.op_type for node in plain.node]
    assert [list(tensor.dims) for tensor in drawn.initializer] == [list(tensor.dims) for tensor in plain.initializer]
    np.testing.assert_allclose(run(model.network, feed(rows))["outputs"], model.predict(rows), atol=1e-5)


def test_a_factorization_adds_to_an_items_factor_what_its_columns_are_encoded_to():
    model = fit_anew("factorization", DESCRIBED, width=8)
    factors, arrays = model.weights["items.weight"].copy(), COLUMNS.arrays
    embedded = {name: model.weights[f"described.encoders.{name}.table.weight"] for name in (1, 2, 3)}
    for item in range(12):
        words = [number for number in arrays["encoded.tokens_0"][item] if number]
        held = [number for number in arrays["encoded.set_1"][item] if number]
        parts = [
            arrays["encoded.dense"][item], embedded[1][words].mean(0), embedded[2][held].sum(0) / len(held) ** 0.5,
            embedded[3][arrays["encoded.index_2"][item]],
        ]  # fmt: skip
        factors[item] += model.weights["described.out.weight"] @ np.concatenate(parts)
    stored = [numpy_helper.to_array(tensor) for tensor in model.network.graph.initializer]
    turned = [tensor.T if tensor.shape == (8, 12) else tensor for tensor in stored]
    assert any(tensor.shape == (12, 8) and np.allclose(tensor, factors, atol=1e-5) for tensor in turned)


def test_an_item_that_no_row_holds_is_ranked_with_those_that_are_like_it():
    """Item 11 is of the third kind and in no training row; without columns nothing tells it from what nobody wants."""
    splits = {name: dict(part) for name, part in (("train", TRAIN), ("validation", rows_of(30, 2)))}
    for part in splits.values():
        for name in (HISTORY, "target"):
            part[name] = np.where(part[name] == 13, 0, part[name])
        part["weight"] = (part["weight"] * (part["target"] > 0).any(1)).astype(np.float32)
    rows = feed(rows_of(2, 7)) | {HISTORY: np.array([[10, 11, 12], [13, 0, 0]])}
    rows["encoded.dense"][:] = 0
    module, places = choose("models", "factorization", ""), {}
    for name, problem in (("plain", PROBLEM), ("described", DESCRIBED)):
        model = fit("factorization", module.Options(width=8), problem, splits, recipe=RECIPE)
        scores = run(model.network, rows)["outputs"]
        places[name] = int((scores[0] > scores[0, 11]).sum()), set(np.argsort(-scores[1])[:3].tolist())
    assert places["described"][0] <= 3
    assert places["plain"][0] >= 4
    assert places["described"][1] <= {8, 9, 10, 11}
