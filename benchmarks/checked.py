"""`delays` cleaned and validated: `python -m benchmarks.checked (pandas | pandas-undated | ingot) RECORDS OUT`.

`pandas` is the cleaning of `benchmarks.contenders` and then Great Expectations on the whole frame, as its
documentation shows it; `ingot` is the two stages' own functions with an empty store, each in a process of
its own as DVC runs them: their times are added, and the larger peak counts. Both check the suite that
follows from the contract of `delays`; `pandas-undated` leaves out its bounds on the date, which Great
Expectations compares row by row.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.measure import run

PIPELINE = "delays"


def suite() -> list[dict[str, Any]]:
    from stages.contract import load
    from stages.validate.section import Section
    from stages.validate.suite import derive_suite

    contract = load(Path("params.yaml"), PIPELINE)
    return list(derive_suite(contract.columns, contract.section("validate", Section)))


def with_pandas(table: Path, *, dated: bool) -> bool:
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = context.suites.add(gx.ExpectationSuite("delays"))
    for item in suite():
        if not dated and item["kwargs"].get("column") == "date" and "between" in item["type"]:
            continue
        name = "".join(word.capitalize() for word in item["type"].split("_"))
        expectations.add_expectation(getattr(gx.expectations, name)(**item["kwargs"]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="all", data=batch, suite=expectations))
    frame = pd.read_parquet(table)
    return bool(definition.run(batch_parameters={"dataframe": frame}).success)


def with_ingot(out: Path) -> bool:
    from stages.contract import load
    from stages.validate import validate

    report = validate(out, load(Path("params.yaml"), PIPELINE), out, out)
    return bool(report["passed"])


def clean(name: str, records: Path, out: Path) -> dict[str, Any]:
    """Seconds, peak memory and kept rows of the cleaning; that of a stage in its own process."""
    if name == "ingot":
        return run("benchmarks.contenders", name, str(records), str(out))
    files = sorted(str(path) for path in (records / "parts").glob("*.parquet"))
    start = time.perf_counter()
    kept = CONTENDERS[name](files, out)
    return {"seconds": time.perf_counter() - start, "kept": kept, "peak_mb": 0}


def main() -> None:
    import great_expectations  # noqa: F401  # its import is in nobody's time
    import pandas  # noqa: F401

    import stages.validate  # noqa: F401

    name, records, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    cleaned = clean(name.removesuffix("-undated"), records, out)
    start = time.perf_counter()
    passed = with_ingot(out) if name == "ingot" else with_pandas(out / "table.parquet", dated=name == "pandas")
    seconds = time.perf_counter() - start
    peak = max(cleaned["peak_mb"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    found = {"seconds": cleaned["seconds"] + seconds, "clean": cleaned["seconds"], "validate": seconds, "peak_mb": peak}
    print(json.dumps({**found, "kept": cleaned["kept"], "passed": passed}))


if __name__ == "__main__":
    main()
