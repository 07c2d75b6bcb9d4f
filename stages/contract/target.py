"""What is to be predicted, as declared."""

from typing import Any, Literal

from pydantic import Field, model_validator

from stages.contract.section import Section

OF_TYPE = {  # keys that only one type of target has
    "positive": "category",
    "soft": "category",
    "class_weight": "category",
    "loss": "number",
    "interval": "number",
    "history": "ranking",
    "top": "ranking",
    "seen": "ranking",
    "min_count": "ranking",
    "items": "ranking",
}


class Items(Section):
    """`target.items`: what is known of each item. `derive` is a query over the records that a training row may know;
    it gives one row an item: its id in the column `key`, and `columns`, declared as those of an example are."""

    derive: str
    key: str
    columns: dict[str, Any] = Field(min_length=1)


class Target(Section):
    """`examples.target`: a `column`, and of which type it is.

    Every type: `weight` is a number column, how much a row counts in training and in scores.

    category: `positive` names the class that scores such as F1 look for (two classes). `soft` says that labels are
    shares: [sound, defective] where `column` holds the share of the second, or {cat: p_cat, dog: p_dog} with a
    column a class. `class_weight` makes classes count more in training: `balanced`, or {class: weight}.

    number: `loss` says what the point is: the mean (`squared`), the median (`absolute`), or between them (`huber`).
    `interval` is the share of true values that the predicted interval is to hold.

    ranking: `column` holds the next items of a row, `history` its past ones. The `top` best are answered; items of
    the history are never among them where `seen` is `mask`, and then only new ones count as next. What stands in at
    least `min_count` training rows, past or next, is the catalogue: what can be answered, and what a history knows.
    `items` gives the items columns of their own.
    """

    column: str
    type: Literal["category", "number", "ranking"] = "category"
    weight: str | None = None
    positive: str | None = None
    soft: list[str] | dict[str, str] | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    loss: Literal["squared", "absolute", "huber"] = "squared"
    interval: float = Field(default=0.9, gt=0, lt=1)
    history: str | None = None
    top: int = Field(default=20, ge=10, le=1000)  # scores are of the first ten
    seen: Literal["mask", "keep"] = "mask"
    min_count: int = Field(default=1, ge=1)
    items: Items | None = None

    @property
    def columns(self) -> list[str]:
        """All columns that say what is true: they are no inputs."""
        return list(dict.fromkeys([self.column, *(self.soft.values() if isinstance(self.soft, dict) else ())]))

    @model_validator(mode="after")
    def consistent(self) -> "Target":
        for key in sorted(self.model_fields_set & set(OF_TYPE)):
            if OF_TYPE[key] != self.type:
                raise ValueError(f"no {key} beside type: {self.type}; it belongs to type: {OF_TYPE[key]}")
        if self.type == "ranking" and self.history is None:
            raise ValueError("a history beside type: ranking, the column of a row's past items")
        if isinstance(self.soft, list) and len(set(self.soft)) != 2:
            raise ValueError(f"soft as two class names, such as [sound, defective]; found {self.soft}")
        if isinstance(self.soft, dict) and self.column not in self.soft.values():
            raise ValueError(f"soft with {self.column!r}, the target's column, among its columns")
        if isinstance(self.class_weight, dict) and min(self.class_weight.values(), default=0) <= 0:
            raise ValueError(f"class weights above 0; found {self.class_weight}")
        return self
