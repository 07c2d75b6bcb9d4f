"""The line over lists of items, from JSON lines to a bundle that recommends, and what the bundle does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from serving import predict, verify
from stages.core.files import read_json

CONTRACT: dict[str, Any] = {
    "fetch": {"from": "incoming/shelf.jsonl"},
    "ingest": {"format": "jsonl"},
    "columns": {
        "reader": {"type": "id", "required": True},
        "country": {"type": "category"},
        "has": {"type": "items", "required": True, "max_items": 30},
        "reads": {"type": "items", "max_items": 30},
    },
    "clean": {},
    "validate": {"rows": {"min": 200}},
    "examples": {
        "target": {
            "column": "reads", "type": "ranking", "history": "has", "top": 20,
            "items": {"derive": "items.sql", "key": "book", "columns": {"genre": {"type": "category"}}},
        },
        "split": {"by": "group", "key": "reader", "validation": 0.25, "test": 0.25},
        "leaks": {"duplicates": "drop"},
    },
    "features": {},
    "train": {"model": "factorization", "options": {"width": 16}, "epochs": 8, "batch_size": 32, "seed": 1},
    "evaluate": {"baselines": {"popularity": {}, "ease": {"penalty": 5.0}}},
    "decide": {},
    "compress": {"candidates": ["int8"]},
    "assay": {},
    "package": {},
}  # fmt: skip
ITEMS_SQL = """
select distinct book, left(book, 1) as genre
from (select unnest(list_concat(has, reads)) as book from records)
order by book
"""


def write_shelf(path: Path) -> None:
    """360 readers of 30 books in three genres: "a0" … "c9"; who likes a genre reads more of it. Some have no book."""
    chance = np.random.default_rng(4)
    with path.open("w", encoding="utf-8") as file:
        for reader in range(360):
            books = ["abc"[reader % 3] + str(n) for n in chance.permutation(10)[: chance.integers(2, 9)]]
            if chance.random() < 0.2:
                books.insert(0, "abc"[chance.integers(0, 3)] + "0")
            cut = int(chance.integers(0, len(books)))
            row = {"reader": f"r{reader}", "country": "UK", "has": books[:cut], "reads": books[cut:]}
            file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, run_stage: Callable[..., None]) -> Path:
    from stages.fetch import refresh

    project = tmp_path_factory.mktemp("shelf")
    (project / "incoming").mkdir()
    (project / "sources" / "shelf").mkdir(parents=True)
    write_shelf(project / "incoming" / "shelf.jsonl")
    (project / "sources" / "shelf" / "items.sql").write_text(ITEMS_SQL)
    YAML().dump({"pipelines": {"shelf": {}}, "shelf": CONTRACT}, project / "params.yaml")
    refresh("shelf", params=project / "params.yaml")
    run_stage(project, "shelf")
    return project


@pytest.fixture
def bundle(shelf: Path) -> Path:
    return shelf / "data" / "bundle" / "shelf"


def test_the_bundle_verifies_and_beats_one_answer_for_all(shelf: Path, bundle: Path) -> None:
    assert verify.main(bundle) == 0
    assay = read_json(bundle / "assay.json")
    assert assay["passed"]
    assert assay["metric"] == "ndcg@10"
    assert assay["scores"]["model"]["ndcg@10"]["value"] > 0.5
    assert assay["model_minus"]["prior"]["ndcg@10"]["low"] > 0


def test_items_have_columns_and_who_asks_gives_none(shelf: Path, bundle: Path) -> None:
    report = read_json(shelf / "data" / "examples" / "shelf" / "report.json")
    assert report["items"] == {
        "rows": 30, "records": "the training rows", "items_of_train": 30, "with_a_row": 30
    }  # fmt: skip
    assert read_json(shelf / "data" / "features" / "shelf" / "features.json")["items"]["specs"][0]["columns"] == [
        "genre"
    ]
    assert [column["name"] for column in read_json(bundle / "contract.json")["inputs"]] == ["country", "has"]


def test_validation_scores_what_the_shipped_graph_answers(shelf: Path, bundle: Path) -> None:
    frontier = read_json(bundle / "frontier.json")
    scores = read_json(shelf / "data" / "evaluation" / "shelf" / "evaluation.json")["models"]["model"]["scores"]
    assert frontier["candidates"]["fp32"]["score"]["value"] == pytest.approx(scores["ndcg@10"]["value"])


def test_what_a_reader_has_is_never_recommended_even_what_training_saw_only_as_next(bundle: Path) -> None:
    contract, session = predict.load(bundle)
    books = [genre + str(n) for genre in "abc" for n in range(10)]
    rows = [{"has": [book]} for book in books] + [{"has": books[:25]}, {"has": ["a1", "unheard of", "a2"]}]
    for row, answer in zip(rows, predict.predict(contract, session, rows), strict=True):
        assert not set(answer["items"]) & set(row["has"])
        assert len(set(answer["items"])) == len(answer["items"]) == min(20, 30 - len(set(row["has"]) & set(books)))
        assert answer["scores"] == sorted(answer["scores"], reverse=True)


def test_new_readers_are_answered_by_genre_from_their_first_book_and_with_popular_ones_before(bundle: Path) -> None:
    contract, session = predict.load(bundle)
    rows = [{"has": ["b3"]}, {"has": ["c1", "c2"]}, {"has": []}]
    first, second, third = predict.predict(contract, session, rows)
    assert {book[0] for book in first["items"][:4]} == {"b"}
    assert {book[0] for book in second["items"][:4]} == {"c"}
    assert len(third["items"]) == 20


def test_rows_that_hold_everything_get_nothing_and_broken_ones_their_problem(bundle: Path) -> None:
    contract, session = predict.load(bundle)
    everything = [genre + str(n) for genre in "abc" for n in range(10)]
    answers = predict.predict(contract, session, [{"has": everything}, {"has": "a1 a2"}, {}])
    assert answers[0] == {"items": [], "scores": []}
    assert answers[1]["problems"] == ['has "a1 a2" is not a list of ids; text needs a separator, or to be a JSON list']
    assert answers[2]["problems"] == ["has is missing"]
    assert next(iter(predict.show(contract, answers, 1))) == "row: no item is left"


def test_a_person_reads_items_and_a_program_json(bundle: Path, tmp_path: Path, capsys: Any) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"has": ["b3", "b4"], "country": "UK"}\n{"has": "[\\"c1\\"]"}\n')
    assert predict.main([str(rows)], bundle) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rows.jsonl row 1: b")
    assert predict.main(["--json", str(rows)], bundle) == 0
    assert [sorted(json.loads(line)) for line in capsys.readouterr().out.splitlines()] == [
        ["_source", "items", "scores"]
    ] * 2
