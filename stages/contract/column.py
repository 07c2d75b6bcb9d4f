"""What every column may declare, whatever its type, and how its values are shown where that is personal."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from stages.contract.section import Section

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
MASK = "•••"


def compiles(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str | None, AfterValidator(compiles)]


class BaseColumn(Section):
    """Parent of each `stages/columns/<type>.py`'s Column: the keys that all types share."""

    type: str
    required: bool = False
    missing: list[str] = MISSING  # spellings of "no value", matched after trimming
    input: bool = True  # false: kept in the table, hidden from models
    personal: bool = False  # masked in rejects, reports and logs

    def describe(self, name: str) -> dict[str, Any]:
        """The column as `serving/prepare.py` and a bundle's contract.json want it; `personal` only where it is true."""
        hidden = {"input"} if self.personal else {"input", "personal"}
        return {"name": name, **self.model_dump(exclude=hidden, exclude_none=True)}


def is_personal(column: Any) -> bool:
    return bool(getattr(column, "personal", False))


def personal(columns: Mapping[str, Any]) -> list[str]:
    """The names of the personal ones."""
    return [name for name, column in columns.items() if is_personal(column)]


def shown(column: Any, value: Any) -> Any:
    """A value as reports, logs and errors may show it: a mark where it is personal, and missing where it is missing."""
    return MASK if value is not None and is_personal(column) else value


def shown_classes(column: Any, counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by class as reports may show them: a personal column's classes are numbered, in the order given."""
    return {f"class {i}": count for i, count in enumerate(counts.values(), 1)} if is_personal(column) else dict(counts)


def withheld(error: Exception | str, names: Iterable[str]) -> str:
    """A library's error in words: its type alone where columns are personal (`names`), whose values it may quote."""
    kind, listed = "an error" if isinstance(error, str) else type(error).__name__, ", ".join(names)
    if not listed:
        return error if isinstance(error, str) else f"{kind}: {error}"
    return f"{kind}, whose text is withheld, since it may quote a value of what is personal ({listed})"
