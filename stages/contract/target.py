"""What is to be predicted, as declared."""

from typing import Literal

from stages.contract.section import Section


class Target(Section):
    """`examples.target`. `positive` names the class that scores such as F1 look for (two classes)."""

    column: str
    type: Literal["category"] = "category"
    positive: str | None = None
