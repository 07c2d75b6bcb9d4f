"""One contract for every model that ranks items, and an independent prediction for each."""

import numpy as np
import onnx
import pytest
import torch

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.graph import run
from stages.core.problem import Problem
from stages.models import _items, ials
from stages.targets import ranking
from stages.training import Recipe, fit

ITEMS = [f"item {i:02d}" for i in range(12)]
HISTORY = "encoded.tokens_0"
STATE = {
    "type": "ranking", "column": "next", "history": "past", "catalogue": ITEMS, "counts": list(range(12, 0, -1)),
    "mean_next": 1.5, "top": 5, "seen": "mask", "array": HISTORY,
}  # fmt: skip
SPECS = (
    ArraySpec(HISTORY, "tokens", ("past",), 14),
    ArraySpec("encoded.dense", "dense", ("a", "b"), 2),
    ArraySpec("encoded.index_1", "index", ("c",), 4),
)
PROBLEM = Problem(SPECS, ranking, STATE)


def rows_of(num_rows: int, seed: int, width: int = 6) -> dict[str, np.ndarray]:
    """Some histories are empty, some hold an unknown item, some an item twice; some rows have nothing next."""
    generator = np.random.default_rng(seed)
    history, target = np.zeros((num_rows, width), np.int32), np.zeros((num_rows, 3), np.int32)
    kind = generator.integers(0, 3, num_rows)
    for row in range(num_rows):
        length, coming = generator.integers(0, width + 1), generator.integers(0, 4)
        history[row, :length] = 2 + kind[row] * 4 + generator.integers(0, 4, length)
        if length and generator.random() < 0.2:
            history[row, generator.integers(0, length)] = 1
        target[row, :coming] = 2 + kind[row] * 4 + generator.permutation(4)[:coming]
    return {
        HISTORY: history,
        "encoded.dense": generator.normal(size=(num_rows, 2)).astype(np.float32),
        "encoded.index_1": kind.astype(np.int32) + 1,
        "target": target,
        "weight": (generator.integers(1, 3, num_rows) * (target[:, 0] > 0)).astype(np.float32),
        "group": generator.integers(0, max(1, num_rows // 2), num_rows),
    }


def held_by(numbers: np.ndarray) -> np.ndarray:
    """float64 [N, 12]: 1 where a row holds an item; written out row by row."""
    found = np.zeros((len(numbers), 12))
    for row, listed in enumerate(numbers.tolist()):
        for number in listed:
            if number >= 2:
                found[row, number - 2] = 1
    return found


def baskets_of(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """float64 [U, 12], a group a row."""
    both = np.maximum(held_by(arrays[HISTORY]), held_by(arrays["target"]))
    return np.array([both[arrays["group"] == group].max(0) for group in np.unique(arrays["group"])])


TRAIN = rows_of(240, 1)
OPTIONS = {
    "popularity": {},
    "itemknn": {"neighbours": 3, "shrinkage": 2.0},
    "ease": {"penalty": 4.0},
    "ridge": {"penalty": 1.0},
    "ials": {"width": 4, "sweeps": 3, "steps": 8, "frequency": 0.5, "penalty": 0.1},
    "factorization": {"width": 8, "hidden": [6], "dropout": 0.1},
    "pairs": {"hide": 0.1},
    "mlp": {"hidden": [8]},
    "bag": {},
    "transformer": {"width": 8, "depth": 1, "heads": 2},
    "recurrent": {"width": 8},
}
EVERY = pytest.mark.parametrize("name", OPTIONS)
RECIPE = Recipe(epochs=12, batch_size=16, learning_rate=0.02, device="cpu", seed=3)


def fit_anew(name, problem=PROBLEM, **more):
    options = choose("models", name, "").Options(**{**OPTIONS[name], **more})
    return fit(name, options, problem, {"train": TRAIN, "validation": rows_of(30, 2)}, recipe=RECIPE)


@pytest.fixture(scope="module")
def fitted():
    return {name: fit_anew(name) for name in OPTIONS}


def feed(arrays):
    return {spec.name: arrays[spec.name] for spec in SPECS}


@EVERY
@pytest.mark.parametrize("num_rows", [0, 1, 2, 300])
def test_any_number_of_rows_is_scored(name, num_rows, fitted):
    outputs = run(fitted[name].network, feed(rows_of(num_rows, 5)))["outputs"]
    assert outputs.shape == (num_rows, 12)
    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all()


@EVERY
def test_the_graph_takes_every_array_and_gives_the_scores(name, fitted):
    graph = fitted[name].network.graph
    assert [value.name for value in graph.input] == [spec.name for spec in SPECS]
    assert [value.name for value in graph.output] == ["outputs"]
    onnx.checker.check_model(fitted[name].network, full_check=True)


@EVERY
def test_a_row_alone_equals_the_row_in_its_batch_and_padding_changes_nothing(name, fitted):
    rows = feed(rows_of(20, 6))
    together = run(fitted[name].network, rows, batch_size=20)["outputs"]
    np.testing.assert_allclose(run(fitted[name].network, rows, batch_size=1)["outputs"], together, atol=1e-5)
    wide = {**rows, HISTORY: np.pad(rows[HISTORY], ((0, 0), (0, 20)))}
    np.testing.assert_allclose(run(fitted[name].network, wide)["outputs"], together, atol=1e-5)


@EVERY
def test_the_same_seed_gives_the_same_bytes(name, fitted):
    again = fit_anew(name)
    assert again.network.SerializeToString(deterministic=True) == fitted[name].network.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("name", ["itemknn", "ease", "ridge", "ials", "factorization", "pairs"])
def test_what_is_bought_together_is_ranked_first(name, fitted):
    """Two items of a kind are held: of the other ten the two of the same kind come first."""
    rows = feed(rows_of(3, 7))
    rows[HISTORY] = np.array([[2, 3, 0], [6, 7, 0], [10, 11, 0]])
    rows["encoded.index_1"], rows["encoded.dense"] = np.arange(1, 4), np.zeros((3, 2), np.float32)
    outputs = run(fitted[name].network, rows)["outputs"]
    best = ranking.answer(outputs, {}, state=STATE, arrays=rows)
    assert [set(row[:2].tolist()) for row in best] == [{2, 3}, {6, 7}, {10, 11}]


@pytest.mark.parametrize("name", ["popularity", "itemknn", "ease", "ridge", "ials"])
def test_who_has_no_history_is_answered_with_the_popular_items(name, fitted):
    """Equal scores leave the catalogue's order, the items of most rows first."""
    rows = feed(rows_of(1, 7)) | {HISTORY: np.zeros((1, 1), np.int64)}
    outputs = run(fitted[name].network, rows)["outputs"]
    best = ranking.answer(outputs, {}, state=STATE, arrays=rows)[0]
    expected = np.argsort(-outputs[0], kind="stable")[:5] if name == "popularity" else np.arange(5)
    assert best.tolist() == expected.tolist()


# What each model must predict


def test_popularity_counts_rows_by_their_weights():
    arrays = TRAIN
    weights = arrays["weight"] / arrays["weight"][arrays["weight"] > 0].mean()
    outputs = run(fit_anew("popularity").network, feed(rows_of(4, 2)))["outputs"]
    np.testing.assert_allclose(outputs, np.tile(np.log1p(held_by(arrays["target"]).T @ weights), (4, 1)), rtol=1e-5)


def test_itemknn_adds_the_similarities_of_the_nearest(fitted):
    baskets = baskets_of(TRAIN)
    similar = np.zeros((12, 12))
    for a in range(12):
        for b in range(12):
            if a != b:
                both = (baskets[:, a] * baskets[:, b]).sum()
                similar[a, b] = both / (np.sqrt(baskets[:, a].sum() * baskets[:, b].sum()) + 2.0)
    for b in range(12):
        nearest = sorted(range(12), key=lambda a: (-similar[a, b], a))[:3]
        similar[[a for a in range(12) if a not in nearest], b] = 0
    rows = rows_of(40, 9)
    found = run(fitted["itemknn"].network, feed(rows))["outputs"]
    np.testing.assert_allclose(found, held_by(rows[HISTORY]) @ similar, atol=1e-5)


def test_ease_is_each_items_least_squares_on_all_others(fitted):
    """Column by column, with the item itself left out: what Steck's closed form must equal."""
    baskets, expected = baskets_of(TRAIN), np.zeros((12, 12))
    for item in range(12):
        others = [i for i in range(12) if i != item]
        design = baskets[:, others]
        expected[others, item] = np.linalg.solve(design.T @ design + 4.0 * np.eye(11), design.T @ baskets[:, item])
    np.testing.assert_allclose(fitted["ease"].weights["items"], expected, atol=1e-5)
    rows = rows_of(40, 9)
    found = run(fitted["ease"].network, feed(rows))["outputs"]
    np.testing.assert_allclose(found, held_by(rows[HISTORY]) @ expected, atol=1e-5)


def test_ridge_is_scikit_learns_of_next_on_past_items(fitted):
    from sklearn.linear_model import Ridge

    arrays = TRAIN
    taken = (arrays["weight"] > 0) & (arrays["target"][:, 0] > 0)
    weights = arrays["weight"][taken] / arrays["weight"][taken].mean()
    model = Ridge(alpha=1.0, fit_intercept=False)
    model.fit(of_length_one(held_by(arrays[HISTORY]))[taken], held_by(arrays["target"])[taken], sample_weight=weights)
    rows = rows_of(40, 9)
    found = run(fitted["ridge"].network, feed(rows))["outputs"]
    np.testing.assert_allclose(found, of_length_one(held_by(rows[HISTORY])) @ model.coef_.T, atol=1e-5)


def of_length_one(held):
    return held / np.maximum(np.linalg.norm(held, axis=1, keepdims=True), 1)


def objective(rows, items, baskets, options):
    """What iALS minimises, written out pair by pair (Rendle et al. 2022, eq. 1-4)."""
    total, scores = 0.0, rows @ items.T
    for row in range(len(baskets)):
        for item in range(12):
            total += baskets[row, item] * (1 - scores[row, item]) ** 2 + options.unheld * scores[row, item] ** 2
    for factors, counts, many in ((rows, baskets.sum(1), 12), (items, baskets.sum(0), len(baskets))):
        scale = options.penalty * (counts + options.unheld * many) ** options.frequency
        total += (scale * (factors**2).sum(1)).sum()
    return total


def test_each_half_of_a_sweep_of_ials_is_at_its_minimum():
    from scipy import sparse

    options, baskets = ials.Options(**OPTIONS["ials"]), baskets_of(TRAIN)
    items = np.random.default_rng(0).normal(size=(12, 4))
    rows = ials.solve(sparse.csr_matrix(baskets), items, options)
    rows[baskets.sum(1) == 0] = 0
    least = objective(rows, items, baskets, options)
    for step in range(20):
        moved = rows + np.random.default_rng(step).normal(scale=1e-3, size=rows.shape)
        assert objective(moved, items, baskets, options) > least


def test_the_graph_of_ials_solves_for_the_factor_of_a_history_as_training_does(fitted):
    from scipy import sparse

    rows, options = rows_of(40, 9), ials.Options(**OPTIONS["ials"])
    items = fitted["ials"].weights["factors"].astype(np.float64)
    factors = ials.solve(sparse.csr_matrix(held_by(rows[HISTORY])), items, options)
    found = run(fitted["ials"].network, feed(rows))["outputs"]
    np.testing.assert_allclose(found, factors @ items.T, atol=1e-4)


def test_a_factorization_sums_the_factors_of_what_is_held():
    model = fit_anew("factorization", activation=False, hidden=[])
    weights, rows = model.weights, rows_of(40, 9)
    held = held_by(rows[HISTORY])
    counts = np.array([[sum(n >= 2 for n in row)] for row in rows[HISTORY].tolist()])
    for row, listed in enumerate(rows[HISTORY].tolist()):  # a sequence counts an item as often as it stands there
        held[row] = [listed.count(number) for number in range(2, 14)]
    factor = held @ weights["encoders.0.table.weight"][2:] / np.sqrt(np.maximum(counts, 1)) + weights["bias"]
    factor += rows["encoded.dense"] @ weights["encoders.1.1.weight"].T + weights["encoders.1.1.bias"]
    index = weights["encoders.2.0.table.weight"][rows["encoded.index_1"]]
    factor += index @ weights["encoders.2.1.weight"].T + weights["encoders.2.1.bias"]
    expected = factor @ weights["items.weight"].T + weights["items.bias"]
    np.testing.assert_allclose(run(model.network, feed(rows))["outputs"], expected, atol=1e-4)


def test_a_factorization_hides_part_of_a_history_in_training_alone():
    network = choose("models", "factorization", "").build(PROBLEM, choose("models", "factorization", "").Options())
    arrays = [torch.from_numpy(np.ascontiguousarray(rows_of(20, 4)[spec.name].astype(spec.dtype))) for spec in SPECS]
    torch.manual_seed(0)
    assert not torch.equal(network.train()(*arrays), network(*arrays))
    assert torch.equal(network.eval()(*arrays), network(*arrays))


def test_a_transformer_reads_the_newest_of_a_long_history():
    model, rows = fit_anew("transformer", max_length=3), rows_of(40, 9)
    newest, live = np.zeros((40, 3), np.int32), (rows[HISTORY] > 0).sum(1)
    for row, listed in enumerate(rows[HISTORY]):
        kept = listed[max(0, live[row] - 3) : live[row]]
        newest[row, : len(kept)] = kept
    assert live.max() > 3
    for network in (model.predict, lambda arrays: run(model.network, feed(arrays))["outputs"]):
        np.testing.assert_allclose(network(rows), network({**rows, HISTORY: newest}), atol=1e-5)
        assert np.abs(network(rows) - network({**rows, HISTORY: rows[HISTORY][:, :3]})).max() > 1e-3


def test_pairs_add_what_each_held_item_says_of_every_other(fitted):
    weights, rows = fitted["pairs"].weights, rows_of(40, 9)
    expected = np.tile(weights["bias"], (40, 1))
    for row, listed in enumerate(rows[HISTORY].tolist()):
        held = [number for number in listed if number >= 2]
        for number in held:
            expected[row] += weights["table"][number] / len(held) ** 0.5
    np.testing.assert_allclose(run(fitted["pairs"].network, feed(rows))["outputs"], expected, atol=1e-5)


def test_a_catalogue_too_large_for_its_square_is_refused_with_the_way_out():
    large = Problem(SPECS, ranking, {**STATE, "catalogue": ITEMS * 2000})
    with pytest.raises(ContractError, match=r"the catalogue has 24,000 items; at most 20,000 fit\. Raise examples"):
        _items.check_square(large, "ease")


def test_a_ranking_is_refused_by_a_model_of_classes():
    with pytest.raises(ContractError, match="the model 'prior' predicts targets of the types"):
        fit("prior", choose("models", "prior", "").Options(), PROBLEM, {"train": rows_of(9, 1)}, recipe=RECIPE)
