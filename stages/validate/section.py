"""A pipeline's `validate` section in; its typed form, and what is wrong in it, out."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stages.contract import Contract
from stages.contract.column import is_personal
from stages.contract.section import Section as BaseSection
from stages.core.errors import ContractError, suggest

Severity = Literal["fail", "warn"]
BY_DEFAULT = ("number", "category", "boolean", "text")  # what drift.default speaks of: times and ids always move
ORDERED = ("number", "timestamp", "text")  # what has quantiles; of a text, the number of its characters


class Rows(BaseSection):
    min: int = Field(default=1, ge=1)
    max: int | None = None


class Limits(BaseSection):
    """How far a column may be from `sources/<p>/reference.json`, by PSI, by KS distance, or by both."""

    psi: float | None = Field(default=None, gt=0)
    ks: float | None = Field(default=None, gt=0, le=1)
    severity: Severity = "fail"

    @model_validator(mode="after")
    def some(self) -> "Limits":
        if self.psi is None and self.ks is None:
            raise ValueError("at least one limit, such as {psi: 0.2} or {ks: 0.1}")
        return self


class Drift(BaseSection):
    """`default` holds for numbers, categories, booleans and texts; times, ids and pictures are named to be held."""

    default: Limits | None = None
    columns: dict[str, Limits] = Field(default={})


class Freshness(BaseSection):
    """The newest value of `column` is at most `max_age_days` older than `as_of`, and not newer.

    `as_of` is a date (the start of that day, UTC), `now` (the moment that INGOT_NOW gives, never the clock: an out
    must not depend on it), or `data` (the newest moment of the table's other timestamp columns).
    """

    column: str
    max_age_days: float = Field(ge=0)
    as_of: str
    severity: Severity = "fail"

    @field_validator("as_of", mode="before")
    @classmethod
    def moment(cls, value: Any) -> Any:
        value = value.isoformat() if isinstance(value, date) else value
        if value not in ("now", "data"):
            try:
                date.fromisoformat(str(value)[:10])
            except ValueError:
                raise ValueError("now, data, or a date such as 2011-12-10") from None
        return value


class Section(BaseSection):
    """`max_missing`: largest share of rows without a value, by column or `default`."""

    rows: Rows = Rows()
    max_missing: dict[str, float] = Field(default={"default": 0.95})
    min_class_share: float = Field(default=0.01, ge=0, le=1)  # of each class of a category target
    expect: list[dict[str, dict[str, Any]]] = Field(default=[])
    drift: Drift = Drift()
    freshness: Freshness | None = None
    failing_rows: int = Field(default=100, ge=0, le=10_000)  # kept of each expectation in failing.parquet

    @field_validator("expect")
    @classmethod
    def one_each(cls, expect: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(len(item) != 1 for item in expect):
            raise ValueError("a list of {expect_…: {arguments}}, one name an item")
        for item in expect:
            for kind, arguments in item.items():
                if arguments.get("severity", "fail") not in ("fail", "warn"):
                    raise ValueError(f"severity fail or warn for {kind}, not {arguments['severity']!r}")
        return expect


def check(contract: Contract) -> None:
    """Raise ContractError where the section names a column that is not declared, or asks of it what it has not."""
    section, path = contract.section("validate", Section), f"{contract.pipeline}.validate"
    named = {f"max_missing.{name}": name for name in section.max_missing if name != "default"}
    named |= {f"drift.columns.{name}": name for name in section.drift.columns}
    if section.freshness:
        named["freshness.column"] = section.freshness.column
    mistakes = [
        f"{path}.{key} {'is ' + repr(name) + ', ' if key.startswith('freshness') else 'is '}not a declared column."
        f"{suggest(name, contract.columns)}"
        for key, name in named.items()
        if name not in contract.columns
    ]
    if not mistakes:
        mistakes = [*check_drift(section.drift, contract.columns, path), *check_freshness(section, contract, path)]
    if mistakes:
        raise ContractError("\n".join(mistakes))


def check_drift(drift: Drift, columns: Mapping[str, Any], path: str) -> list[str]:
    found = []
    for name, limits in drift.columns.items():
        if limits.ks is not None and columns[name].type not in ORDERED:
            found.append(
                f"{path}.drift.columns.{name}.ks: a {columns[name].type} has no order, so no KS distance; use psi"
            )
        if is_personal(columns[name]):
            found.append(
                f"{path}.drift.columns.{name}: the column is personal, and the reference holds no personal value"
            )
    return found


def check_freshness(section: Section, contract: Contract, path: str) -> list[str]:
    if section.freshness is None:
        return []
    times = [name for name, column in contract.columns.items() if column.type == "timestamp"]
    if section.freshness.column not in times:
        kind = contract.columns[section.freshness.column].type
        return [f"{path}.freshness.column is a {kind}; expected a timestamp: {', '.join(times) or 'none is declared'}"]
    if section.freshness.as_of == "data" and len(times) < 2:
        return [
            f"{path}.freshness.as_of is data, but {times[0]} is the only timestamp; give a date, such as "
            "2011-12-10, or now"
        ]
    return []


def limits_of(name: str, column: Any, drift: Drift) -> Limits | None:
    """The limits that a column is held to, if any."""
    if name in drift.columns:
        return drift.columns[name]
    if drift.default is None or column.type not in BY_DEFAULT or is_personal(column):
        return None
    if column.type in ORDERED or drift.default.psi is not None:
        ks = drift.default.ks if column.type in ORDERED else None
        return drift.default.model_copy(update={"ks": ks})
    return None
