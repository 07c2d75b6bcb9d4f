"""Results in, Great Expectations' own page (its Data Docs) out, with the same bytes for the same results.

The page takes its styles from the network, as Great Expectations makes it; `report.html` needs none. What it
would add of the moment, its logo with a time in the address, is left out, and its run bears the table's hash.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from stages.validate.expectations import Engine
from stages.validate.suite import Check

LOGO = re.compile(r"<img\b[^>]*logo-long\.png\?d=[^>]*>")
NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)
BROKEN = {"raised_exception": True, "exception_traceback": ""}
SOUND = {"raised_exception": False, "exception_traceback": None, "exception_message": None}


def data_docs(engine: Engine, suite: Sequence[Check], results: Sequence[Mapping[str, Any]], table: str) -> str:
    """`results` are those of `suite`, in its order; masked already."""
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    answers = [answer(engine, item, result) for item, result in zip(suite, results, strict=True)]
    met = sum(result["success"] for result in results)
    outcome = ExpectationSuiteValidationResult(
        success=met == len(results),
        results=answers,
        suite_name="contract",
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
            "success_percent": 100 * met / len(results),
        },
        meta={
            "great_expectations_version": engine.gx.__version__,
            "run_id": RunIdentifier(run_name=table[:16], run_time=NEVER),
            "active_batch_definition": {},
            "batch_markers": {},
            "batch_spec": {},
        },
    )
    html: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer(run_info_at_end=True).render(outcome))
    return LOGO.sub("", html)


def answer(engine: Engine, item: Check, result: Mapping[str, Any]) -> Any:
    """A result as Great Expectations holds it; its renderers want shares that follow from the counts."""
    from great_expectations.core import ExpectationValidationResult

    seen = dict(result["observed"])
    if seen.get("element_count"):
        seen["unexpected_percent_nonmissing"] = seen.get("unexpected_percent")
        seen["unexpected_percent_total"] = 100 * (seen.get("unexpected_count") or 0) / seen["element_count"]
        seen["missing_percent"] = 100 * (seen.get("missing_count") or 0) / seen["element_count"]
    error = result.get("error")
    return ExpectationValidationResult(
        success=result["success"],
        expectation_config=engine.build(item).configuration,
        result=seen,
        exception_info={**BROKEN, "exception_message": error} if error else dict(SOUND),
        meta={},
    )
