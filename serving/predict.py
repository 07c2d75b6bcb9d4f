"""What the user has in, decisions out: rows, records as of a date, mails, pictures or sounds.

    python predict.py FILE …                       rows (.csv, .json, .jsonl), mails, pictures, sounds
    python predict.py --records FILE --as-of DATE  raw records: derive.sql makes the rows

Needs onnxruntime and numpy; Pillow for picture files, soundfile for sounds other than WAV, duckdb where a
derive.sql travels along.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.dont_write_bytecode = True  # a bundle is what its manifest lists, and no file more
if TYPE_CHECKING or __package__:  # in a bundle the files stand side by side, and are no package
    from serving.prepare import prepare
    from serving.read import InputError, Row, read_rows
else:
    from prepare import prepare
    from read import InputError, Row, read_rows

HERE = Path(__file__).resolve().parent
BATCH_ROWS = 64
SHOWN = 20


def load(folder: Path = HERE) -> tuple[dict[str, Any], Any]:
    """A bundle's contract and its onnxruntime session."""
    try:
        import onnxruntime
    except ImportError:
        raise SystemExit(
            f"onnxruntime is not installed here. Run: pip install -r {folder / 'requirements.txt'}"
        ) from None

    contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the same sums in the same order everywhere
    model = str(folder / "model.onnx")
    return contract, onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predict(contract: Mapping[str, Any], session: Any, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One answer a row: its ids, decision, probabilities and expected value; or its problems."""
    readable = [row for row in rows if "_problem" not in row]
    arrays, found = prepare(contract["inputs"], readable)
    remaining = iter(found)
    problems = [[row["_problem"]] if "_problem" in row else next(remaining) for row in rows]
    sound = [i for i, listed in enumerate(problems) if not listed]
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
            plain = [round(float(v), 6) if output["type"].startswith("float") else str(v) for v in np.atleast_1d(value)]
            answer[output["name"]] = plain if np.ndim(value) else plain[0]
    if "items" in answer:  # where a row holds nearly all there is, nothing stands at the end
        left = sum(item != "" for item in answer["items"])
        answer |= {name: answer[name][:left] for name in ("items", "scores")}
    return answer


def show(contract: Mapping[str, Any], answers: Sequence[Row], limit: int) -> Iterator[str]:
    """Readable lines: one an answer, then how often each decision was taken."""
    for answer in answers[:limit]:
        name = " ".join(str(answer[key]) for key in ("_source", *contract["ids"]) if key in answer) or "row"
        if "problems" in answer:
            yield f"{name}: no answer: {'; '.join(answer['problems'])}"
            continue
        yield f"{name}: {in_words(contract, answer)}"
    if len(answers) > limit:
        yield f"… and {len(answers) - limit:,} more; --json shows all"
    if len(answers) > 1 and any("decision" in answer for answer in answers):
        counts = Counter(answer.get("decision", "no answer") for answer in answers)
        yield "in all: " + ", ".join(f"{count:,} {decision}" for decision, count in counts.most_common())


def in_words(contract: Mapping[str, Any], answer: Row) -> str:
    """One answer as a person reads it: a decision with its chances and worth, a number with its interval, or items."""
    if "items" in answer:
        return ", ".join(answer["items"]) or "no item is left"
    if "prediction" in answer:
        share = next(output["interval"] for output in contract["outputs"] if output["name"] == "low")
        return f"{answer['prediction']:g} ({share:.0%} between {answer['low']:g} and {answer['high']:g})"
    best = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:3]
    chances = ", ".join(f"{label} {chance:.1%}" for label, chance in best)
    worth = f", worth {answer['expected_value']:+.2f} {currency(contract)}" if "expected_value" in answer else ""
    return f"{answer['decision']} ({chances}{worth})"


def currency(contract: Mapping[str, Any]) -> str:
    return next((output.get("unit") or "" for output in contract["outputs"] if output["name"] == "expected_value"), "")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="predict.py", description="Decisions of the model in this folder.")
    parser.add_argument("files", nargs="*", type=Path, help="rows (.csv, .json, .jsonl), mails, pictures, sounds")
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
            if TYPE_CHECKING or __package__:
                from serving.derive import derive
            else:
                from derive import derive
            rows, left_out = derive(contract, arguments.records, arguments.as_of, folder)
            for problem, count in left_out.most_common(10):
                print(f"{count:,} records left out: {problem}", file=sys.stderr)
        else:
            rows = [row for path in arguments.files for row in read_rows(contract, path, contract["inputs"])]
        answers = predict(contract, session, rows)
    except (InputError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    lines = (
        (json.dumps(answer, ensure_ascii=False, default=str) for answer in answers)
        if arguments.json
        else show(contract, answers, SHOWN)
    )
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read them, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if all("problems" not in answer for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
