"""`<pipeline>.examples` in, its typed section out, checked against the rest of the contract."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stages.contract import Contract
from stages.contract.section import Section as BaseSection
from stages.contract.target import Items
from stages.core.errors import ContractError, suggest
from stages.duplicates import near

AS_OF = "_as_of"  # the column that says at which date a derived row was made
TARGETS = {"category": ("category", "boolean"), "number": ("number",), "ranking": ("items",)}
ITEM_TYPES = ("boolean", "category", "items", "number", "text", "timestamp")  # what features.json holds as numbers
Found = Literal["block", "drop", "together"]


class AsOf(BaseSection):
    """The cut-offs: the last is the midnight before the data's last day, less `days_before_end`; the others
    lie `every_days` before one another, `count` in all. `horizon_days`: how far labels look ahead of theirs."""

    time: str
    days_before_end: int = Field(ge=0)
    every_days: int | None = Field(default=None, ge=1)
    count: int = Field(default=1, ge=1)
    horizon_days: int | None = Field(default=None, ge=0)  # days_before_end, unless given

    @property
    def horizon(self) -> int:
        return self.days_before_end if self.horizon_days is None else self.horizon_days

    @model_validator(mode="after")
    def complete(self) -> "AsOf":
        if (self.count > 1) != (self.every_days is not None):
            raise ValueError("every_days and count (2 or more) together, such as {every_days: 30, count: 4}")
        if self.horizon > self.days_before_end:
            raise ValueError("horizon_days no larger than days_before_end: later labels are not known yet")
        return self


class Split(BaseSection):
    """`by`: hash of each row, group (rows with equal `key` stay together), time (the newest are the test; with a
    `key` no group crosses either), an official column, or stratified (each class has the same share everywhere).

    `test_where: {column: value}`: rows with such a value are all test, beside the test share of the others: what
    is new of a kind, such as another speaker, where a random test knows them all.
    """

    by: Literal["hash", "group", "time", "official", "stratified"] = "hash"
    key: list[str] | str = []
    column: str | None = None
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, ge=0, lt=1)
    test_from: datetime | None = None
    validation_from: datetime | None = None
    gap_days: int | None = Field(default=None, ge=0)
    test_where: dict[str, str] = {}
    seed: int = Field(default=0, ge=0)

    @property
    def keys(self) -> list[str]:
        return [self.key] if isinstance(self.key, str) else self.key

    @field_validator("test_from", "validation_from", mode="before")
    @classmethod
    def moment(cls, value: Any) -> Any:
        """YAML gives a date where one is written plainly, and a word where it is quoted."""
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError("a date such as 2011-09-01") from None
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
        return value

    @model_validator(mode="after")
    def complete(self) -> "Split":
        if self.by == "group" and not self.keys:
            raise ValueError("a key beside by: group, such as key: CustomerID")
        if self.by == "official" and not self.column:
            raise ValueError("a column beside by: official, whose values are train and test, or all three")
        if self.column and self.by not in ("official", "time"):
            raise ValueError(f"no column beside by: {self.by}; a column is for by: official and by: time")
        if self.by != "time" and any(x is not None for x in (self.test_from, self.validation_from, self.gap_days)):
            raise ValueError("by: time beside test_from, validation_from or gap_days")
        if self.test_where and self.by in ("official", "time"):
            raise ValueError(f"no test_where beside by: {self.by}, which says itself what the test is")
        if self.validation_from and not self.test_from:
            raise ValueError("a test_from beside validation_from")
        if self.test_from and self.validation_from and self.validation_from >= self.test_from:
            raise ValueError("a validation_from before test_from")
        if self.by != "official" and self.validation + self.test >= 1:
            raise ValueError("validation and test shares that leave rows to train on")
        return self


class Near(BaseSection):
    """Values of `column` (text or image) that are at least `similarity` alike; `then`, as for duplicates."""

    column: str
    similarity: float | None = Field(default=None, gt=0, le=1)
    then: Found = "block"


class Groups(BaseSection):
    """Rows with equal values in `key`; `then`, as for duplicates."""

    key: list[str] | str
    then: Found = "block"

    @property
    def keys(self) -> list[str]:
        return [self.key] if isinstance(self.key, str) else self.key


class Leaks(BaseSection):
    """`duplicates`: equal inputs on two sides of a split `block`, are dropped from the earlier side (train before
    validation before test), or are kept together from the start. Near duplicates and groups likewise."""

    duplicates: Found = "block"
    near: Near | None = None
    groups: Groups | None = None
    max_column_score: float = Field(default=0.99, gt=0, le=1)  # of one column alone, see `judge.column_score`


class Section(BaseSection):
    """`columns` and `target` are read by the contract itself."""

    target: dict[str, Any]
    derive: str | None = None
    as_of: AsOf | None = None
    columns: dict[str, Any] = {}
    split: Split = Split()
    leaks: Leaks = Leaks()

    @property
    def time(self) -> str | None:
        """The column that `by: time` goes by."""
        return self.split.column or (AS_OF if self.as_of else None)


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.examples`."""
    section, path = contract.section("examples", Section), f"{contract.pipeline}.examples"
    columns = contract.example_columns
    for where, name in named_columns(section):
        if name not in columns and not (name == AS_OF and section.as_of):
            raise ContractError(
                f"{path}.{where} is {name!r}, which is not declared.{suggest(name, columns)} Declared: "
                f"{', '.join(columns)}"
            )
    check_target(contract, path)
    if not contract.input_columns:
        raise ContractError(f"{path} leaves no column for the model to see: all are ids, the target, or input: false")
    if section.as_of and section.as_of.time not in contract.columns:
        raise ContractError(
            f"{path}.as_of.time is {section.as_of.time!r}, which {contract.pipeline}.columns does not "
            f"declare.{suggest(section.as_of.time, contract.columns)}"
        )
    if section.leaks.near:
        near.module_of(columns[section.leaks.near.column], f"{path}.leaks.near.column {section.leaks.near.column}")
    check_split(section, columns, path)


