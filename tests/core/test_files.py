"""Whole files and folders, or the old ones: whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.core import cli, store
from stages.core.errors import DataError, IngotError, RefusedError
from stages.core.files import hash_json, read_json, replacing, sha256, to_json, write_json, write_text
from stages.core.store import Store
from stages.core.tensors import read_tensors, write_tensors


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def fill(folder, text, error=None):
    with replacing(folder) as partial:
        (partial / "a.txt").write_text(text)
        if error is not None:
            raise error


# Folders


def test_a_folder_gets_its_name_when_it_is_complete(tmp_path):
    with replacing(tmp_path / "deep" / "out") as partial:
        (partial / "a.txt").write_text("new")
        assert not (tmp_path / "deep" / "out").exists()
    assert tree(tmp_path) == {"deep/out/a.txt": "new"}


def test_a_new_folder_replaces_all_of_the_old_one(tmp_path):
    fill(tmp_path / "out", "old")
    (tmp_path / "out" / "left-over.txt").write_text("old")
    fill(tmp_path / "out", "new")
    assert tree(tmp_path) == {"out/a.txt": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_old_folder_stays_when_the_block_raises(error, tmp_path):
    fill(tmp_path / "out", "old")
    with pytest.raises(error):
        fill(tmp_path / "out", "half", error)
    assert tree(tmp_path) == {"out/a.txt": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_kill_before_the_rename_left_is_swept_away(tmp_path):
    fill(tmp_path / "out", "old")
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half.txt").write_text("half")
    fill(tmp_path / "out", "new")
    assert tree(tmp_path) == {"out/a.txt": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_kill_between_the_renames_loses_nothing(tmp_path):
    (tmp_path / ".out.former").mkdir()
    (tmp_path / ".out.former" / "a.txt").write_text("old")
    with pytest.raises(ValueError, match="again"), replacing(tmp_path / "out"):
        raise ValueError("again")
    assert tree(tmp_path) == {"out/a.txt": "old"}


def test_a_kill_after_the_renames_leaves_the_new_folder(tmp_path):
    fill(tmp_path / "out", "new")
    (tmp_path / ".out.former").mkdir()
    (tmp_path / ".out.former" / "a.txt").write_text("old")
    fill(tmp_path / "out", "newer")
    assert tree(tmp_path) == {"out/a.txt": "newer"}


def test_a_process_that_is_killed_leaves_the_old_folder_and_the_next_run_mends(tmp_path):
    fill(tmp_path / "out", "old")
    script = (
        "import sys, time, pathlib\nfrom stages.core.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as partial:\n"
        "    (partial / 'half.txt').write_text('half')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert tree(tmp_path / "out") == {"a.txt": "old"}
    fill(tmp_path / "out", "new")
    assert tree(tmp_path) == {"out/a.txt": "new"}


# Files


def test_text_is_written_as_utf8_with_plain_line_ends(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "é\n£\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"\xc3\xa9\n\xc2\xa3\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_file_stays_as_it_was_when_writing_fails(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")
    seen, replace = [], os.replace

    def watched(source, target):
        seen.append((Path(source).read_text(), Path(target).read_text()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_text(tmp_path / "a.txt", "new")
    assert seen == [("new", "old")]
    assert (tmp_path / "a.txt").read_text() == "new"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1, float("-inf")]}])
def test_json_refuses_what_the_standard_does_not_have(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(value)


def test_json_is_indented_and_keeps_letters_and_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": "é", "a": 0.1})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": "é",\n  "a": 0.1\n}\n'
    assert read_json(tmp_path / "a.json") == {"b": "é", "a": 0.1}


def test_a_broken_json_file_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json is not JSON: .* Delete it and run its stage again"):
        read_json(tmp_path / "a.json")


def test_hashes_depend_on_content_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1}) != hash_json({"a": 1, "b": 3})


def test_tensors_are_written_in_one_order_with_small_indexes(tmp_path):
    arrays = {
        "target": np.array([1, 0]),
        "encoded.set_0": np.array([[1, 2]]),
        "encoded.dense": np.eye(2, dtype=np.float32).T,
    }
    write_tensors(tmp_path / "a", arrays)
    write_tensors(tmp_path / "b", dict(reversed(arrays.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read = read_tensors(tmp_path / "a")
    assert {name: array.dtype.str for name, array in read.items()} == {
        "target": "<i8", "encoded.set_0": "<i4", "encoded.dense": "<f4",
    }  # fmt: skip
    assert all((read[name] == array).all() for name, array in arrays.items())


# The store


def test_the_store_keeps_what_a_block_finished_and_forgets_what_it_drops(tmp_path):
    kept = Store(tmp_path / "store")
    assert not kept.has("folds", "k1")
    with kept.put("folds", "k1") as folder:
        (folder / "a.txt").write_text("one")
        assert not kept.has("folds", "k1")
    assert kept.has("folds", "k1")
    assert (kept.path("folds", "k1") / "a.txt").read_text() == "one"
    assert not kept.has("checkpoints", "k1")
    kept.drop("folds", "k1")
    kept.drop("folds", "never")
    assert not kept.has("folds", "k1")


def test_the_store_keeps_nothing_of_a_block_that_failed(tmp_path):
    kept = Store(tmp_path)
    with pytest.raises(ValueError, match="half"), kept.put("folds", "k1") as folder:
        raise ValueError(f"half of {folder}")
    assert not kept.has("folds", "k1")


def test_the_store_stands_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path))
    assert Store().path("a", "b") == tmp_path / "a" / "b"


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """Hashes of code are kept for as long as a process lives: none of these may reach the tests after this one."""
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(store, "STAGES", tmp_path)
    store.code_hash.cache_clear()
    yield tmp_path / "models" / "a.py"
    store.code_hash.cache_clear()


def test_a_key_changes_with_parameters_and_with_code(own_code):
    own_code.write_text("x = 1")
    first = store.key({"lr": 0.1}, ["h1"], code=("models",))
    assert store.key({"lr": 0.1}, ["h1"], code=("models",)) == first
    assert store.key({"lr": 0.2}, ["h1"], code=("models",)) != first
    assert store.key({"lr": 0.1}, ["h2"], code=("models",)) != first
    own_code.write_text("x = 2")
    store.code_hash.cache_clear()
    assert store.key({"lr": 0.1}, ["h1"], code=("models",)) != first
    assert len(first) == 32


# Verdicts and errors


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"passed": False, "reasons": ["too few rows", "one class"]}, "too few rows\n  - one class"),
        ({"passed": "true"}, "the report holds no verdict"),
        ({}, "the report holds no verdict"),
        ({"passed": 1, "reasons": []}, "the report holds no verdict"),
    ],
)
def test_a_stage_refuses_to_go_on_without_a_passed_verdict(content, found, tmp_path):
    write_json(tmp_path / "report.json", content)
    with pytest.raises(RefusedError) as caught:
        cli.require_passed(tmp_path / "report.json")
    assert str(caught.value) == f"{tmp_path / 'report.json'} says not passed:\n  - {found}"


def test_a_passed_verdict_is_handed_on(tmp_path):
    write_json(tmp_path / "report.json", {"passed": True, "rows": 3})
    assert cli.require_passed(tmp_path / "report.json") == {"passed": True, "rows": 3}


@pytest.fixture
def shop(tmp_path):
    """Arguments of a stage whose contract is empty."""
    (tmp_path / "params.yaml").write_text("shop: {train: {}}")
    (tmp_path / "in").mkdir()
    paths = {"params": "params.yaml", "status": "run", "out": "out", "table": "in"}
    return [
        "--pipeline",
        "shop",
        *(part for name, path in paths.items() for part in (f"--{name}", str(tmp_path / path))),
    ]


def test_a_stage_leaves_its_out_and_one_line(shop, tmp_path, capsys):
    with cli.job("train", "table", argv=shop) as job:
        (job.out / "a.txt").write_text("done")
        job.say("3 rows")
        job.say("all well")
    assert tree(tmp_path / "out") == {"a.txt": "done"}
    assert capsys.readouterr().out.startswith("train shop: 3 rows; all well; ")
    record = json.loads((tmp_path / "run" / "shop.train.json").read_text())
    assert (record["stage"], record["pipeline"], record["summary"]) == ("train", "shop", "3 rows; all well")


def test_every_kind_of_error_has_its_own_exit_code_and_leaves_its_kind(shop, tmp_path, capsys):
    codes = {}
    for kind in (IngotError, *IngotError.__subclasses__()):
        with pytest.raises(SystemExit) as caught, cli.job("train", "table", argv=shop):
            raise kind("what to do")
        codes[kind.__name__] = caught.value.code
        record = json.loads((tmp_path / "run" / "shop.train.json").read_text())
        assert record == {"stage": "train", "pipeline": "shop", "error": kind.__name__, "message": "what to do"}
        assert capsys.readouterr().err == f"train shop: {kind.__name__}: what to do\n"
        assert not (tmp_path / "out").exists()
    assert codes == {
        "IngotError": 1, "ContractError": 2, "SourceError": 3, "DataError": 4, "RefusedError": 5, "TrainingError": 6,
        "DiskFull": 7,
    }  # fmt: skip


def test_an_input_that_is_not_there_is_named(shop, tmp_path, capsys):
    (tmp_path / "in").rmdir()
    with pytest.raises(SystemExit) as caught, cli.job("train", "table", argv=shop):
        pass
    assert caught.value.code == 1
    assert "in does not exist. Run the stage that makes it" in capsys.readouterr().err
