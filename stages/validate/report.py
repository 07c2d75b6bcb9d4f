"""Great Expectations' answers in; results, a verdict, and sentences that explain it, out."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.contract.column import withheld
from stages.validate.chunks import masked
from stages.validate.expectations import SAMPLE, observed, plain
from stages.validate.suite import Check, Way, touched

VALUES = ("min", "max", "median", "quantile", "most_common")  # whose observed value is a value of the column
LISTS = ("partial_unexpected_list", "partial_missing_list")


def summarise(
    item: Check, answer: Mapping[str, Any], way: Way, columns: Mapping[str, Any], sample: Sequence[Any] = ()
) -> dict[str, Any]:
    """One expectation's result without ids and times, and without personal values."""
    found = dict(answer["result"])
    if way != "chunks":
        listed = found.get("partial_unexpected_list") or []
        sample = [masked(plain(value), item, columns) for value in listed][:SAMPLE]
    if touched(item, columns):
        found.pop("partial_missing_list", None)
        found["partial_unexpected_list"] = list(sample)
        if any(word in item["type"] for word in VALUES):
            found.pop("observed_value", None)
    return {
        "type": item["type"],
        "kwargs": plain(item["kwargs"]),
        "from": item["from"],
        "severity": item["severity"],
        "computed": way,
        "success": answer["success"],
        "observed": observed(found, sample),
        **({"error": withheld(answer["error"], touched(item, columns))} if answer.get("error") else {}),
    }


def explain(result: Mapping[str, Any]) -> str:
    """A failed result as a sentence: what was expected, what was found."""
    arguments = ", ".join(f"{key}={value}" for key, value in result["kwargs"].items())
    found = result.get("error") or ", ".join(
        f"{key} {value}" for key, value in result["observed"].items() if key not in LISTS
    )
    if result["type"] == "reject_share_at_most":
        found += (
            ". The records are in rejects.parquet beside the cleaned table. Mend the source or the column's "
            "declaration, or allow more in clean.max_rejected"
        )
    sample = result["observed"].get("partial_unexpected_list")
    return f"{result['type']}({arguments}): found {found}" + (f", such as {sample[:3]}" if sample else "")


def verdict(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Passed when something was checked and nothing that refuses has failed."""
    failed = [result for result in results if not result["success"]]
    reasons = [explain(result) for result in failed if result.get("severity", "fail") == "fail"]
    warnings = [explain(result) for result in failed if result.get("severity", "fail") != "fail"]
    if not results:
        reasons = ["no expectation was checked"]
    return {"passed": not reasons, "reasons": reasons, "warnings": warnings, "results": list(results)}


def headline(report: Mapping[str, Any]) -> str:
    """The stage's line: how many expectations, what failed first, what is warned of."""
    count = len(report["results"])
    told = f"{count:,} expectations, "
    told += f"{len(report['reasons'])} FAILED: {report['reasons'][0]}" if report["reasons"] else "all met"
    if report["reasons"] or not report["warnings"]:
        return told + (f"; {len(report['warnings'])} warnings" if report["warnings"] else "")
    return f"{count:,} expectations, none refuses; {len(report['warnings'])} warnings: {report['warnings'][0]}"
