"""What is to be predicted, as declared."""

from typing import Literal

from pydantic import model_validator

from stages.contract.section import Section


class Target(Section):
    """`examples.target`. `positive` names the class that scores such as F1 look for (two classes)."""

    column: str
    type: Literal["category", "number"] = "category"
    positive: str | None = None

    @model_validator(mode="after")
    def consistent(self) -> "Target":
        if self.type != "category" and self.positive is not None:
            raise ValueError(f"no positive beside type: {self.type}, which has no classes")
        return self
