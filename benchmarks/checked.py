"""`delays` cleaned and validated in one process: `python -m benchmarks.checked (pandas | ingot) RECORDS OUT`.

`pandas` is the cleaning of `benchmarks.contenders` and then Great Expectations on the whole frame, as its
documentation shows it; `ingot` is the two stages' own functions, with an empty store. Both check the suite
that follows from the contract of `delays`.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS

PIPELINE = "delays"


def suite() -> list[dict[str, Any]]:
    from stages.contract import load
    from stages.validate.section import Section
    from stages.validate.suite import derive_suite

    contract = load(Path("params.yaml"), PIPELINE)
    return list(derive_suite(contract.columns, contract.section("validate", Section)))


def with_pandas(table: Path) -> bool:
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = gx.ExpectationSuite("delays")
    for item in suite():
        name = "".join(word.capitalize() for word in item["type"].split("_"))
        expectations.add_expectation(getattr(gx.expectations, name)(**item["kwargs"]))
    definition = gx.ValidationDefinition(name="all", data=batch, suite=expectations)
    frame = pd.read_parquet(table)
    return bool(definition.run(batch_parameters={"dataframe": frame}).success)


def with_ingot(out: Path) -> bool:
    from stages.contract import load
    from stages.validate import validate

    report = validate(out, load(Path("params.yaml"), PIPELINE), out, out)
    return bool(report["passed"])


def main() -> None:
    import great_expectations  # noqa: F401  # its import is in nobody's time
    import pandas  # noqa: F401

    import stages.clean
    import stages.validate  # noqa: F401

    name, records, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    files = sorted(str(path) for path in (records / "parts").glob("*.parquet"))
    start = time.perf_counter()
    kept = CONTENDERS[name](files, out)
    cleaned = time.perf_counter()
    passed = with_pandas(out / "table.parquet") if name == "pandas" else with_ingot(out)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = {"seconds": end - start, "clean": cleaned - start, "validate": end - cleaned, "peak_mb": peak}
    print(json.dumps({**found, "kept": kept, "passed": passed}))


if __name__ == "__main__":
    main()
