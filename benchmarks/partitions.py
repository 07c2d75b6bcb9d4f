"""One new partition of many: `python -m benchmarks.partitions RAW WORK`, where RAW holds the partitions.

All but the last are built; then the last one comes. Prints the seconds that reading, cleaning and checking
took each time, part by part, and beside them the passes over everything, as JSON.
"""

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIPELINE = "delays"
SECONDS: Counter[str] = Counter()


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            SECONDS[name] += time.perf_counter() - start

    return run


def build(raw: Path, work: Path) -> dict[str, float]:
    """The three stages on what RAW holds now; seconds part by part, and of the passes over everything."""
    from stages.clean import clean, whole
    from stages.contract import load
    from stages.core.files import write_json
    from stages.ingest import Raw, ingest, options
    from stages.validate import validate

    contract = load(Path("params.yaml"), PIPELINE)
    sources = work / "sources"
    for name in ("records", "clean"):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / "clean" / "table").mkdir(parents=True)
    (work / "records").mkdir()
    sources.mkdir(exist_ok=True)
    SECONDS.clear()
    module, settings = options(contract)
    timed("ingest", ingest)(Raw(raw, sources), module, settings, contract, work / "records")
    report = timed("clean", clean)(work / "records", contract, sources, work / "clean")
    write_json(work / "clean" / "report.json", report)
    timed("validate", validate)(work / "clean", contract, sources, work / "clean")
    assert whole.judge is not None
    between = SECONDS["duplicates between records"]
    return {
        "part by part": SECONDS["ingest"] + SECONDS["clean"] + SECONDS["validate"] - between,
        **{name: round(seconds, 3) for name, seconds in SECONDS.items()},
    }


def main() -> None:
    from stages.clean import whole

    whole.judge = timed("duplicates between records", whole.judge)
    raw, work = Path(sys.argv[1]), Path(sys.argv[2])
    os.environ["INGOT_STORE"] = str(work / "store")
    files = sorted(raw.glob("*.parquet"))
    last = files[-1].rename(work / files[-1].name)
    try:
        build_nothing_new = build(raw, work)
        last.rename(files[-1])
        print(json.dumps({"full": build_nothing_new, "one more": build(raw, work), "again": build(raw, work)}))
    finally:
        if last.exists():
            last.rename(files[-1])


if __name__ == "__main__":
    main()
