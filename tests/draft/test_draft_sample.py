"""Large and foreign files: bounded samples, encodings, dialects, and the marks of numbers."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.draft import sample
from stages.draft.folder import look_into
from stages.draft.guess import guess
from stages.draft.profile import profile
from stages.draft.quantities import written
from stages.draft.sniff import dialect_of, sniff


def test_a_large_file_is_sampled_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.csv"
    path.write_text("place,word\n" + "".join(f"{n},word {n % 7}\n" for n in range(50_000)))
    monkeypatch.setattr(sample, "WHOLE_BYTES", 100_000)
    monkeypatch.setattr(sample, "PIECE_BYTES", 8_000)
    found = sample.read([look_into(path)], sniff(look_into(path)))
    places = np.array(found.records.column("place").to_pylist(), int)
    assert not found.exact
    assert len(places) < 12_000
    assert places.min() == 0
    assert places.max() == 49_999
    assert abs(np.median(places) - 25_000) < 4_000
    assert found.num_rows == pytest.approx(50_000, rel=0.05)
    assert found.malformed == 0  # pieces are cut at line ends


def test_many_rows_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.csv"
    path.write_text("place,word\n" + "".join(f"{n},x\n" for n in range(20_000)))
    monkeypatch.setattr(sample, "MAX_ROWS", 500)
    found = sample.read([look_into(path)], sniff(look_into(path)))
    places = np.array(found.records.column("place").to_pylist(), int)
    assert found.exact
    assert found.num_rows == 20_000
    assert len(places) <= 500
    assert places[0] < 200
    assert places[-1] > 19_800


def test_ragged_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n" + "1,2\n" * 95 + "1,2,3\n" * 5)
    found = sample.read([look_into(path)], sniff(look_into(path)))
    assert found.malformed == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "encoding", "wanted"),
    [
        ("name,ort\nJürgen,Köln\n", "latin-1", "latin-1"),
        ("prix,nom\n5 €,Zoé – «Noël»\n", "cp1252", "cp1252"),
        ("имя,город\nИван Петров,Москва\nАнна Смирнова,Санкт-Петербург\n", "cp1251", "cp1251"),
        ("评论,标签\n房间很干净服务也很好,好评\n", "gb18030", "gb18030"),
        ("名前,感想\n田中さん,とても良かったです。\n", "shift_jis", "shift_jis"),
        ("이름,후기\n김철수,정말 좋았습니다\n", "euc_kr", "euc_kr"),
        ("naïve,x\ncafé,1\n", "utf-8", "utf-8"),
    ],
)
def test_encodings_are_told_apart(tmp_path: Path, text: str, encoding: str, wanted: str) -> None:
    path = tmp_path / "text.csv"
    path.write_bytes(text.encode(encoding) * 1)
    assert sniff(look_into(path)).options.get("encoding", "utf-8") == wanted


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["a;b;c", "1,5;2;3", "2,5;3;4"], (";", '"')),
        (["a\tb", "1,2\t3", "4,5\t6"], ("\t", '"')),
        (["a|b", "1|2"], ("|", '"')),
        (["a,b", '"1;2;3",4', '"5;6;7",8'], (",", '"')),
        (["a,b", "'x, y',2", "'z, w',3"], (",", "'")),
        (["a", "1", "2"], (",", '"')),
    ],
)
def test_dialects_are_told_apart(lines: list[str], wanted: tuple[str, str]) -> None:
    assert dialect_of([*lines, ""]) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["1,5", "2,25"], {"decimal": ","}),
        (["1.234,50", "12,00"], {"decimal": ",", "thousands": "."}),
        (["1,234.50", "12.00"], {"thousands": ","}),
        (["1,234,567", "8,000"], {"thousands": ","}),
        (["$1,200", "$15"], {"thousands": ",", "units": {"$": 1}}),
        (["12 kg", "7.5 kg"], {"units": {"kg": 1}}),
        (["12%", "7.5%"], {"units": {"%": 1}}),
        (["1 234,5", "17,0"], {"decimal": ",", "thousands": " "}),
        (["EUR 5", "EUR 7"], {"units": {"EUR": 1}}),
    ],
)
def test_numbers_are_read_as_people_write_them(words: list[str], wanted: dict[str, object]) -> None:
    found = written(words, np.ones(len(words), int))
    assert found is not None
    assert found.options() == wanted


@pytest.mark.parametrize("words", [["K-100", "K-200"], ["a1", "b2"], ["hello", "world"], ["1-2", "3-4"]])
def test_codes_are_no_quantities(words: list[str]) -> None:
    assert written(words, np.ones(len(words), int)) is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([1.5, 2.5, None, 4.0]), {"type": "number"}),
        (pa.array([True, False, None]), {"type": "boolean"}),
        (pa.array([0, 86_400], pa.timestamp("s")), {"type": "timestamp"}),
        (pa.array(["x", "y", "x"]).dictionary_encode(), {"type": "category"}),
    ],
)
def test_typed_columns_keep_their_types(values: pa.Array, wanted: dict[str, str]) -> None:
    assert guess(profile("thing", values)).declaration == wanted


def test_codes_for_missing_are_told_from_values() -> None:
    ages = [str(20 + n % 60) for n in range(200)]
    assert profile("age", pa.array([*ages, "-999", "-999"])).missing == {"-999": 2}
    assert profile("age", pa.array([*ages, "999", "999"])).missing == {"999": 2}
    assert profile("age", pa.array([*ages, "-999"])).missing == {}  # once is an outlier, not a code
    assert profile("change", pa.array([str(n - 1_500) for n in range(3_000)] * 2)).missing == {}


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (pa.array([[1, 2], [3]] * 30), False),
        (pa.array([{"a": 1}, {"a": 2}] * 30), False),
        (pa.array([date(2024, 1, day) for day in range(1, 31)]), True),
        (pa.array(range(60), pa.uint8()), True),
        (pa.array(["x", "y"] * 30, pa.large_string()), True),
        (pa.array([1.5, 2.5] * 30, pa.float16()), True),
    ],
)
def test_a_type_that_no_column_reads_is_left_out_and_said(values: pa.Array, read: bool) -> None:
    found = guess(profile("thing", values))
    assert (found.left_out == "") is read
    assert read or "which columns do not read" in found.left_out
