"""The command: what it makes, what it keeps when it fails, what it says."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fetch_project import SALES, Project

from stages.core.errors import SourceError

Fails = Callable[[Callable[[], None]], str]
WHEEL = "pkg:pypi/salesdata@1.0#salesdata/data/sales.csv"


@pytest.fixture
def local(project: Project) -> Project:
    project.write({"incoming/2024/a.csv": SALES, "incoming/2025/b.csv": b"", "incoming/notes.txt": b"no"})
    project.declare("incoming/**/*.csv")
    return project


def test_raw_is_what_the_lock_says(local: Project) -> None:
    local.refresh()
    local.fetch()
    assert local.raw() == {"2024/a.csv": SALES, "2025/b.csv": b""}


def test_the_lock_is_one_line_a_file_and_holds_no_paths_of_this_machine(local: Project) -> None:
    local.refresh()
    empty, sales = hashlib.sha256(b"").hexdigest(), hashlib.sha256(SALES).hexdigest()
    assert local.lock_path.read_text() == (
        "{\n"
        ' "sources": [\n'
        "  {\n"
        '   "from": "incoming/**/*.csv",\n'
        '   "files": [\n'
        f'    {{"path": "2024/a.csv", "size": 29, "sha256": "{sales}"}},\n'
        f'    {{"path": "2025/b.csv", "size": 0, "sha256": "{empty}"}}\n'
        "   ]\n"
        "  }\n"
        " ]\n"
        "}\n"
    )


def test_a_second_refresh_finds_nothing_new_and_leaves_the_file_alone(
    local: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    local.run_refresh()
    before = local.lock_path.stat().st_mtime_ns
    local.run_refresh()
    assert local.lock_path.stat().st_mtime_ns == before
    assert capsys.readouterr().out.endswith("refresh shop: nothing new\n")


def test_refresh_tells_what_changed(local: Project, capsys: pytest.CaptureFixture[str]) -> None:
    local.refresh()
    local.write({"incoming/2024/a.csv": SALES + b"3,1.00\n", "incoming/2026/c.csv": b"x"})
    (local.root / "incoming/2025/b.csv").unlink()
    changes = local.refresh()
    assert changes.any
    assert [file.path for file in changes.added] == ["2026/c.csv"]
    assert [file.path for file in changes.removed] == ["2025/b.csv"]
    assert [file.path for file in changes.changed] == ["2024/a.csv"]
    local.write({"incoming/2026/c.csv": b"yy"})
    local.run_refresh()
    expected = "refresh shop: changed 1 file (2 bytes)\n  ~ 2026/c.csv (2 bytes)\n"
    assert capsys.readouterr().out == expected
    assert (
        json.loads((local.root / "status" / "shop.refresh.json").read_text())["summary"] == "changed 1 file (2 bytes)"
    )


def test_a_failed_refresh_leaves_the_lock(local: Project) -> None:
    local.refresh()
    before = local.lock_path.read_bytes()
    local.declare("incoming/**/*.csv", "incoming/none.csv")
    with pytest.raises(SourceError, match=r"no file is at incoming/none\.csv.*Did you mean 'incoming/notes\.txt'\?"):
        local.refresh()
    assert local.lock_path.read_bytes() == before
    assert [path.name for path in local.lock_path.parent.iterdir()] == ["lock.json"]


def test_an_altered_file_is_refused_and_what_was_there_stays(local: Project, fails: Fails) -> None:
    local.refresh()
    local.fetch()
    local.write({"incoming/2024/a.csv": SALES.replace(b"4", b"5")})
    said = fails(local.fetch)
    assert "SourceError: 2024/a.csv has the SHA-256 " in said
    assert said.endswith("lock it: run `python -m stages.fetch --refresh shop`\n")
    assert local.raw() == {"2024/a.csv": SALES, "2025/b.csv": b""}
    assert [path.name for path in local.out.parent.iterdir()] == ["shop"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SALES[:-1], "2024/a.csv has 28 bytes; the lock says 29"),
        (SALES + b"x", "2024/a.csv is longer than the 29 bytes"),
    ],
)
def test_a_file_of_another_size_is_refused(local: Project, fails: Fails, content: bytes, message: str) -> None:
    local.refresh()
    local.write({"incoming/2024/a.csv": content})
    assert message in fails(local.fetch)
    assert not local.out.exists()


def test_files_of_no_lock_are_left_out(local: Project) -> None:
    local.refresh()
    local.write({"incoming/2026/later.csv": b"x"})
    local.fetch()
    assert sorted(local.raw()) == ["2024/a.csv", "2025/b.csv"]


def test_a_locked_file_that_is_gone_is_named(local: Project, fails: Fails) -> None:
    local.refresh()
    (local.root / "incoming/2025/b.csv").unlink()
    assert "incoming/2025/b.csv is in the lock but not on disk" in fails(local.fetch)


def test_without_a_lock_the_message_says_how_to_write_one(local: Project, fails: Fails) -> None:
    said = fails(local.fetch)
    assert said.startswith("fetch shop: SourceError: ")
    assert "lock.json does not exist" in said
    assert "Run `python -m stages.fetch --refresh shop` to write it" in said
    record = json.loads((local.root / "status" / "shop.fetch.json").read_text())
    assert record["error"] == "SourceError"


def test_contract_and_lock_must_name_the_same_sources(local: Project, fails: Fails) -> None:
    local.refresh()
    local.declare("incoming/2024/a.csv")
    said = fails(local.fetch)
    assert "fetch.from in params.yaml and the sources in the lock differ:" in said
    assert "\n  + incoming/2024/a.csv\n  - incoming/**/*.csv\n" in said
    assert "python -m stages.fetch --refresh shop" in said


def test_the_order_of_sources_does_not_matter(local: Project) -> None:
    local.declare("incoming/2024/a.csv", "incoming/2025/b.csv")
    local.refresh()
    local.declare("incoming/2025/b.csv", "incoming/2024/a.csv")
    assert not local.refresh().any
    local.fetch()
    assert sorted(local.raw()) == ["a.csv", "b.csv"]


def test_two_sources_may_not_give_one_name(local: Project) -> None:
    local.write({"incoming/2025/a.csv": b"other"})
    local.declare("incoming/2024/a.csv", "incoming/2025/a.csv")
    with pytest.raises(SourceError, match=r"incoming/2024/a\.csv and incoming/2025/a\.csv both give a\.csv"):
        local.refresh()


def test_a_file_may_not_stand_where_another_source_needs_a_folder(local: Project) -> None:
    local.write({"one/data": b"file", "two/data/x.csv": b"file"})
    local.declare("one/*", "two/**/*.csv")
    with pytest.raises(SourceError, match=r"one/\* gives the file data, where two/\*\*/\*\.csv needs a folder"):
        local.refresh()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"2024/a.csv"', '"../../a.csv"', "a relative path without '..'"),
        ('"2024/a.csv"', '"/tmp/a.csv"', "a relative path without '..'"),
        ('"size": 29', '"size": "29"', "sources.0.files.0.size: Input should be a valid integer"),
        ('"size": 29', '"bytes": 29', "sources.0.files.0.size: Field required"),
        (' "sources"', "<<<<<<< ours", "Invalid JSON"),
        ('"2025/b.csv"', '"2024/a.csv"', "both give 2024/a.csv"),
        ('"incoming/**/*.csv"', '"pkg:pypi/x#y"', "a package for each package URL"),
    ],
)
def test_a_tampered_lock_is_refused_and_refresh_mends_it(
    local: Project, fails: Fails, old: str, new: str, message: str
) -> None:
    local.refresh()
    good = local.lock_path.read_text()
    local.lock_path.write_text(good.replace(old, new))
    assert message in fails(local.fetch)
    assert not local.out.exists()
    local.refresh()
    assert local.lock_path.read_text() == good


def test_a_tampered_lock_of_a_package_is_refused(project: Project, fails: Fails) -> None:
    project.wheel({"salesdata/data/sales.csv": SALES})
    project.declare(WHEEL)
    project.refresh()
    lock = project.lock_path.read_text()
    project.lock_path.write_text(lock.replace('"file": "', '"file": "../../'))
    assert "sources.0.package.file: a relative path without '..'" in fails(project.fetch)
    project.lock_path.write_text(lock.replace('"path": "', '"path": "old-'))
    said = fails(project.fetch)
    assert "lists 1 file that salesdata-1.0-py3-none-any.whl does not hold: salesdata/data/old-sales.csv" in said


def test_a_folder_is_not_a_file(local: Project) -> None:
    local.declare("incoming")
    with pytest.raises(SourceError, match=r"incoming is a folder\. Write incoming/\*\* for all its files"):
        local.refresh()


def test_a_pattern_may_not_reach_into_what_the_stage_writes(local: Project) -> None:
    local.refresh()
    local.fetch()
    local.declare("**/*.csv")
    with pytest.raises(SourceError, match="reaches into data/raw/"):
        local.refresh()


def test_local_links_are_the_users_own(local: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_bytes(b"far")
    (tmp_path / "incoming" / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    local.declare("incoming/link.csv")
    local.refresh()
    local.fetch()
    assert local.raw() == {"link.csv": b"far"}
    assert not (local.out / "link.csv").is_symlink()


def test_an_unwritable_place_is_an_error_of_the_same_family(local: Project, fails: Fails) -> None:
    local.refresh()
    (local.root / "status").mkdir()
    (local.root / "cache").write_text("a file where the cache folder should be")
    local.wheel({"salesdata/data/sales.csv": SALES})
    local.declare(WHEEL)
    assert "set XDG_CACHE_HOME to another folder" in fails(local.run_refresh)
