"""Ugly files in; what the draft takes each column for, and what it says about it, out."""

import gzip
import random
from collections.abc import Callable
from typing import Any

import pytest

from stages.contract import Contract
from stages.contract.checks import check
from stages.core.errors import DataError, SourceError
from stages.draft import Draft

Drafted = Callable[..., tuple[Draft, dict[str, Any]]]


def rows(header: str, line: Callable[[int, random.Random], str], count: int = 240) -> str:
    chance = random.Random(4)
    return "\n".join([header, *(line(number, chance) for number in range(count))]) + "\n"


def german(number: int, chance: random.Random) -> str:
    leaves = chance.random() < 0.4
    income = "k.A." if number % 20 == 0 else f"{chance.randrange(1, 9)}.{chance.randrange(100, 999)},{number % 100:02d}"
    return ";".join(
        [
            f"K-{10_000 + number * 7}",
            f"{1 + number % 28:02d}.{1 + number % 12:02d}.2023",
            income,
            f"{chance.gauss(2 if leaves else 4, 1):.2f} kg".replace(".", ","),
            chance.choice(["Köln", "München", "Nürnberg"]),
            f"{chance.randrange(1000, 1200):05d}",
            "ja" if leaves else "nein",
        ]
    )


def test_a_german_export_has_decimal_commas_units_codes_and_its_own_words(drafted: Drafted) -> None:
    text = rows("Kundennummer;Datum;Einkommen;Gewicht;Stadt;PLZ;gekündigt", german)
    made, section = drafted(text.encode("latin-1"))
    assert section["ingest"] == {"format": "csv", "encoding": "latin-1", "delimiter": ";"}
    columns = section["columns"]
    assert columns["Kundennummer"] == {"type": "id"}
    assert columns["Datum"] == {"type": "timestamp", "format": "%d.%m.%Y"}
    assert columns["Einkommen"] | {"missing": []} == {"type": "number", "decimal": ",", "thousands": ".", "missing": []}
    assert columns["Einkommen"]["missing"][-1] == "k.A."
    assert columns["Gewicht"] == {"type": "number", "decimal": ",", "units": {"kg": 1}}
    assert set(columns["Stadt"]["values"]) == {"Köln", "München", "Nürnberg"}
    assert columns["PLZ"]["type"] == "category"  # 01005 is no number
    assert section["examples"]["target"] == {"column": "gekündigt", "positive": "ja"}
    assert columns["gekündigt"]["required"] is True
    assert section["clean"] == {}
    assert "begins with 0" in made.text
    assert check(Contract(made.plan.name, section)) == []


def test_a_chinese_tab_separated_file_is_read_as_gb18030_and_its_texts_as_texts(drafted: Drafted) -> None:
    good = ["房间很干净，服务也很好，下次还会来住", "早餐丰富，位置方便，非常满意", "前台热情，房间安静，推荐大家"]
    bad = ["房间太吵了，根本没法睡觉，不会再来", "服务态度很差，卫生也不好，失望", "设施陈旧，空调坏了，很不满意"]

    def line(number: int, chance: random.Random) -> str:
        mood = chance.random() < 0.5
        words = "，".join(chance.sample(good if mood else bad, 2))
        return (
            f"{words}第{number}次\t{'无' if number % 10 == 0 else chance.randrange(1, 9)}\t{'好评' if mood else '差评'}"
        )

    made, section = drafted(rows("评论\t天数\t标签", line).encode("gb18030"), "酒店评论.tsv")
    assert made.plan.name == "data"  # no letter of the file's name is Latin
    assert section["ingest"] == {"format": "csv", "encoding": "gb18030", "delimiter": "\t"}
    assert section["columns"]["评论"] == {"type": "text"}
    assert section["columns"]["天数"]["type"] == "number"
    assert section["columns"]["天数"]["missing"][-1] == "无"
    assert section["columns"]["标签"]["type"] == "category"
    assert set(section["columns"]["标签"]["values"]) == {"好评", "差评"}
    assert section["train"]["model"] == "bag"


@pytest.mark.parametrize(
    ("dates", "wanted", "said"),
    [
        (["01/31/2024", "02/03/2024"], "%m/%d/%Y", '"01/31/2024" is no day/month/year'),
        (["31/01/2024 17:05", "02/03/2024 08:00"], "%d/%m/%Y %H:%M", "is no month/day/year"),
        (["04/03/2024", "03/04/2024", "01/02/2024"], "%m/%d/%Y", "(!) a guess"),
        (["2024-01-31", "2024-02-01"], None, ""),
        (["20240131", "20240201", "20230105", "20221231", "20200229"], "%Y%m%d", ""),
        (["5 Jan 2024", "17 Feb 2024"], "%d %b %Y", ""),
        (["01/31/24 5:07 PM", "02/03/24 11:09 AM"], "%m/%d/%y %I:%M %p", ""),
        (["2024年1月31日", "2024年12月2日"], "%Y年%m月%d日", ""),
    ],
)
def test_the_order_of_day_and_month_is_decided_by_evidence(
    drafted: Drafted, dates: list[str], wanted: str | None, said: str
) -> None:
    def line(number: int, chance: random.Random) -> str:
        seen = chance.random() < 0.5
        return f"{chance.choice(dates)},{chance.gauss(seen, 1):.3f},{'won' if seen else 'lost'}"

    made, section = drafted(rows("day,size,result", line).encode())
    assert section["columns"]["day"] == {"type": "timestamp", **({"format": wanted} if wanted else {})}
    assert said in next(line for line in made.text.splitlines() if line.startswith("    day:"))


