"""Expectations by name and a pandas frame in, Great Expectations' answers without ids and times out."""

import contextlib
import logging
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stages.columns import module_of
from stages.core.errors import ContractError, suggest
from stages.validate.suite import Check

SAMPLE = 20  # unexpected values that a result shows
SEVERITIES = {"fail": "critical", "warn": "warning"}  # ours → Great Expectations'
KEEP = ("observed_value", "element_count", "unexpected_count", "unexpected_percent", "missing_count")


class Engine:
    """Great Expectations with nothing on disk: one context and one batch definition a process."""

    def __init__(self, path: str) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="great_expectations")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self.gx, self.path = gx, path
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
        self.batches = asset.add_batch_definition_whole_dataframe("all")

    def build(self, item: Check, place: int | None = None) -> Any:
        """A Great Expectations object from a snake_case name. Raises ContractError on a wrong one."""
        offered = self.gx.expectations
        name = "".join(part.capitalize() for part in item["type"].split("_"))
        name = {"ExpectColumnKlDivergenceToBeLessThan": "ExpectColumnKLDivergenceToBeLessThan"}.get(name, name)
        if not hasattr(offered, name) or not name.startswith("Expect"):
            known = [word for word in dir(offered) if word.startswith("Expect")]
            snake = ["".join(f"_{c.lower()}" if c.isupper() else c for c in word)[1:] for word in known]
            raise ContractError(
                f"{self.path}.expect: {item['type']!r} is not a Great Expectations name.{suggest(item['type'], snake)}"
            )
        try:
            # A suite drops what it holds already; a description makes each one its own.
            given = {} if place is None else {"meta": {"place": place}, "description": f"{place}"}
            return getattr(offered, name)(**item["kwargs"], severity=SEVERITIES[item["severity"]], **given)
        except (TypeError, ValueError) as error:
            raise ContractError(f"{self.path}.expect: {item['type']} does not take {item['kwargs']}: {error}") from None

    def suite(self, items: Sequence[Check]) -> Any:
        """The expectations as one suite; each bears its place in `items`."""
        suite = self.gx.ExpectationSuite("contract")
        for place, item in enumerate(items):
            suite.add_expectation(self.build(item, place))
        return suite

    def batch(self, frame: Any) -> Any:
        """A frame as Great Expectations takes it; made once, since it hashes the frame."""
        return self.batches.get_batch({"dataframe": frame})

    def run(self, suite: Any, batch: Any, *, rows: int = 0) -> list[dict[str, Any]]:
        """One answer an expectation, in the suite's order; with `rows`, which rows were unexpected, at most so many.

        An answer is {"success", "result", "error"}: `success` only where nothing was raised.
        """
        detail = "SUMMARY" if rows else "BASIC"
        done = batch.validate(suite, result_format={"result_format": detail, "partial_unexpected_count": rows})
        answers: list[dict[str, Any]] = [{}] * len(suite.expectations)
        for outcome in done.results:
            raised = exception_of(outcome.exception_info or {})
            answer = {"success": bool(outcome.success) and raised is None, "result": outcome.result or {}}
            answers[outcome.expectation_config.meta["place"]] = {**answer, "error": raised}
        return [
            answer or {"success": False, "result": {}, "error": "Great Expectations gave no answer"}
            for answer in answers
        ]

    def judge(self, built: Any, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """What an expectation says of metrics that were computed elsewhere: its own comparison, its own rounding."""
        wanted = {"result_format": "BASIC", "partial_unexpected_count": SAMPLE, "include_unexpected_rows": False}
        try:
            answer = built._validate(metrics=dict(metrics), runtime_configuration={"result_format": wanted})
        except Exception as error:  # whatever it raises, the expectation is not met
            return {"success": False, "result": {}, "error": f"{type(error).__name__}: {error}"}
        return {"success": bool(answer["success"]), "result": answer.get("result") or {}, "error": None}


def exception_of(info: Mapping[str, Any]) -> str | None:
    """The first message in exception_info, which is one mapping, or a mapping of metric ids to mappings."""
    found = [info] if "raised_exception" in info else [item for item in info.values() if isinstance(item, Mapping)]
    messages = [str(item.get("exception_message")) for item in found if item.get("raised_exception")]
    return messages[0] if messages else None


def observed(result: Mapping[str, Any], sample: Sequence[Any] = ()) -> dict[str, Any]:
    """What a result found, as JSON can say it."""
    kept = {key: plain(result[key]) for key in KEEP if result.get(key) is not None or key == "observed_value" in result}
    if isinstance(kept.get("unexpected_percent"), float):
        kept["unexpected_percent"] = round(kept["unexpected_percent"], 6)
    values = list(sample) or plain(list(result.get("partial_unexpected_list") or []))[:SAMPLE]
    if values:
        kept["partial_unexpected_list"] = values
    if result.get("partial_missing_list"):
        kept["partial_missing_list"] = plain(sorted(result["partial_missing_list"], key=str))[:SAMPLE]
    return kept


def plain(value: Any) -> Any:
    """A value of numpy or pandas as JSON has it: missing is null, moments are ISO 8601, infinities are words."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if value != value or str(value) in ("<NA>", "NaT"):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def visible(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """The table as expectations see it: of a picture, its number of bytes."""
    for name in table.column_names:
        show = getattr(module_of(columns[name]), "visible", None) if name in columns else None
        if show is not None:
            values = pa.chunked_array([show(columns[name], part) for part in table.column(name).chunks], pa.int32())
            table = table.set_column(table.column_names.index(name), name, values)
    return table


def to_frame(table: pa.Table, columns: Mapping[str, Any]) -> Any:
    """A pandas frame, strings backed by Arrow, moments in nanoseconds where they can be."""
    table = visible(table, columns)
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_timestamp(kind) and kind.unit != "ns":
            with contextlib.suppress(pa.ArrowInvalid):  # years before 1678 and after 2261 keep their microseconds
                # Great Expectations compares nanoseconds as arrays, and all else value by value: 50 times slower.
                values = table.column(place).cast(pa.timestamp("ns", kind.tz))
                table = table.set_column(place, table.column_names[place], values)
    return table.to_pandas(self_destruct=True, split_blocks=True)
