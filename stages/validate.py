"""A typed table in; a verdict with every expectation's result out, by Great Expectations.

The suite is derived from the contract: a re-check that shares no code with `clean`. To it come
what cleaning cannot promise (row count, reject shares, missing shares, class balance) and the
user's own expectations by their Great Expectations names. Fails closed: an expectation that
errors, or a suite with nothing in it, is a failure.
"""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from stages.columns import module_of
from stages.contract import Contract
from stages.contract.section import Section as BaseSection
from stages.core import cli, parts
from stages.core.errors import ContractError, suggest
from stages.core.files import read_json, write_json

Check = dict[str, Any]  # {"type": …, "kwargs": {…}, "from": "contract" | "user"}


class Rows(BaseSection):
    min: int = Field(default=1, ge=1)
    max: int | None = None


class Section(BaseSection):
    """`max_missing`: largest share of rows without a value, by column or `default`."""

    rows: Rows = Rows()
    max_missing: dict[str, float] = Field(default={"default": 0.95})
    min_class_share: float = Field(default=0.01, ge=0, le=1)  # of each class of a category target
    expect: list[dict[str, dict[str, Any]]] = Field(default=[])

    @field_validator("expect")
    @classmethod
    def one_each(cls, expect: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(len(item) != 1 for item in expect):
            raise ValueError("a list of {expect_…: {arguments}}, one name an item")
        return expect


def check(contract: Contract) -> None:
    """Raise ContractError where `max_missing` names a column that is not declared."""
    for name in contract.section("validate", Section).max_missing:
        if name != "default" and name not in contract.columns:
            hint = suggest(name, contract.columns)
            raise ContractError(f"{contract.pipeline}.validate.max_missing.{name} is not a declared column.{hint}")


def derive_suite(columns: Mapping[str, Any], section: Section) -> list[Check]:
    """The expectations that follow from the contract, then the user's own."""
    rows = {"min_value": section.rows.min, "max_value": section.rows.max}
    suite = [expectation("expect_table_row_count_to_be_between", {k: v for k, v in rows.items() if v is not None})]
    default = section.max_missing.get("default", 0.95)
    for name, column in columns.items():
        suite.append(expectation("expect_column_to_exist", {"column": name}))
        share = 0.0 if column.required else section.max_missing.get(name, default)
        suite.append(expectation("expect_column_values_to_not_be_null", {"column": name, "mostly": 1.0 - share}))
        for item in module_of(column).expectations(column):
            suite.append(expectation(item["type"], {"column": name, **item["kwargs"]}))
    own = [expectation(kind, arguments, "user") for item in section.expect for kind, arguments in item.items()]
    return suite + own


def expectation(kind: str, kwargs: dict[str, Any], origin: str = "contract") -> Check:
    return {"type": kind, "kwargs": kwargs, "from": origin}


def to_frame(table: pa.Table, columns: Mapping[str, Any]) -> Any:
    """The table as Great Expectations sees it: a pandas frame, strings backed by Arrow."""
    for name, column in columns.items():
        visible = getattr(module_of(column), "visible", None)
        if visible is not None:
            values = pa.chunked_array([visible(column, part) for part in table.column(name).chunks])
            table = table.set_column(table.column_names.index(name), name, values)
    return table.to_pandas()


def run_suite(suite: Sequence[Check], frame: Any, path: str) -> list[dict[str, Any]]:
    """Run every expectation on a pandas frame; one result each, errors among the failures."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="great_expectations")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    expectations = gx.ExpectationSuite("contract")
    for item in suite:
        expectations.add_expectation(build(gx, item, path))
    results = batch.validate(expectations, result_format="BASIC").to_json_dict()["results"]
    return [summarise(result) for result in results]


def build(gx: Any, item: Check, path: str) -> Any:
    """A Great Expectations object from a snake_case name. Raises ContractError on a wrong one."""
    name = "".join(part.capitalize() for part in item["type"].split("_"))
    if not hasattr(gx.expectations, name):
        known = [word for word in dir(gx.expectations) if word.startswith("Expect")]
        snake = ["".join(f"_{c.lower()}" if c.isupper() else c for c in word)[1:] for word in known]
        raise ContractError(
            f"{path}.expect: {item['type']!r} is not a Great Expectations name.{suggest(item['type'], snake)}"
        )
    try:
        return getattr(gx.expectations, name)(**item["kwargs"], meta={"from": item["from"]})
    except (TypeError, ValueError) as error:
        raise ContractError(f"{path}.expect: {item['type']} does not take {item['kwargs']}: {error}") from None


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """One expectation's result without ids and times; `success` only where nothing was raised."""
    config, details = result["expectation_config"], result.get("result") or {}
    kwargs = {k: v for k, v in config["kwargs"].items() if k != "batch_id"}
    raised = [
        info["exception_message"]
        for info in exceptions(result.get("exception_info") or {})
        if info.get("raised_exception")
    ]
    keep = (
        "observed_value",
        "element_count",
        "unexpected_count",
        "unexpected_percent",
        "missing_count",
        "partial_unexpected_list",
    )
    return {
        "type": config["type"],
        "kwargs": kwargs,
        "from": (config.get("meta") or {}).get("from", "contract"),
        "success": result["success"] is True and not raised,
        "observed": {key: details[key] for key in keep if key in details},
        **({"error": raised[0]} if raised else {}),
    }


def exceptions(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """exception_info is one mapping, or a mapping of metric ids to mappings."""
    return [info] if "raised_exception" in info else [item for item in info.values() if isinstance(item, Mapping)]


def check_rejects(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The share of records that each rule rejected, against `clean.max_rejected`."""
    limits, total = report["max_rejected"], max(report["records"], 1)
    unknown = set(limits) - {"default"} - set(report["rules"])
    results = []
    for rule, count in {**dict.fromkeys(sorted(unknown), 0), **report["rules"]}.items():
        limit = limits.get(rule, limits["default"])
        results.append(
            {
                "type": "reject_share_at_most",
                "kwargs": {"rule": rule, "share": limit},
                "from": "clean",
                "success": count / total <= limit,
                "observed": {"rejected": count, "share": round(count / total, 6)},
            }
        )
    return results


def check_classes(counts: Mapping[Any, int], column: str, least: float) -> dict[str, Any]:
    """At least two classes, each with at least the share `least` of the labelled rows."""
    total = max(sum(counts.values()), 1)
    shares = {
        str(name): round(count / total, 6) for name, count in sorted(counts.items(), key=lambda item: str(item[0]))
    }
    success = len(shares) >= 2 and min(shares.values()) >= least
    return {
        "type": "class_shares_at_least",
        "kwargs": {"column": column, "share": least},
        "from": "contract",
        "success": success,
        "observed": {"shares": shares},
    }


def explain(result: Mapping[str, Any]) -> str:
    """A failed result as a sentence: what was expected, what was found."""
    arguments = ", ".join(f"{key}={value}" for key, value in result["kwargs"].items())
    found = result.get("error") or ", ".join(
        f"{key} {value}" for key, value in result["observed"].items() if key != "partial_unexpected_list"
    )
    if result["type"] == "reject_share_at_most":
        found += (
            ". The records are in rejects.parquet beside the cleaned table. Mend the source or the column's "
            "declaration, or allow more in clean.max_rejected"
        )
    sample = result["observed"].get("partial_unexpected_list")
    return f"{result['type']}({arguments}): found {found}" + (f", such as {sample[:3]}" if sample else "")


def verdict(results: list[dict[str, Any]]) -> dict[str, Any]:
    reasons = [explain(result) for result in results if not result["success"]]
    if not results:
        reasons = ["no expectation was checked"]
    return {"passed": not reasons, "reasons": reasons, "results": results}


def validate(folder: Path, contract: Contract) -> dict[str, Any]:
    """The report on `folder`'s table: verdict, reasons, and every result."""
    section = contract.section("validate", Section)
    table = parts.read(folder / "table")
    suite = derive_suite(contract.columns, section)
    results = run_suite(suite, to_frame(table, contract.columns), f"{contract.pipeline}.validate")
    results += check_rejects(read_json(folder / "report.json"))
    target = contract.target.column
    if target in table.column_names and contract.columns[target].type in ("category", "boolean"):
        values = pc.value_counts(table.column(target).drop_null()).to_pylist()
        results.append(
            check_classes({item["values"]: item["counts"] for item in values}, target, section.min_class_share)
        )
    return verdict(results)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("validate", "clean", argv=argv) as job:
        report = validate(job["clean"], job.contract)
        write_json(job.out / "report.json", report)
        outcome = f"{len(report['reasons'])} FAILED: {report['reasons'][0]}" if report["reasons"] else "all met"
        job.say(f"{len(report['results'])} expectations, {outcome}")


if __name__ == "__main__":
    main()