def test_dates_that_fit_both_ways_are_read_so_that_the_file_is_in_order(drafted: Drafted) -> None:
    days = [f"{day:02d}/{month:02d}/2024" for month in range(1, 13) for day in range(1, 13)]  # day/month, rising

    def line(number: int, chance: random.Random) -> str:
        seen = chance.random() < 0.5
        return f"{days[number]},{chance.gauss(seen, 1):.3f},{'won' if seen else 'lost'}"

    made, section = drafted(rows("day,size,result", line, count=144).encode())
    assert section["columns"]["day"]["format"] == "%d/%m/%Y"
    assert "in order of time" in made.text


def trap(number: int, chance: random.Random) -> str:
    sick = chance.random() < 0.3
    return ",".join(
        [
            str(number),
            str(number % 80),
            f"p{number % 80}@example.org",
            f"Anna {chr(65 + number % 26)}{chr(97 + number // 26)}",
            "-999" if number % 30 == 0 else str(chance.randrange(18, 90)),
            "?" if number % 25 == 0 else f"{chance.gauss(3 if sick else 1, 1):.2f}",
            f"{chance.random():.3f}",
            "",
            "clinic",
            ["Yes", "yes", "NO"][number % 3],
            f"{1_600_000_000 + number * 3_600}",
            "discharged late" if sick else "discharged",
            "12 pcs" if number in (5, 50, 100, 150, 200) else str(chance.randrange(5)),
            "unknown" if number % 40 == 0 else chance.choice(["red", "green"]),
            "1" if sick else "0",
        ]
    )


TRAPS = "no,patient_id,contact,name,age,marker,risk_share,notes,site,smoker: now?,created_at,"
TRAPS += "outcome text,visits,colour,sick"


@pytest.fixture
def trapped(drafted: Drafted) -> tuple[Draft, dict[str, Any]]:
    return drafted(b"\xef\xbb\xbf" + rows(TRAPS, trap, 480).encode(), "traps.csv", "sick")


def test_every_trap_is_seen(trapped: tuple[Draft, dict[str, Any]]) -> None:
    made, section = trapped
    columns = section["columns"]
    assert columns["no"] == {"type": "id"}  # behind a byte-order mark
    assert columns["patient_id"] == {"type": "id", "required": True}
    assert columns["contact"] == {"type": "id", "personal": True}  # an id is no input anyway
    assert columns["name"]["personal"] is True
    assert columns["age"]["min"] == 0
    assert columns["age"]["missing"][-1] == "-999"
    assert columns["marker"]["missing"][-1] == "?"
    assert columns["risk_share"] == {"type": "number", "min": 0, "max": 1}
    assert "notes" not in columns
    assert "site" not in columns
    assert columns["smoker: now?"] == {"type": "boolean"}
    assert columns["created_at"] == {"type": "timestamp", "epoch": "s"}
    assert columns["outcome text"]["input"] is False  # tells `sick`
    assert columns["visits"] == {"type": "number", "min": 0}
    assert columns["colour"]["missing"][-1] == "unknown"
    assert columns["sick"] == {"type": "category", "required": True, "values": ["0", "1"]}
    assert section["clean"]["max_rejected"] == {"default": 0.01, "visits.number": 0.016}
    assert section["examples"]["target"] == {"column": "sick", "positive": "1"}
    assert section["examples"]["split"] == {"by": "group", "key": "patient_id", "validation": 0.2, "test": 0.2}
    assert check(Contract(made.plan.name, section)) == []


def test_what_is_left_out_rejected_or_kept_from_the_model_is_said(trapped: tuple[Draft, dict[str, Any]]) -> None:
    text = trapped[0].text
    assert "# notes: {type: text} # left out: never has a value" in text
    assert '# site: {type: category} # left out: always "clinic"' in text
    assert 'visits.number: 0.016 # measured 1.04%, such as "12 pcs"' in text
    assert "(!) tells sick by itself (1.000)" in text
    assert '"-999" (16)' in text
    assert "6.0 rows each" in text


