"""The page of a search: every plot, no network, nothing unescaped, and its figures where they belong."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from stages.tune import plots
from stages.tune.page import page
from stages.tune.plots import Point
from stages.tune.section import Range

RANGES = {
    "learning_rate": Range(low=1e-4, high=0.1, log=True),
    "options.hidden": [[4], [16]],
    "epochs": Range(low=2, high=9),
}
ABOUT = {
    "pipeline": "shop", "model": "mlp", "metric": "roc_auc", "sign": 1, "finished": 3, "trials": 4, "pruned": 1,
    "rows": 400, "importance": {"learning_rate": 0.9, "options.hidden": 0.1, "epochs": 0.0}, "diff": "-a <b>\n+c",
    "best": 3, "present": {"value": 0.7, "low": 0.6, "high": 0.8}, "winner": {"value": 0.9, "low": 0.8, "high": 1.0},
    "difference": {"value": 0.2, "low": 0.1, "high": 0.3}, "shown": True, "words": "shown better",
}  # fmt: skip
POINTS = [
    Point(1, 0.7, {"learning_rate": 0.01, "options.hidden": [4], "epochs": 2}),
    Point(2, None, {"learning_rate": 0.0001, "options.hidden": [4], "epochs": 9}),
    Point(3, 0.9, {"learning_rate": 0.1, "options.hidden": [16], "epochs": 5}),
]
EMPTY = ("meta", "line", "circle", "rect", "polyline")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag


def test_the_page_needs_no_network_and_holds_every_plot():
    text = page(ABOUT, POINTS, RANGES)
    found = Page(text)
    assert found.open == []
    assert "http" not in text
    assert "script" not in found.tags
    assert found.tags.count("svg") == 2 + 1 + 3  # history, importance; parallel; a slice for each parameter
    assert "prefers-color-scheme:dark" in text
    assert "-a &lt;b&gt;" in text
    assert "nan" not in text
    assert "<td>pruned</td>" in text
    assert "difference, paired on the same rows: 0.2 [0.1, 0.3]" in text


def test_without_importance_the_page_says_why():
    text = page({**ABOUT, "importance": "fewer than 8 trials"}, POINTS, RANGES)
    assert "Importance is not measured: fewer than 8 trials." in text
    assert Page(text).tags.count("svg") == 5


def test_a_logarithmic_axis_has_the_geometric_mean_in_its_middle():
    axis = plots.numbers([1e-4, 1e-2], log=True)
    assert axis.place(1e-3) == pytest.approx(0.5)
    assert [label for _, label in axis.ticks] == ["0.0001", "0.001", "0.01"]


def test_choices_stand_at_equal_distances_and_are_told_apart_by_type():
    axis = plots.words([0, "0", [1, 2]])
    assert [axis.place(value) for value in (0, "0", [1, 2])] == [0.0, 0.5, 1.0]


def test_one_wild_score_does_not_press_the_others_flat():
    values = {"learning_rate": 0.01, "options.hidden": [4], "epochs": 2}
    scores = [*np.linspace(0.80, 0.82, 20).tolist(), -1e9]
    axis = plots.up_of([Point(number, score, values) for number, score in enumerate(scores, 1)], 0.81)
    assert axis.place(0.82) - axis.place(0.80) > 0.9


@pytest.mark.parametrize(("sign", "expected"), [(1, 3), (-1, 1)])
def test_the_best_point_is_marked_by_the_metrics_own_sign(sign, expected):
    drawn = plots.history(POINTS, 0.75, sign, "roc_auc")
    assert re.findall(r'class="best"><title>trial (\d)', drawn) == [str(expected)]
    assert re.findall(r'class="cut"><title>trial (\d): pruned', drawn) == ["2"]


@pytest.mark.parametrize(
    "values", [[0.70407, 0.70561], [0.0, 1.0], [-3.0, 3.0], [17.5585, 17.5586], [0.5, 0.5], [1e6, 1e6 + 1]]
)
def test_ticks_of_an_axis_read_apart(values):
    labels = [label for _, label in plots.numbers(values).ticks]
    assert len(set(labels)) == 5
    assert [float(label) for label in labels] == sorted(float(label) for label in labels)
