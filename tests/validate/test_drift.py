"""How far a column has moved: literals for the formulas, and corruptions that break one limit and no other."""

import json
import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from validate_shop import broken, contract, write

from stages.core.errors import DataError, RefusedError
from stages.validate import drift, validate
from stages.validate.accept import accept, main, show
from stages.validate.summary import bins_of

COLUMNS = {
    "delay": {"type": "number"},
    "carrier": {"type": "category"},
    "late": {"type": "boolean"},
    "note": {"type": "text"},
    "at": {"type": "timestamp"},
    "who": {"type": "id"},
    "colour": {"type": "category"},
}
LIMITS = {"default": {"psi": 0.2, "ks": 0.1}, "columns": {"at": {"ks": 0.5}, "who": {"psi": 0.1}}}
SECTION = {"min_class_share": 0.0, "max_missing": {"default": 1.0}, "drift": LIMITS}
N = 1000


def values(seed):
    random = np.random.default_rng(seed)
    return {
        "delay": random.normal(0, 10, N).tolist(),
        "carrier": random.choice(["AA", "BB", "CC"], N, p=[0.6, 0.3, 0.1]).tolist(),
        "late": (random.random(N) < 0.3).tolist(),
        "note": ["x" * n for n in random.poisson(20, N)],
        "at": [datetime(2020, 1, 1) + timedelta(hours=int(h)) for h in random.integers(0, 1000, N)],
        "who": [f"w{i}" for i in range(N)],
        "colour": ["red", "blue"] * (N // 2),
    }


def table(seed=1, **changed):
    held = pa.table({**values(seed), **changed})
    return held.set_column(4, "at", held.column("at").cast(pa.timestamp("us")))


@pytest.fixture
def accepted(shop):
    """A shop whose present data were accepted."""
    report = shop.validate(table(), columns=COLUMNS, section={**SECTION, "drift": {}})
    assert report["passed"]
    columns = contract(columns=COLUMNS).columns
    accept(shop.root / "clean" / "table", columns, report, shop.sources / "reference.json")
    return shop


def run(shop, *pieces, limits=LIMITS):
    return shop.validate(*pieces, columns=COLUMNS, section={**SECTION, "drift": limits})


def test_the_same_data_and_another_sample_of_them_have_not_moved(accepted):
    report = run(accepted, table())
    drifted = [result for result in report["results"] if result["from"] == "drift"]
    assert [(result["type"], result["kwargs"]["column"]) for result in drifted] == [
        ("psi_at_most", "delay"),
        ("ks_at_most", "delay"),
        ("psi_at_most", "carrier"),
        ("psi_at_most", "late"),
        ("psi_at_most", "note"),
        ("ks_at_most", "note"),
        ("ks_at_most", "at"),
        ("psi_at_most", "who"),
        ("psi_at_most", "colour"),
    ]
    assert all(result["observed"][result["type"].split("_")[0]] == 0 for result in drifted)
    assert broken(run(accepted, table(seed=2))) == []
    assert broken(run(accepted, table(seed=2).slice(0, 300), table(seed=2).slice(300))) == []


BREAKS = {
    "a shift of the mean": (
        {"delay": (np.array(values(1)["delay"]) + 6).tolist()},
        {"ks_at_most", "psi_at_most"},
        "delay",
    ),
    "wider tails alone": (
        {"delay": (np.array(values(1)["delay"]) * 1.6).tolist()},
        {"ks_at_most", "psi_at_most"},
        "delay",
    ),
    "missing values": ({"delay": [None] * 300 + values(1)["delay"][300:]}, {"psi_at_most"}, "delay"),
    "a new category": ({"carrier": ["ZZ"] * 100 + values(1)["carrier"][100:]}, {"psi_at_most"}, "carrier"),
    "other shares": ({"carrier": ["CC"] * 400 + values(1)["carrier"][400:]}, {"psi_at_most"}, "carrier"),
    "more that is true": ({"late": [True] * 500 + values(1)["late"][500:]}, {"psi_at_most"}, "late"),
    "longer texts": ({"note": ["x" * 25] * 400 + values(1)["note"][400:]}, {"ks_at_most", "psi_at_most"}, "note"),
    "later times": (
        {"at": [moment + timedelta(days=30) for moment in values(1)["at"]]},
        {"ks_at_most"},
        "at",
    ),
    "ids that are missing": ({"who": [None] * 100 + values(1)["who"][100:]}, {"psi_at_most"}, "who"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_corruption_breaks_the_limits_of_its_column_alone(accepted, kind):
    changed, expected, column = BREAKS[kind]
    report = run(accepted, table(**changed))
    assert set(broken(report)) == {(limit, column) for limit in expected}
    assert not report["passed"]


def test_a_limit_may_warn(accepted):
    shifted = table(delay=(np.array(values(1)["delay"]) + 4).tolist())
    report = run(accepted, shifted, limits={"columns": {"delay": {"ks": 0.1, "severity": "warn"}}})
    assert report["passed"]
    assert len(report["warnings"]) == 1


def test_psi_is_the_formula_with_half_a_row_more_in_each_bin():
    c, r = [(40.5 / 101), (60.5 / 101)], [(50.5 / 101), (50.5 / 101)]
    expected = sum((a - b) * math.log(a / b) for a, b in zip(c, r, strict=True))
    assert drift.psi([40, 60], [50, 50]) == pytest.approx(expected, rel=1e-12)
    assert drift.psi([50, 50], [50, 50]) == 0
    assert 0 < drift.psi([100, 0], [0, 100]) < 20  # an empty bin stays finite


@pytest.mark.parametrize("seed", range(5))
def test_ks_is_that_of_scipy_within_what_it_states(seed):
    from scipy.stats import ks_2samp

    random = np.random.default_rng(seed)
    column = contract(columns=COLUMNS).columns["delay"]
    reference = np.round(random.normal(0, 3, 2000), seed % 3)  # ties, few and many
    current = np.round(random.normal(random.random(), 3, 1500), seed % 3)
    held = drift.empty_bins(column, pa.chunked_array([reference]))
    held |= bins_of(column, pa.chunked_array([reference]), held)
    found = bins_of(column, pa.chunked_array([current]), held)
    value, within = drift.ks(found, held)
    truth = ks_2samp(reference, current).statistic
    assert value - 1e-12 <= truth <= value + within + 1e-12
    assert within <= 1 / drift.LEVELS


def test_a_number_that_is_mostly_one_value_has_bins_that_add_up():
    column = contract(columns=COLUMNS).columns["delay"]
    reference = pa.chunked_array([[0.0] * 900 + [float(i) for i in range(100)]])
    held = drift.empty_bins(column, reference)
    held |= bins_of(column, reference, held)
    assert sum(drift.psi_counts(held, held)) == 1000
    other = bins_of(column, pa.chunked_array([[5000.0, -5000.0, None]]), held)
    assert sum(drift.psi_counts(other, held)) == 3


def test_a_limit_without_a_reference_fails_and_says_what_to_run(shop):
    report = run(shop, table())
    assert not report["passed"]
    assert "there is no sources/shop/reference.json" in report["reasons"][0]
    assert "`python -m stages.validate --accept shop`" in report["reasons"][0]


def test_no_limit_and_no_reference_is_said(shop):
    report = run(shop, table(), limits={})
    assert report["passed"]
    (note,) = report["notes"]
    assert note.startswith(
        "no reference yet: drift is not watched. `python -m stages.validate --accept shop` writes one"
    )


def test_a_column_that_the_reference_lacks_fails_and_says_so(accepted):
    path = accepted.sources / "reference.json"
    held = json.loads(path.read_text())
    del held["columns"]["delay"]
    path.write_text(json.dumps(held))
    report = run(accepted, table(), limits={"columns": {"delay": {"psi": 0.2}}})
    assert "holds no column 'delay'" in report["reasons"][0]


def test_an_edited_reference_is_refused_by_name(accepted):
    (accepted.sources / "reference.json").write_text("{}")
    with pytest.raises(DataError, match=r"reference\.json is no reference of version 1"):
        run(accepted, table())


def test_a_column_without_any_value_fails_its_ks(accepted):
    report = run(accepted, table(delay=pa.nulls(N, pa.float64())), limits={"columns": {"delay": {"ks": 1.0}}})
    assert "there are no values to compare" in report["reasons"][0]


def test_the_reference_holds_no_personal_value(shop):
    columns = {**COLUMNS, "carrier": {"type": "category", "personal": True}}
    report = shop.validate(table(), columns=columns, section={**SECTION, "drift": {}})
    path = shop.sources / "reference.json"
    held = accept(shop.root / "clean" / "table", contract(columns=columns).columns, report, path)
    assert "carrier" not in held["columns"]
    assert "AA" not in path.read_text()


def test_what_failed_is_not_accepted_and_drift_alone_is(accepted):
    columns, path = contract(columns=COLUMNS).columns, accepted.sources / "reference.json"
    before = path.read_text()
    short = accepted.validate(table(), columns=COLUMNS, section={"rows": {"min": 2000}})
    with pytest.raises(RefusedError, match="failed: expect_table_row_count_to_be_between"):
        accept(accepted.root / "clean" / "table", columns, short, path)
    moved = run(accepted, table(delay=(np.array(values(1)["delay"]) + 4).tolist()))
    assert not moved["passed"]
    accept(accepted.root / "clean" / "table", columns, moved, path)
    assert path.read_text() != before
    assert validate(accepted.root / "clean", contract(SECTION, COLUMNS), accepted.sources, accepted.out)["passed"]


def test_a_report_of_another_table_is_not_accepted(shop):
    report = shop.validate(table(), columns=COLUMNS, section={**SECTION, "drift": {}})
    write(shop.root / "clean", table(seed=9))
    with pytest.raises(RefusedError, match="the report is not of the present"):
        accept(
            shop.root / "clean" / "table", contract(columns=COLUMNS).columns, report, shop.sources / "reference.json"
        )


def test_the_command_says_what_the_reference_holds(shop, tmp_path, capsys):
    report = shop.validate(table(), columns=COLUMNS, section={**SECTION, "drift": {}})
    (shop.out / "report.json").write_text(json.dumps(report))
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"shop": {"columns": COLUMNS, "validate": SECTION}}))
    places = {"clean": shop.root / "clean", "validation": shop.out, "sources": shop.sources, "params": params}
    arguments = [word for name, path in places.items() for word in (f"--{name}", str(path))]
    main(["--accept", "shop", *arguments, "--status", str(tmp_path / "status")])
    said = capsys.readouterr().out
    assert "accepted 1,000 rows" in said
    assert "  carrier: 1,000 values, 0.00% missing; 3 categories: AA" in said
    held = json.loads((shop.sources / "reference.json").read_text())
    assert show(held) in said
    assert (
        held["columns"]["late"]["counts"] == {"false": 715, "true": 285}
        or sum(held["columns"]["late"]["counts"].values()) == N
    )
