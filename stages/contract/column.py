"""What every column may declare, whatever its type."""

from typing import Any

from stages.contract.section import Section

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


class BaseColumn(Section):
    """Parent of each `stages/columns/<type>.py`'s Column: the keys that all types share."""

    type: str
    required: bool = False
    missing: list[str] = MISSING  # spellings of "no value", matched after trimming
    input: bool = True  # false: kept in the table, hidden from models

    def describe(self, name: str) -> dict[str, Any]:
        """The column as `serving/prepare.py` and a bundle's contract.json want it."""
        return {"name": name, **self.model_dump(exclude={"input"}, exclude_none=True)}
