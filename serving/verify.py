"""A bundle in, "verified" or every difference out: its files' hashes and its golden answers, here.

Needs onnxruntime and numpy alone. Exit code 0: each file is what the manifest says, none is
missing or added, and the model gives its golden answers on this machine.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.dont_write_bytecode = True  # __pycache__ would be a file too many

HERE = Path(__file__).resolve().parent


def check_files(folder: Path) -> list[str]:
    """Differences between the folder and its manifest."""
    listed = {
        entry["path"]: entry for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    }
    paths = (path for path in folder.rglob("*") if path.is_file())
    present = {path.relative_to(folder).as_posix() for path in paths} - {"manifest.json"}
    found = [f"{name} is missing" for name in sorted(set(listed) - present)]
    found += [f"{name} is not in the manifest" for name in sorted(present - set(listed))]
    for name in sorted(present & set(listed)):
        content = (folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != listed[name]["sha256"]:
            found.append(f"{name} has changed: {len(content):,} bytes, its SHA-256 is not the manifest's")
    return found


def check_answers(folder: Path) -> list[str]:
    """Differences between the golden answers and those that the model gives here.

    The bundle's own code is imported here and no earlier: its files have been checked by now.
    """
    if TYPE_CHECKING or __package__:
        from serving.predict import load, run
        from serving.prepare import prepare
    else:
        from predict import load, run
        from prepare import prepare

    golden = {
        name: json.loads((folder / "golden" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("inputs", "outputs")
    }
    contract, session = load(folder)
    arrays, problems = prepare(contract["inputs"], golden["inputs"])
    found = [f"golden row {i}: {'; '.join(problem)}" for i, problem in enumerate(problems) if problem]
    if found:
        return found
    outputs = run(session, arrays, len(golden["inputs"]))
    for name, wanted in golden["outputs"]["values"].items():
        found += compare(name, outputs[name], wanted, golden["outputs"]["tolerance"])
    return found


def compare(name: str, values: np.ndarray, wanted: list[Any], tolerance: float) -> list[str]:
    if values.dtype.kind in "OU":
        wrong = [i for i, (a, b) in enumerate(zip(values.tolist(), wanted, strict=True)) if a != b]
        return [f"golden row {i}: {name} is {values[i]!r}, was {wanted[i]!r}" for i in wrong[:5]]
    truth = np.array(wanted, np.float64)
    distance = np.abs(values.astype(np.float64) - truth) / np.maximum(1.0, np.abs(truth))
    largest = distance.reshape(len(wanted), -1).max(1)
    rows = np.flatnonzero(~(largest <= tolerance))
    return [f"golden row {i}: {name} differs by {largest[i]:.2g}, at most {tolerance:g} allowed" for i in rows[:5]]


def main(folder: Path = HERE) -> int:
    if not (folder / "manifest.json").is_file():
        print(f"{folder} has no manifest.json: this is not a whole bundle", file=sys.stderr)
        return 1
    found = check_files(folder)
    found = found or check_answers(folder)  # a changed file's answers prove nothing
    for line in found:
        print(line, file=sys.stderr)
    num_files = len(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"])
    print(
        f"NOT verified: {len(found)} differences"
        if found
        else f"verified: {num_files} files as listed, golden answers as recorded"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
