"""Counts and moments in; results of the checks that are ours, not Great Expectations', out."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from stages.contract.column import is_personal, shown
from stages.validate.section import Freshness
from stages.validate.summary import Summary

DAY_SECONDS = 86_400
NOW = "INGOT_NOW"


def result(kind: str, kwargs: dict[str, Any], origin: str, success: bool, seen: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": kind,
        "kwargs": kwargs,
        "from": origin,
        "severity": "fail",
        "computed": "arrow",
        "success": success,
        "observed": seen,
    }


def check_rejects(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The share of records that each rule rejected, against `clean.max_rejected`."""
    limits, total = report["max_rejected"], max(report["records"], 1)
    unknown = set(limits) - {"default"} - set(report["rules"])
    results = []
    for rule, count in {**dict.fromkeys(sorted(unknown), 0), **report["rules"]}.items():
        limit = limits.get(rule, limits["default"])
        seen = {"rejected": count, "share": round(count / total, 6)}
        results.append(
            result("reject_share_at_most", {"rule": rule, "share": limit}, "clean", count / total <= limit, seen)
        )
    return results


def check_classes(counts: Mapping[Any, int], column: str, least: float) -> dict[str, Any]:
    """At least two classes, each with at least the share `least` of the labelled rows."""
    total = max(sum(counts.values()), 1)
    shares = {
        str(name): round(count / total, 6) for name, count in sorted(counts.items(), key=lambda item: str(item[0]))
    }
    success = len(counts) >= 2 and min(counts.values()) / total >= least
    kwargs = {"column": column, "share": least}
    return result("class_shares_at_least", kwargs, "contract", success, {"shares": shares})


def check_freshness(
    freshness: Freshness, summary: Summary, columns: Mapping[str, Any], now: str | None
) -> dict[str, Any]:
    """The newest value against the declared moment. `now` is what INGOT_NOW says.

    Where the column is personal, neither the value nor its age is told, and where others are that give the moment,
    that is not.
    """
    kwargs = {"column": freshness.column, "max_age_days": freshness.max_age_days, "as_of": freshness.as_of}
    found = result("newest_value_at_most_so_old", kwargs, "freshness", False, {})
    found["severity"] = freshness.severity
    newest = summary["columns"].get(freshness.column, {}).get("max")
    try:
        moment = as_of(freshness, summary, now)
    except ValueError as error:
        return {**found, "error": str(error)}
    if newest is None:
        return {**found, "error": f"{freshness.column} has no value"}
    age = (moment - utc(newest)).total_seconds() / DAY_SECONDS
    column = columns.get(freshness.column)
    others = [held for name, held in columns.items() if name != freshness.column and held.type == "timestamp"]
    given = next((held for held in others if is_personal(held)), None) if freshness.as_of == "data" else None
    found["observed"] = {
        "newest": shown(column, newest),
        "as_of": shown(given, moment.replace(tzinfo=None).isoformat()),
        "age_days": shown(column, shown(given, round(age, 3))),
    }
    found["success"] = 0 <= age <= freshness.max_age_days
    return found


def as_of(freshness: Freshness, summary: Summary, now: str | None) -> datetime:
    """The moment that age is counted from. Raises ValueError saying what is missing."""
    if freshness.as_of == "data":
        others = {name: held.get("max") for name, held in summary["columns"].items() if name != freshness.column}
        moments = [utc(value) for value in others.values() if isinstance(value, str)]
        if not moments:
            raise ValueError("no other timestamp column has a value")
        return max(moments)
    if freshness.as_of != "now":
        return utc(freshness.as_of)
    if not now:
        raise ValueError(
            f"as_of is now, and {NOW} is not set. The clock is not read, since a cached out would then speak of a "
            f"day that is past: run with {NOW}=<date>, or declare a date"
        )
    try:
        return utc(now)
    except ValueError:
        raise ValueError(f"{NOW} is {now!r}; expected a date or moment such as 2011-12-10") from None


def utc(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def unreadable_part(name: str, why: str) -> dict[str, Any]:
    return {**result("part_is_sound", {"part": name}, "contract", False, {}), "error": why}
