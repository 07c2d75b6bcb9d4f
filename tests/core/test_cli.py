"""A crash leaves its kind in the record, and nobody's personal value."""

import json

import pytest

from stages.core import cli

PARAMS = """
pipelines: {{shop: {{}}}}
shop:
  columns: {{mail: {{type: id, personal: {personal}}}, paid: {{type: boolean}}}}
  examples: {{target: {{column: paid}}{derived}}}
"""
DERIVED = ", derive: derive.sql, columns: {name: {type: id, personal: true}, paid: {type: boolean}}"


def crash(folder, personal, derived=""):
    (folder / "params.yaml").write_text(PARAMS.format(personal=personal, derived=derived))
    places = {"out": "out", "params": "params.yaml", "status": "run"}
    argv = ["--pipeline", "shop", *(word for name, at in places.items() for word in (f"--{name}", str(folder / at)))]
    with pytest.raises(KeyError), cli.job("ingest", argv=argv):
        raise KeyError("ada@example.org")
    return json.loads((folder / "run" / "shop.ingest.json").read_text())


def test_the_record_of_a_crash_quotes_a_library_where_nothing_is_personal(tmp_path):
    assert crash(tmp_path, "false") == {
        "stage": "ingest",
        "pipeline": "shop",
        "error": "Crash",
        "message": "KeyError: 'ada@example.org'",
    }


@pytest.mark.parametrize(("personal", "derived", "named"), [("true", "", "mail"), ("false", DERIVED, "name")])
def test_the_record_of_a_crash_says_its_type_alone_where_a_column_is_personal(tmp_path, personal, derived, named):
    record = crash(tmp_path, personal, derived)
    assert record["error"] == "Crash"
    assert "ada@example.org" not in json.dumps(record)
    assert record["message"].startswith("KeyError, whose text is withheld, since it may quote a value of what is per")
    assert f"({named})" in record["message"]


def test_where_nobody_knows_what_is_personal_the_record_says_the_type_alone(tmp_path):
    (tmp_path / "params.yaml").write_text("pipelines: {shop: {}}\nshop: {columns: {mail: {type: id}}}")
    argv = ["--pipeline", "shop", "--out", str(tmp_path / "out"), "--params", str(tmp_path / "params.yaml")]
    with pytest.raises(KeyError), cli.job("ingest", argv=[*argv, "--status", str(tmp_path)]):
        raise KeyError("ada@example.org")
    assert json.loads((tmp_path / "shop.ingest.json").read_text())["message"] == "KeyError"
