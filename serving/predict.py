"""What the user has in, decisions out: rows, records as of a date, mails or pictures.

    python predict.py FILE …                       rows (.csv, .json, .jsonl), mails, pictures
    python predict.py --records FILE --as-of DATE  raw records: derive.sql makes the rows

Needs onnxruntime and numpy; Pillow for picture files, duckdb where a derive.sql travels along.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING or __package__:  # in a bundle the files stand side by side, and are no package
    from serving.prepare import parse_row, prepare
else:
    from prepare import parse_row, prepare

HERE = Path(__file__).resolve().parent
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
BATCH_ROWS = 64
SHOWN = 20
Row = dict[str, Any]


class InputError(ValueError):
    """The input cannot be used; the text says why and how to mend it."""


def load(folder: Path = HERE) -> tuple[dict[str, Any], Any]:
    """A bundle's contract and its onnxruntime session."""
    import onnxruntime

    contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the same sums in the same order everywhere
    model = str(folder / "model.onnx")
    return contract, onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predict(contract: Mapping[str, Any], session: Any, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One answer a row: its ids, decision, probabilities and expected value; or its problems."""
    arrays, problems = prepare(contract["inputs"], rows)
    sound = [i for i, found in enumerate(problems) if not found]
    outputs = run(session, arrays, len(sound))
    places = {i: place for place, i in enumerate(sound)}
    answers = []
    for i, row in enumerate(rows):
        answer: Row = {name: row[name] for name in ("_source", *contract["ids"]) if name in row}
        if i in places:
            answer |= answer_of(contract, outputs, places[i])
        else:
            answer["problems"] = problems[i]
        answers.append(answer)
    return answers


def run(session: Any, arrays: Mapping[str, np.ndarray], num_rows: int) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    parts = [
        session.run(names, {name: values[start : start + BATCH_ROWS] for name, values in arrays.items()})
        for start in range(0, max(num_rows, 1), BATCH_ROWS)
    ]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def answer_of(contract: Mapping[str, Any], outputs: Mapping[str, np.ndarray], place: int) -> Row:
    answer: Row = {}
    for output in contract["outputs"]:
        value = outputs[output["name"]][place]
        if "classes" in output:
            chances = dict(zip(output["classes"], (round(float(p), 6) for p in value), strict=True))
            answer[output["name"]] = chances
        else:
            answer[output["name"]] = round(float(value), 6) if output["type"].startswith("float") else str(value)
    return answer


def read_rows(contract: Mapping[str, Any], path: Path) -> list[Row]:
    """The rows of one file, by its kind; `_source` says where a row came from."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return read_csv(contract, path)
    if suffix in (".json", ".jsonl"):
        return read_json(path)
    if suffix in PICTURES:
        images = [column["name"] for column in contract["inputs"] if column["type"] == "image"]
        if len(images) != 1 or len(contract["inputs"]) != 1:
            raise InputError(
                f"{path} is a picture, and this model wants {describe_inputs(contract)}; give rows as CSV or JSON"
            )
        return [{"_source": str(path), images[0]: path.read_bytes()}]
    if contract["reader"]["format"] == "mail":
        if TYPE_CHECKING or __package__:
            from serving.mail import read_mail
        else:
            from mail import read_mail
        return [{"_source": str(path), **read_mail(path.read_bytes())}]
    raise InputError(
        f"{path}: {suffix or 'a name without ending'} is not understood; give .csv, .json, .jsonl or a picture"
    )


def read_csv(contract: Mapping[str, Any], path: Path) -> list[Row]:
    """Rows as text. Raises InputError when the file is not text of the declared encoding."""
    reader = contract["reader"]
    encoding = reader.get("encoding", "utf-8")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else reader.get("delimiter", ",")
    try:
        with path.open(encoding="utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, newline="") as file:
            rows = csv.DictReader(file, delimiter=delimiter)
            return [
                {
                    "_source": f"{path.name} row {number}",
                    **{name: value for name, value in row.items() if name is not None},
                }
                for number, row in enumerate(rows, 1)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as {encoding} CSV: {error}") from None


def read_json(path: Path) -> list[Row]:
    text = path.read_text(encoding="utf-8")
    try:
        rows = (
            [json.loads(line) for line in text.splitlines() if line.strip()]
            if path.suffix == ".jsonl"
            else json.loads(text)
        )
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    rows = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected an object, or a list of objects, with the fields of one row each")
    return rows


def derive(contract: Mapping[str, Any], path: Path, as_of: datetime, folder: Path) -> tuple[list[Row], Counter[str]]:
    """Clean raw records as training did, and make one row per decision with derive.sql.

    Returns the rows, and how many records were left out by which problem.
    """
    import duckdb

    columns = contract["records"]
    raw = read_rows(contract, path)
    if raw and (absent := [column["name"] for column in columns if column["name"] not in raw[0]]):
        raise InputError(f"{path} has no column {', '.join(absent)}; found {', '.join(raw[0])}")
    values, left_out = clean(columns, raw)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("raw_records", values)
        typed = ", ".join(
            TYPED.get(column["type"], "{0}::VARCHAR AS {0}").format(quote(column["name"])) for column in columns
        )
        connection.execute(f"CREATE TABLE records AS SELECT {typed} FROM raw_records")
        cursor = connection.execute((folder / "derive.sql").read_text(encoding="utf-8"), {"as_of": as_of})
        fields = [field[0] for field in cursor.description]
        return [dict(zip(fields, row, strict=True)) for row in cursor.fetchall()], left_out


TYPED = {
    "number": "{0}::DOUBLE AS {0}",
    "boolean": "{0}::BOOLEAN AS {0}",
    "timestamp": "make_timestamp({0}::BIGINT * 1000000) AS {0}",
}


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def clean(
    columns: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Typed values of the sound records by column, and how many were left out by which problem.

    Each distinct value is parsed once: dates, names and prices repeat.
    """
    sound = np.ones(len(rows), bool)
    typed, problems = {}, Counter[str]()
    for column in columns:
        known: dict[Any, tuple[Any, list[str]]] = {}
        values = np.empty(len(rows), object)
        for i, row in enumerate(rows):
            value = row.get(column["name"])
            if value not in known:
                parsed, found = parse_row([column], row)
                known[value] = (parsed[0], found)
            values[i], found = known[value]
            if found:
                if sound[i]:
                    problems[found[0]] += 1
                sound[i] = False
        typed[column["name"]] = values
    return {name: values[sound] for name, values in typed.items()}, problems


def describe_inputs(contract: Mapping[str, Any]) -> str:
    return ", ".join(f"{column['name']} ({column['type']})" for column in contract["inputs"])


def show(contract: Mapping[str, Any], answers: Sequence[Row], limit: int) -> Iterator[str]:
    """Readable lines: one an answer, then how often each decision was taken."""
    for answer in answers[:limit]:
        name = " ".join(str(answer[key]) for key in ("_source", *contract["ids"]) if key in answer) or "row"
        if "problems" in answer:
            yield f"{name}: no answer: {'; '.join(answer['problems'])}"
            continue
        best = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:3]
        chances = ", ".join(f"{label} {chance:.1%}" for label, chance in best)
        worth = f", worth {answer['expected_value']:+.2f} {currency(contract)}" if "expected_value" in answer else ""
        yield f"{name}: {answer['decision']} ({chances}{worth})"
    if len(answers) > limit:
        yield f"… and {len(answers) - limit:,} more; --json shows all"
    if len(answers) > 1:
        counts = Counter(answer.get("decision", "no answer") for answer in answers)
        yield "in all: " + ", ".join(f"{count:,} {decision}" for decision, count in counts.most_common())


def currency(contract: Mapping[str, Any]) -> str:
    return next((output.get("unit") or "" for output in contract["outputs"] if output["name"] == "expected_value"), "")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="predict.py", description="Decisions of the model in this folder.")
    parser.add_argument("files", nargs="*", type=Path, help="rows (.csv, .json, .jsonl), mails or pictures")
    parser.add_argument("--records", type=Path, help="raw records, from which derive.sql makes the rows")
    parser.add_argument("--as-of", type=datetime.fromisoformat, help="the date of the decision, such as 2011-09-01")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args(argv)
    if bool(arguments.files) == bool(arguments.records):
        parser.error("give files, or --records FILE --as-of DATE")
    if bool(arguments.records) != bool(arguments.as_of):
        parser.error("--records and --as-of belong together")
    return arguments


def main(argv: Sequence[str] | None = None, folder: Path = HERE) -> int:
    arguments = parse_arguments(argv)
    contract, session = load(folder)
    try:
        if arguments.records:
            if not contract.get("records"):
                raise InputError("this model takes rows, not records: give the file without --records")
            rows, left_out = derive(contract, arguments.records, arguments.as_of, folder)
            for problem, count in left_out.most_common(10):
                print(f"{count:,} records left out: {problem}", file=sys.stderr)
        else:
            rows = [row for path in arguments.files for row in read_rows(contract, path)]
        answers = predict(contract, session, rows)
    except (InputError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    lines = (
        (json.dumps(answer, ensure_ascii=False, default=str) for answer in answers)
        if arguments.json
        else show(contract, answers, SHOWN)
    )
    for line in lines:
        print(line)
    return 0 if all("problems" not in answer for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