def named_columns(section: Section) -> list[tuple[str, str]]:
    """Where a column is named, and its name."""
    found = [("split.key", key) for key in section.split.keys]
    found += [("split.column", section.split.column)] if section.split.column else []
    found += [("split.test_where", name) for name in section.split.test_where]
    found += [("leaks.near.column", section.leaks.near.column)] if section.leaks.near else []
    found += [("leaks.groups.key", key) for key in section.leaks.groups.keys] if section.leaks.groups else []
    return found


def check_target(contract: Contract, path: str) -> None:
    target = contract.target
    column = contract.example_columns[target.column]
    numeric = [*(target.columns if target.soft else ()), *([target.weight] if target.weight else ())]
    for name in numeric:
        if contract.example_columns[name].type != "number":
            raise ContractError(
                f"{path}.target names {name!r} as {'the weight of rows' if name == target.weight else 'a soft label'}, "
                f"and it is a {contract.example_columns[name].type}; expected a number column"
            )
    if not target.soft and column.type not in TARGETS[target.type]:
        other = next((kind for kind, types in TARGETS.items() if column.type in types), None)
        hint = (
            f" Declare target: {{column: {target.column}, type: {other}}}, or change the column's type" if other else ""
        )
        raise ContractError(
            f"{path}.target.column {target.column!r} is a {column.type}; a {target.type} target needs a column of type "
            f"{' or '.join(TARGETS[target.type])}.{hint}"
        )
    if target.history is not None:
        check_history(contract, target.history, path)
    if target.items is not None:
        check_items(contract, target.items, f"{path}.target.items")
    values = getattr(column, "values", None)
    if target.positive is not None and values and target.positive not in values:
        hint = suggest(target.positive, values)
        raise ContractError(f"{path}.target.positive is {target.positive!r}.{hint} Declared: {', '.join(values)}")


def check_history(contract: Contract, history: str, path: str) -> None:
    found = contract.example_columns[history]
    if found.type != "items" or history not in contract.input_columns:
        what = f"a {found.type}" if found.type != "items" else "the target itself, or input: false"
        raise ContractError(
            f"{path}.target.history is {history!r}, which is {what}; expected an items column that models see"
        )


def check_items(contract: Contract, items: Items, path: str) -> None:
    section, columns = contract.section("examples", Section), contract.item_columns
    if section.derive and not section.as_of:
        raise ContractError(
            f"{path} is declared without {contract.pipeline}.examples.as_of, so nothing says which records are known "
            f"before validation begins. Declare as_of, or leave items out"
        )
    if items.key in columns:
        raise ContractError(
            f"{path}.key {items.key!r} is one of {path}.columns; it is the item's id. Take it out there"
        )
    for name, column in columns.items():
        if name in contract.example_columns:
            raise ContractError(
                f"{path}.columns.{name} is the name of a column of a row too, and features.by_column could not tell "
                f"them apart. Rename it, to item_{name} say, in {items.derive}"
            )
        if column.type not in ITEM_TYPES:
            raise ContractError(
                f"{path}.columns.{name} is of type {column.type}; expected one of {', '.join(ITEM_TYPES)}"
            )
        if not column.input:
            raise ContractError(f"{path}.columns.{name} says input: false, and items have no other use. Leave it out")


def check_split(section: Section, columns: Any, path: str) -> None:
    """What parts of the section say against one another."""
    split, as_of, leaks = section.split, section.as_of, section.leaks
    if as_of and as_of.count > 1 and split.by not in ("group", "time"):
        raise ContractError(
            f"{path}.as_of.count is {as_of.count}, so one entity has several rows, which by: {split.by} would tear "
            "apart. Split {by: group, key: <the entity's id>}, or {by: time} with or without such a key"
        )
    if split.by == "time" and section.time is None:
        raise ContractError(f"{path}.split.by is time; name its timestamp: column: …")
    if split.by == "time" and section.time != AS_OF and columns[section.time].type != "timestamp":
        raise ContractError(
            f"{path}.split.column {section.time!r} is a {columns[section.time].type}; by: time needs a timestamp"
        )
    if section.time == AS_OF and as_of and split.gap_days is not None and split.gap_days < as_of.horizon:
        raise ContractError(
            f"{path}.split.gap_days is {split.gap_days}, but labels look {as_of.horizon} days ahead: some of train's "
            f"would reach into the test's time. Leave gap_days out, or give at least {as_of.horizon}"
        )
    kinds: dict[str, str | None] = {
        "duplicates": leaks.duplicates,
        "near.then": leaks.near.then if leaks.near else None,
    }
    kinds["groups.then"] = leaks.groups.then if leaks.groups else None
    for name, then in kinds.items():
        if then == "together" and split.by in ("official", "time"):
            raise ContractError(
                f"{path}.leaks.{name} is together, but by: {split.by} says where each row belongs. Use drop or block"
            )
