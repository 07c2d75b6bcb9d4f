"""`<pipeline>.clean` in, its typed settings out."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stages.contract import Contract
from stages.contract.section import Section as BaseSection
from stages.core.errors import ContractError, suggest

WHOLE = ("malformed", "duplicate_key", "contradiction")  # rules that no single column has


class Key(BaseSection):
    """Records with equal values in `columns` are one thing: one is kept, the others are rejected or merged."""

    columns: list[str] = Field(min_length=1)
    keep: Literal["first", "last"] = "first"
    then: Literal["reject", "merge", "report"] = "reject"

    @field_validator("columns", mode="before")
    @classmethod
    def listed(cls, columns: Any) -> Any:
        return [columns] if isinstance(columns, str) else columns


class Near(BaseSection):
    """Texts that share most of their trigrams, or pictures whose perceptual hashes are close (stages/duplicates)."""

    column: str
    similarity: float | None = Field(default=None, gt=0, le=1)
    then: Literal["report", "merge"] = "report"


class Outliers(BaseSection):
    """Beyond `iqr` interquartile ranges from the quartiles (Tukey's fences), of all sound values of the column."""

    iqr: float = Field(default=3.0, gt=0)
    then: Literal["report", "reject"] = "report"


class Section(BaseSection):
    """`max_rejected`: the largest share of records that a rule may reject, as {Column.rule: share}.

    `duplicates`: records that are equal in every declared column are kept, or merged into the first.
    `contradictions`: records with equal inputs and another label are reported, or rejected.
    `corrections` is a CSV or Parquet file in sources/<pipeline>, made from rejects.parquet.
    """

    max_rejected: dict[str, float] = Field(default={"default": 0.01})
    duplicates: Literal["keep", "merge"] = "keep"
    key: Key | None = None
    near: list[Near] = []
    contradictions: Literal["report", "reject"] = "report"
    outliers: dict[str, Outliers] = {}
    corrections: str | None = None

    @field_validator("max_rejected")
    @classmethod
    def shares(cls, limits: dict[str, float]) -> dict[str, float]:
        for rule, share in limits.items():
            if not 0 <= share <= 1:
                raise ValueError(f"a share between 0 and 1 for {rule!r}")
        return {"default": 0.01, **limits}

    @model_validator(mode="after")
    def bare_name(self) -> "Section":
        if self.corrections and ("/" in self.corrections or not self.corrections.endswith((".csv", ".parquet"))):
            raise ValueError(
                f"corrections as the name of a .csv or .parquet file in sources/; found {self.corrections!r}"
            )
        return self


def check(contract: Contract) -> None:
    """Raise ContractError where a setting names what is not declared."""
    section, path, columns = contract.section("clean", Section), f"{contract.pipeline}.clean", contract.columns
    for rule in section.max_rejected:
        column = rule.rpartition(".")[0]
        if rule not in ("default", *WHOLE) and column not in columns:
            rules = [*(f"{name}.required" for name in columns), *WHOLE]
            raise ContractError(
                f"{path}.max_rejected.{rule} is no rule: rules are written Column.rule, "
                f"such as {rules[0]}.{suggest(rule, rules)}"
            )
    named = [
        *((f"{path}.key.columns", name, None) for name in (section.key.columns if section.key else ())),
        *((f"{path}.near", item.column, ("text", "image")) for item in section.near),
        *((f"{path}.outliers", name, ("number",)) for name in section.outliers),
    ]
    for where, name, types in named:
        if name not in columns:
            raise ContractError(
                f"{where} names {name!r}, which is not declared.{suggest(name, columns)} Declared: {', '.join(columns)}"
            )
        if types and columns[name].type not in types:
            raise ContractError(
                f"{where} names {name!r}, a {columns[name].type}; expected a {' or '.join(types)} column"
            )


def contradiction_keys(contract: Contract) -> tuple[list[str], str] | None:
    """The input columns and the label whose disagreement is a contradiction; none where examples are derived."""
    if contract.example_columns is not contract.columns:
        return None
    target = contract.target.column
    if contract.columns[target].type not in ("category", "boolean"):
        return None
    return [name for name in contract.columns if name in contract.input_columns], target
