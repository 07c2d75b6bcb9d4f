"""`<pipeline>.tune` in, typed ranges over `<pipeline>.train` out, each end of each held against what train allows."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

from pydantic import Field, model_validator

from stages.contract import Contract
from stages.contract.section import Section, parse
from stages.core.errors import ContractError, suggest
from stages.training import Train, options_of
from stages.training.auto import AUTO


class Range(Section):
    """Numbers between two ends. `log`: an equal chance for each factor; `step`: from the low end on."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"a low end below the high one; found {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a low end above 0 and no step where log is true")
        return self


class Tune(Section):
    """`ranges`: keys of train, such as options.dropout, each a list of choices or {low, high}. `metric` is evaluate's
    unless another one is declared; `trials` and `seconds` end the search, whichever is first.
    """

    ranges: dict[str, Any] = Field(min_length=1)
    trials: int = Field(default=30, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    metric: str | None = None
    pruner: Literal["median", "hyperband", "none"] = "median"
    seed: int = Field(default=0, ge=0)


Ranges = Mapping[str, Range | list[Any]]


def ranges_of(section: Tune, path: str) -> Ranges:
    return {name: range_of(raw, f"{path}.ranges.{name}") for name, raw in section.ranges.items()}


def range_of(raw: Any, path: str) -> Range | list[Any]:
    if isinstance(raw, list):
        if len(raw) < 2:
            raise ContractError(f"{path} is {raw}; expected two choices or more")
        return list(raw)
    return parse(Range, raw, path)


def apply(raw: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A train section, as read, with some dotted keys set."""
    found: dict[str, Any] = deepcopy(dict(raw))
    for name, value in values.items():
        inside = found
        *folders, last = name.split(".")
        for folder in folders:
            if not isinstance(inside.setdefault(folder, {}), dict):
                raise ContractError(f"{name} is no key of train: {folder} holds no keys")
            inside = inside[folder]
        inside[last] = value
    return found


def train_of(raw: Mapping[str, Any], values: Mapping[str, Any], path: str) -> Train:
    """The typed section with these values. Raises ContractError where train does not allow them."""
    train = parse(Train, apply(raw, values), path)
    options_of(train.model, train.options, path)
    return train


def present(train: Train, name: str) -> Any:
    """What a key is now: declared, or its default."""
    _, options = options_of(train.model, train.options, "train")
    found: Any = {**train.model_dump(), "options": options.model_dump()}
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def takes_fractions(raw: Mapping[str, Any], name: str, of: Range) -> bool:
    """Whether a key may be 0.5 off its whole number: epochs may not, a dropout may."""
    middle = of.low + 0.37 * (of.high - of.low)
    fraction = middle if middle != int(middle) else middle + 1e-3
    try:
        train_of(raw, {name: float(fraction)}, "train")
    except ContractError:
        return False
    return True


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.tune`."""
    path, raw = f"{contract.pipeline}.tune", contract.get("train")
    section = parse(Tune, contract.raw["tune"], path)
    if isinstance(raw, Mapping) and raw.get("model") == AUTO:
        raise ContractError(f"{path} searches the settings of one model, and train.model is auto. Name a model there")
    train = train_of(raw, {}, f"{contract.pipeline}.train")
    module, _ = options_of(train.model, train.options, f"{contract.pipeline}.train")
    mistakes = []
    for name, of in ranges_of(section, path).items():
        if name == "model" or (not hasattr(module, "build") and not name.startswith("options.")):
            mistakes.append(
                f"{path}.ranges.{name} has no effect on the model {train.model!r}; search its options, such as "
                f"options.{next(iter(module.Options.model_fields), '<name>')}"
            )
            continue
        for value in of if isinstance(of, list) else (of.low, of.high):
            try:
                train_of(raw, {name: value}, f"{path}.ranges")
            except ContractError as error:
                mistakes += str(error).splitlines()
                break
    metrics = contract_metrics(contract)
    if section.metric is not None and section.metric not in metrics:
        known = ", ".join(metrics)
        mistakes.append(f"{path}.metric is {section.metric!r}.{suggest(section.metric, metrics)} There are {known}")
    if mistakes:
        raise ContractError("\n".join(mistakes))


def contract_metrics(contract: Contract) -> tuple[str, ...]:
    from stages.targets import target_module

    found: tuple[str, ...] = target_module(contract.target).METRICS
    return found
