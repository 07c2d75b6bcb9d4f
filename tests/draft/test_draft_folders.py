"""Folders of pictures, texts and parts in; the draft that reads them out."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from stages.core.errors import DataError
from stages.draft import Draft, draft


def drafted(path: Path) -> tuple[Draft, dict[str, Any]]:
    made = draft([path], root=path.parent, name=None, wanted=None, taken=[])
    return made, YAML(typ="safe", pure=True).load(made.text)[made.plan.name]


def pictures(folder: Path, *, size: tuple[int, int], mode: str = "RGB", count: int = 40) -> None:
    folder.mkdir(parents=True)
    chance = random.Random(folder.name)
    for number in range(count):
        picture = Image.new(mode, size, chance.randrange(256))
        picture.putpixel((number % size[0], 0), 255)
        picture.save(folder / f"{number}.png")


def test_pictures_in_folders_of_their_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pictures(tmp_path / "pets" / name, size=(200, 100))
    made, section = drafted(tmp_path / "pets")
    assert section["fetch"] == {"from": "pets/**/*.png"}
    assert section["ingest"] == {"format": "files", "column": "image", "path": "^(?P<label>[^/]+)/"}
    assert list(section["columns"]) == ["image", "label"]  # the files' names and sizes say nothing of what is shown
    assert section["columns"]["image"] == {
        "type": "image", "height": 32, "width": 64, "channels": 3, "required": True,
    }  # fmt: skip
    assert section["examples"]["target"]["column"] == "label"
    assert section["train"]["model"] == "convnet"
    assert made.plan.sample.num_rows == 80


def test_folders_that_split_into_train_and_test_are_held_to(tmp_path: Path) -> None:
    for side, count in (("training", 60), ("val", 20)):
        for name in ("cat", "dog"):
            pictures(tmp_path / "pets" / side / name, size=(16, 16), mode="L", count=count)
    _, section = drafted(tmp_path / "pets")
    assert section["columns"]["split"]["values"] == {"train": ["training"], "test": ["val"]}
    assert section["columns"]["split"]["input"] is False
    assert section["columns"]["image"]["channels"] == 1
    assert section["examples"]["split"] == {"by": "official", "column": "split"}


def test_texts_in_folders_of_their_classes(tmp_path: Path) -> None:
    chance = random.Random(2)
    for name, words in (("good", "great lovely thanks quick"), ("bad", "slow broken awful refund")):
        (tmp_path / "notes" / name).mkdir(parents=True)
        for number in range(60):
            text = " ".join(chance.choice(f"{words} the it is über".split()) for _ in range(9))
            (tmp_path / "notes" / name / f"{number}.txt").write_text(f"{text} {number}", encoding="latin-1")
    _, section = drafted(tmp_path / "notes")
    assert section["ingest"] == {"format": "texts", "path": "^(?P<label>[^/]+)/", "encoding": "latin-1"}
    assert section["columns"]["text"] == {"type": "text"}
    assert section["train"]["model"] == "bag"


def test_parts_of_a_table_are_one_table(tmp_path: Path) -> None:
    chance = random.Random(3)
    for year in (2023, 2024):
        (tmp_path / "loans" / f"year={year}").mkdir(parents=True)
        late = [chance.random() < 0.3 for _ in range(150)]
        table = pa.table({"pages": [chance.gauss(9 if each else 5, 2) for each in late], "late": late})
        pq.write_table(table, tmp_path / "loans" / f"year={year}" / "part.parquet")
    made, section = drafted(tmp_path / "loans")
    assert section["fetch"] == {"from": "loans/**/*.parquet"}
    assert made.plan.sample.num_rows == 300
    assert section["examples"]["target"] == {"column": "late", "positive": "true"}
    assert "year" in section["columns"]


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["train/a.png", "test/b.png"], ["cat/a.png", "cat/b.png"]])
def test_pictures_without_classes_are_answered_with_what_to_do(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "pets" / name)
    with pytest.raises(DataError, match=r"one folder a class|all files lie in one folder"):
        drafted(tmp_path / "pets")


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = '{{"size": {}, "paid": {}, "seen": "2024-0{}-11T08:00:00"}}\n'
    path.write_text("".join(line.format(n % 23, "true" if n % 23 > 11 else "false", 1 + n % 9) for n in range(150)))
    _, section = drafted(path)
    assert section["ingest"] == {"format": "jsonl"}
    assert section["columns"]["seen"] == {"type": "timestamp"}
    assert section["columns"]["paid"]["values"] == ["false", "true"]
    assert section["columns"]["size"]["input"] is False  # it tells `paid`
