"""Files come, change and go: what is built with the store equals, byte for byte, what is built without."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import clean, ingest
from stages.core.files import sha256

PARAMS = """
pipelines: {shop: {}}
shop:
  ingest: {format: csv}
  columns:
    id: {type: id, required: true}
    amount: {type: number, min: %s}
    colour: {type: category}
    note: {type: text}
  clean:
    {duplicates: merge, key: {columns: id, keep: %s}, contradictions: reject, corrections: mended.csv,
     near: [{column: note, then: merge}], outliers: {amount: {iqr: 0.5, then: reject}}}
  examples: {target: {column: colour}}
"""
NOTE = "the room was clean and the staff was friendly"
LINES = [
    *("a,1,red,", "a,1.0,red,", "b,2,blue,", "b,2,red,", "c,-1,blue,", "d,x,red,", ",3,blue,", "ragged", "e,9,,"),
    *(f"f,2,red,{NOTE}", f"g,3,red,{NOTE}!", "h,4000,red,"),
]
HEADER = "id,amount,colour,note\n"
MENDED = "_file,_record,id,amount\none.csv,2,mended,4\nsub/two.csv,1,mended too,5\nthree.csv,3,new,six\n"
content = st.lists(st.sampled_from(LINES), min_size=1, max_size=6).map(lambda lines: HEADER + "\n".join(lines))
change = st.tuples(st.sampled_from(["one.csv", "sub/two.csv", "three.csv", "four.csv"]), st.one_of(st.none(), content))


class Project:
    """A folder with raw files, and its two first stages run in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, monkeypatch
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "sources").mkdir(parents=True)
        (folder / "sources" / "mended.csv").write_text(MENDED)
        self.declare(0, "first")

    def declare(self, least: int, keep: str) -> None:
        (self.folder / "params.yaml").write_text(PARAMS % (least, keep))

    def write(self, files: Mapping[str, str]) -> None:
        shutil.rmtree(self.folder / "raw", ignore_errors=True)
        for name, text in files.items():
            path = self.folder / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def build(self, store: str) -> dict[str, str]:
        """The hash of every file that the stages wrote."""
        here = self.folder
        self.patch.setenv("INGOT_STORE", str(here / store))
        common = ["--pipeline", "shop", "--params", str(here / "params.yaml"), "--status", str(here / "run")]
        common += ["--sources", str(here / "sources")]
        ingest.main([*common, "--raw", str(here / "raw"), "--out", str(here / "records")])
        clean.main([*common, "--records", str(here / "records"), "--out", str(here / "clean")])
        made = [
            path for folder in ("records", "clean") for path in sorted((here / folder).rglob("*")) if path.is_file()
        ]
        return {path.relative_to(here).as_posix(): sha256(path) for path in made}


@pytest.fixture(scope="module")
def module_patch() -> Any:
    """Every file is a part of its own, however small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.ingest._parts.SMALL_BYTES", 0)
        yield patch


@settings(max_examples=15, deadline=None)
@given(
    first=st.dictionaries(st.sampled_from(["one.csv", "three.csv"]), content, min_size=1),
    changes=st.lists(change, min_size=1, max_size=4),
    rules=st.tuples(st.sampled_from([0, 2]), st.sampled_from(["first", "last"])),
)
def test_any_sequence_of_changes_gives_what_a_full_build_gives(tmp_path_factory, module_patch, first, changes, rules):
    project = Project(tmp_path_factory.getbasetemp() / "incremental", module_patch)
    files = {"sound.csv": HEADER + "z,5,red,\ny,6,blue,\n", **first}
    project.write(files)
    project.build("store")
    for place, (name, text) in enumerate(changes):
        files = {key: value for key, value in files.items() if key != name} | ({name: text} if text else {})
        project.write(files)
        if place == len(changes) - 1:
            project.declare(*rules)
        grown = project.build("store")
        shutil.rmtree(project.folder / "fresh", ignore_errors=True)
        assert grown == project.build("fresh")


def test_one_new_file_is_the_only_one_that_is_read_and_a_removed_one_takes_its_rows_along(tmp_path, monkeypatch):
    project = Project(tmp_path / "p", monkeypatch)
    big = [f"{name}{i},{i},red," for name in "ab" for i in range(10_000)]
    text = HEADER
    files = {"a.csv": text + "\n".join(big[:10_000]), "b.csv": text + "\n".join(big[10_000:])}
    project.write(files)
    project.build("store")
    read: list[str] = []
    original = ingest.read_part
    monkeypatch.setattr(ingest, "read_part", lambda batches, *rest: (read.append("part"), original(batches, *rest)))
    project.write({**files, "c.csv": text + "\n".join(line.replace("a", "c") for line in big[:10_000])})
    with_c = project.build("store")
    assert read == ["part"]
    assert len([name for name in with_c if name.startswith("clean/table/")]) == 3
    project.write({"b.csv": files["b.csv"]})
    without = project.build("store")
    assert read == ["part"]
    assert [name for name in without if name.startswith("clean/table/")] == ["clean/table/00000-b.csv.0000.parquet"]
    project.declare(2, "first")  # a changed rule redoes the cleaning, not the reading
    changed = project.build("store")
    assert read == ["part"]
    assert changed["clean/table/00000-b.csv.0000.parquet"] != without["clean/table/00000-b.csv.0000.parquet"]


def test_deleting_the_store_changes_nothing_and_old_entries_leave_it(tmp_path, monkeypatch):
    project = Project(tmp_path / "p", monkeypatch)
    kept = tmp_path / "p" / "store" / "records" / "shop"
    for i in range(6):
        project.write({"a.csv": f"{HEADER}a,{i},red,\nb,2,blue,\n"})
        made = project.build("store")
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 3
    shutil.rmtree(tmp_path / "p" / "store")
    assert project.build("store") == made
