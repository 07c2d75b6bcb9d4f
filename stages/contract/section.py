"""A mapping of params.yaml in, a frozen typed section out, or every mistake in it at once."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.core.errors import ContractError, suggest


class Section(BaseModel):
    """Parent of every typed section: frozen, strict, unknown keys refused, no state of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def parse(section: type[S], value: Any, path: str) -> S:
    """Read `value`, found at `path` (such as 'retail.train'), as a `section`.

    Raises ContractError with one line for each mistake: key path, what was found, what is allowed.
    """
    if not isinstance(value, Mapping):
        keys = ", ".join(names_of(section))
        raise ContractError(f"{path} is {show(value)}; expected a mapping with the keys {keys} (an empty one is {{}})")
    try:
        return section.model_validate(dict(value))
    except ValidationError as error:
        raise ContractError("\n".join(explain(section, problem, path) for problem in error.errors())) from None


def explain(section: type[Section], problem: Any, path: str) -> str:
    where = ".".join([path, *(str(part) for part in problem["loc"])])
    if problem["type"] == "extra_forbidden":
        allowed = fields_at(section, problem["loc"][:-1])
        unknown = str(problem["loc"][-1])
        return f"{where} is not a known key.{suggest(unknown, allowed)} Allowed: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{where} is {show(problem['input'])}; expected {message}"


def fields_at(section: type[Section], location: tuple[Any, ...]) -> list[str]:
    """Names of the keys that are allowed at a nested location of a section."""
    current: Any = section
    for part in location:
        annotation = current.model_fields[part].annotation if part in getattr(current, "model_fields", {}) else None
        nested = [a for a in (annotation, *getattr(annotation, "__args__", ())) if hasattr(a, "model_fields")]
        if not nested:
            break
        current = nested[0]
    return names_of(current)


def names_of(section: Any) -> list[str]:
    """The keys of a section as params.yaml spells them."""
    return [field.alias or name for name, field in getattr(section, "model_fields", {}).items()]


def show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