def test_nobodys_personal_data_stands_in_a_draft(trapped: tuple[Draft, dict[str, Any]]) -> None:
    from stages.draft.report import summary

    shown = trapped[0].text + summary(trapped[0].plan, [], colour=False)
    assert "@example.org" not in shown
    assert "Anna" not in shown


def test_a_number_to_predict_is_predicted_as_a_number(drafted: Drafted) -> None:
    def line(number: int, chance: random.Random) -> str:
        area = chance.uniform(30, 200)
        return f'{area:.1f},{chance.choice(["old", "new"])},"{area * 3_000 + chance.gauss(0, 90_000):,.0f} €"'

    made, section = drafted(rows("area,age,price", line).encode(), target="price")
    assert section["columns"]["price"] == {"type": "number", "thousands": ",", "units": {"€": 1}}
    assert section["examples"]["target"] == {"column": "price", "type": "number"}
    assert "derive" not in section["examples"]
    assert made.plan.problems == []


def test_of_a_number_with_values_far_out_the_median_is_predicted(drafted: Drafted) -> None:
    def line(number: int, chance: random.Random) -> str:
        return f"{chance.gauss(0, 1):.3f},{chance.choice('ab')},{chance.lognormvariate(3, 1.5):.1f}"

    _, section = drafted(rows("x,kind,delay", line).encode(), target="delay")
    assert section["examples"]["target"] == {"column": "delay", "type": "number", "loss": "absolute"}


def test_a_column_that_tells_a_number_is_kept_from_the_model(drafted: Drafted) -> None:
    def line(number: int, chance: random.Random) -> str:
        price = chance.uniform(1, 900)
        return f"{price:.2f},{price * 1.19:.2f},{chance.choice('ab')}"

    made, section = drafted(rows("net,gross,kind", line).encode(), target="net")
    assert section["columns"]["gross"]["input"] is False
    assert "(!) tells net by itself" in made.text


def test_rare_classes_are_rejected_openly(drafted: Drafted) -> None:
    def line(number: int, chance: random.Random) -> str:
        kind = "c" if number % 60 == 0 else chance.choice("ab")
        return f"{chance.gauss(kind == 'a', 1):.3f},{kind}"

    made, section = drafted(rows("x,class", line).encode())
    assert section["columns"]["class"]["values"] == ["a", "b"] or section["columns"]["class"]["values"] == ["b", "a"]
    assert section["clean"]["max_rejected"]["class.values"] == pytest.approx(0.025)
    assert "classes of fewer than 10 rows are rejected: c" in made.text


@pytest.mark.parametrize(
    ("content", "error", "fix"),
    [
        (b"", DataError, "is empty"),
        (b"BZh91AY", SourceError, "bunzip2 -k"),
        (b"\x1f\x8b\x08\x00", SourceError, "cannot be unpacked"),
        (b"PK\x03\x04", SourceError, "unzip"),
        (b"a,b\x00,c\n1,2,3\n", DataError, "zero bytes"),
        (b"a,b\n" + b"1,1\n" * 50, DataError, "no column looks like something to predict"),
    ],
)
def test_what_cannot_be_drafted_says_how_to_mend_it(
    drafted: Drafted, content: bytes, error: type[Exception], fix: str
) -> None:
    with pytest.raises(error, match=r"(?s).*") as caught:
        drafted(content)
    assert fix in str(caught.value)


def test_an_unknown_target_is_answered_with_the_right_spelling(drafted: Drafted) -> None:
    with pytest.raises(DataError, match="Did you mean 'result'"):
        drafted(b"size,result\n1,a\n2,b\n", target="resullt")


BODY = "".join(f"{n % 17},{n % 5},{'yes' if n % 17 > 8 else 'no'}\n" for n in range(120))


@pytest.mark.parametrize(
    ("head", "ingest", "names"),
    [
        ("", {"header": False, "names": ["column_1", "column_2", "column_3"]}, ["column_1", "column_2", "column_3"]),
        ("a,b,a\n", {"header": False, "skip_rows": 1, "names": ["a", "b", "a_2"]}, ["a", "b", "a_2"]),
        ("\n\na,b,c\n", {"skip_rows": 2}, ["a", "b", "c"]),
        ("2019,2020,won\n", {}, ["2019", "2020", "won"]),  # years are names
    ],
)
def test_a_header_that_is_absent_doubled_or_late_is_declared(
    drafted: Drafted, head: str, ingest: dict[str, Any], names: list[str]
) -> None:
    _, section = drafted((head + BODY).encode())
    assert section["ingest"] == {"format": "csv", **ingest}
    assert list(section["columns"]) == names


def test_a_packed_table_is_read_as_it_is(drafted: Drafted) -> None:
    _, section = drafted(gzip.compress(("a,b,c\n" + BODY).encode()), "raw.csv.gz")
    assert section["ingest"] == {"format": "csv"}
    assert section["fetch"] == {"from": "raw.csv.gz"}
