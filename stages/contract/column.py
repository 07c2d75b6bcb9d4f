"""What every column may declare, whatever its type."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from stages.contract.section import Section

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


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
        """The column as `serving/prepare.py` and a bundle's contract.json want it."""
        return {"name": name, **self.model_dump(exclude={"input", "personal"}, exclude_none=True)}
