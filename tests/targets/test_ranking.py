"""Lists of next items in; the catalogue, the loss, full-ranking scores and the drawn ranking out."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contract import Target
from stages.contract.decide import Decide
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError, DataError
from stages.core.graph import run
from stages.statistics import rankings
from stages.targets import ranking, target_module

TARGET = Target(column="next", type="ranking", history="past", top=10)
PAST = [["tea", "milk"], ["tea"], [], None, ["milk", "tea", "milk"]]
NEXT = [["milk", "jam"], ["milk", "milk"], ["bread"], ["tea"], []]
STATE = {
    "type": "ranking", "column": "next", "history": "past", "catalogue": ["milk", "tea", "bread", "jam"],
    "counts": [2, 1, 1, 1], "mean_next": 1.0, "top": 3, "seen": "mask",
}  # fmt: skip
DRAWN = {**STATE, "array": "encoded.tokens_0"}
SPECS = (ArraySpec("encoded.tokens_0", "tokens", ("past",), 6),)


def lists(past, coming):
    kind = pa.list_(pa.string())
    return pa.table({"past": pa.array(past, kind), "next": pa.array(coming, kind)})


TABLE = lists(PAST, NEXT)


def test_the_catalogue_is_what_most_rows_hold_past_or_next_then_by_name():
    assert target_module(TARGET) is ranking
    expected = {"milk": 3, "tea": 4, "bread": 1, "jam": 1}  # rows: tea in 0 1 3 4, milk in 0 1 4
    assert ranking.fit(TARGET, TABLE) == {
        **STATE, "catalogue": sorted(expected, key=lambda item: (-expected[item], item)),
        "counts": [1, 1, 1, 1], "top": 4,  # milk is next in rows 0 and 1, and row 0 holds it already
    }  # fmt: skip
    kept = ranking.fit(TARGET.model_copy(update={"seen": "keep"}), TABLE)
    assert dict(zip(kept["catalogue"], kept["counts"], strict=True)) == {"tea": 1, "milk": 2, "bread": 1, "jam": 1}
    weighed = TABLE.append_column("w", pa.array([3.0, 1.0, 0.5, None, 1.0]))
    counts = ranking.fit(TARGET.model_copy(update={"weight": "w"}), weighed)["counts"]
    assert counts == [0, 1.0, 0.5, 3.0]  # tea, milk, bread, jam
    assert ranking.fit(TARGET.model_copy(update={"min_count": 2}), TABLE)["catalogue"] == ["tea", "milk"]
    assert ranking.fit(TARGET.model_copy(update={"top": 50}), TABLE)["top"] == 4


def test_fewer_answers_than_the_scores_ask_for_are_refused():
    with pytest.raises(ValueError, match=r"top\n.*greater than or equal to 10"):
        Target(column="next", type="ranking", history="past", top=9)


def test_rows_without_items_teach_nothing():
    with pytest.raises(DataError, match=r"the training rows hold 0 items of past and next.*lower examples"):
        ranking.fit(TARGET, lists([[], None], [[], []]))


def test_next_items_count_once_and_only_where_they_are_new():
    found = ranking.encode(STATE, TABLE)
    assert found["target"].tolist() == [[5], [2], [4], [3], [0]]  # jam, milk, bread, tea, nothing
    assert found["weight"].tolist() == [1, 1, 1, 1, 0]
    kept = ranking.encode({**STATE, "seen": "keep"}, TABLE)
    assert kept["target"].tolist() == [[2, 5], [2, 0], [4, 0], [3, 0], [0, 0]]


def test_an_item_that_no_training_row_has_is_one_that_must_be_missed():
    found = ranking.encode(STATE, lists([[]], [["jam", "caviar"]]))
    assert found["target"].tolist() == [[5, 1]]
    scores = ranking.score_functions(STATE, None, np.array([[3, 0, 1]]), found)
    assert scores["recall@10"](np.ones((1, 1)))[0] == 0.5


def test_declared_weights_hold_for_rows_that_have_something_next():
    table = TABLE.append_column("w", pa.array([2.0, 3.0, 0.0, 1.0, 9.0]))
    assert ranking.encode({**STATE, "weight": "w"}, table)["weight"].tolist() == [2, 3, 0, 1, 0]


def test_no_row_is_encoded():
    assert ranking.encode(STATE, TABLE.slice(0, 0))["target"].shape == (0, 1)


def test_loss_is_the_cross_entropy_of_each_next_item_over_how_many_a_training_row_has():
    import torch

    outputs = torch.tensor([[0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0], [9.0, 0.0, 0.0, 0.0]])
    truth = torch.tensor([[2, 5, 1], [3, 0, 0], [0, 0, 0]], dtype=torch.int32)
    total = math.log(sum(math.exp(x) for x in (0, 1, 2, 3)))
    first, second, state = ((total - 0) + (total - 3)) / 2, math.log(4) / 2, {**STATE, "mean_next": 2.0}
    assert float(ranking.loss(state, outputs, truth)) == pytest.approx((first + second) / 2)
    weighted = ranking.loss(state, outputs, truth, torch.tensor([3.0, 1.0, 0.0]))
    assert float(weighted) == pytest.approx((3 * first + second) / 4)
    smoothed = ranking.loss(state, outputs[:1], truth[:1], label_smoothing=0.2)
    assert float(smoothed) == pytest.approx(0.8 * first + 0.2 * (total - 1.5))
    nothing = ranking.loss(state, outputs.requires_grad_(), truth, torch.zeros(3))
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    assert outputs.grad.abs().sum() == 0


def test_money_is_for_classes():
    with pytest.raises(ContractError, match=r"shop\.decide\.value gives worth to classes, and next is a ranking"):
        ranking.decision(STATE, Decide(currency="GBP", value={"a": {"b": 1.0}}), "shop.decide")


# Answers, in numpy and drawn


histories = st.lists(st.lists(st.integers(1, 5), max_size=5), min_size=0, max_size=6)


def padded(rows):
    array = np.zeros((len(rows), max([1, *map(len, rows)])), np.int64)
    for row, listed in enumerate(rows):
        array[row, : len(listed)] = listed
    return array


@settings(max_examples=60, deadline=None)
@given(history=histories, seed=st.integers(0, 99), tied=st.booleans(), seen=st.sampled_from(["mask", "keep"]))
def test_the_drawn_ranking_is_the_one_python_sorts_and_holds_nothing_seen(history, seed, tied, seen):
    state, numbers = {**DRAWN, "seen": seen}, padded(history)
    scores = np.random.default_rng(seed).normal(size=(len(history), 4)).astype(np.float32)
    scores = np.round(scores) if tied else scores
    expected = []
    for row, held in enumerate(history):
        left = [place for place in range(4) if seen == "keep" or place + 2 not in held]
        left.sort(key=lambda place: (-scores[row, place], place))
        expected.append([*left, -1, -1, -1][:3])
    arrays = {"outputs": scores, "encoded.tokens_0": numbers}
    answer = ranking.answer(scores, {}, state=state, arrays=arrays)
    assert answer.tolist() == expected
    drawn = run(ranking.nodes(state, {}, Decide(), "", SPECS), arrays)
    assert drawn["items"].tolist() == [[[*STATE["catalogue"], ""][place] for place in row] for row in expected]
    assert ranking.answer_of_graph(state, drawn).tolist() == expected
    best = [[float(scores[i, place]) if place >= 0 else 0.0 for place in row] for i, row in enumerate(expected)]
    assert drawn["scores"].tolist() == best


def test_the_contract_names_the_outputs_that_the_graph_has():
    described = ranking.describe(STATE, Decide())
    graph = ranking.nodes(DRAWN, {}, Decide(), "", SPECS).graph
    assert [output["name"] for output in described["outputs"]] == [value.name for value in graph.output]


def test_the_least_baseline_answers_every_row_with_what_is_next_most_often():
    assert ranking.prior({**STATE, "counts": [1, 1, 5, 2]}, 2).tolist() == [[2, 3, 0]] * 2


# Scores, against plain Python


def by_hand(answer, right):
    """Each score of one row at 10, by its textbook formula."""
    hit = [int(place in right and place >= 0) for place in answer[:10]]
    ideal = sum(1 / math.log2(i + 2) for i in range(min(10, len(right))))
    return {
        "ndcg@10": sum(h / math.log2(i + 2) for i, h in enumerate(hit)) / ideal,
        "recall@10": sum(hit) / len(right),
        "precision@10": sum(hit) / 10,
        "map@10": sum(h * sum(hit[: i + 1]) / (i + 1) for i, h in enumerate(hit)) / min(10, len(right)),
        "mrr@10": next((1 / (i + 1) for i, h in enumerate(hit) if h), 0.0),
        "hit_rate@10": float(any(hit)),
    }


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), top=st.integers(1, 14), num_rows=st.integers(1, 6))
def test_scores_are_the_textbook_ones_over_the_rows_that_have_something_to_find(seed, top, num_rows):
    chance, state = np.random.default_rng(seed), {**STATE, "catalogue": [str(i) for i in range(15)]}
    answer = np.array([chance.permutation(15)[:top] for _ in range(num_rows)])
    answer[chance.random(answer.shape) < 0.1] = -1
    truths = [chance.permutation(15)[: chance.integers(0, 13)].tolist() for _ in range(num_rows)]
    truths[0] = truths[0] or [3]
    weights = chance.integers(0, 3, (4, num_rows)).astype(np.float64)
    weights[:, 0] += 1
    functions = ranking.score_functions(state, None, answer, {"target": padded([[p + 2 for p in t] for t in truths])})
    assert {*ranking.METRICS, "coverage@10"} == set(functions)
    assert list(ranking.METRICS) == ranking.metric_names(state, False)
    rows = [row for row in range(num_rows) if truths[row]]
    for name, values in by_hand([0], [0]).items():
        assert 0 <= values <= 1
        each = {row: by_hand(answer[row].tolist(), truths[row])[name] for row in rows}
        expected = [sum(w[row] * each[row] for row in rows) / sum(w[row] for row in rows) for w in weights]
        np.testing.assert_allclose(functions[name](weights), expected, atol=1e-9)
    items = {place for row in rows for place in answer[row, :10].tolist() if place >= 0}
    assert functions["coverage@10"](np.ones((1, num_rows)))[0] == len(items) / 15


def test_coverage_has_no_interval_since_a_resample_covers_less():
    functions = ranking.score_functions(STATE, None, np.array([[0, 1, 2], [1, 2, 3]]), {"target": np.array([[2], [3]])})
    np.testing.assert_array_equal(functions["coverage@10"](np.array([[1, 1], [2, 0], [0, 2]])), [1.0, np.nan, np.nan])


def test_a_perfect_answer_scores_one_and_larger_is_better():
    truth = {"target": np.array([[4, 2, 0]])}
    functions = ranking.score_functions(STATE, None, np.array([[0, 2, 1]]), truth)
    found = {name: float(function(np.ones((1, 1)))[0]) for name, function in functions.items()}
    assert found["ndcg@10"] == found["recall@10"] == found["map@10"] == found["mrr@10"] == found["hit_rate@10"] == 1.0
    assert {ranking.sign(name) for name in ranking.METRICS} == {1}


def test_recall_grows_with_the_number_of_answers():
    header, points = ranking.plots(STATE, np.array([[0, 2, 1], [1, 0, 2]]), {"target": np.array([[4, 2], [0, 0]])})[
        "recall"
    ]
    assert header == ("answers", "recall")
    assert points == [(1.0, 0.5), (2.0, 1.0), (3.0, 1.0)]


def test_hits_of_many_rows_are_found_in_parts():
    answer, truth = np.tile([[5, -1]], (3000, 1)), np.tile([[5, -2]], (3000, 1))
    assert rankings.hits(answer, truth).tolist() == [[True, False]] * 3000
