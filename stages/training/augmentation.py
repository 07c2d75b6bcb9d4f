"""`<pipeline>.train.augment` in, what may happen to each column's training rows out, typed by the column's kind.

A mirrored shoe is a shoe, a mirrored "2" is no number: nothing is done that is not declared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from stages.contract.section import Section, parse
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError, suggest


class Picture(Section):
    flip: bool = False  # mirror half of them, left to right
    shift: int = Field(default=0, ge=0)  # move by up to so many pixels, filling with 0
    scale: float = Field(default=0.0, ge=0, le=0.5)  # grow or shrink by up to this share
    rotate: float = Field(default=0.0, ge=0, le=180)  # turn by up to so many degrees
    brightness: float = Field(default=0.0, ge=0, le=1)  # add up to this share of white, or take it
    contrast: float = Field(default=0.0, ge=0, lt=1)  # multiply by 1 ± up to this
    erase: int = Field(default=0, ge=0)  # side of a square of mean grey (DeVries & Taylor 2017)


class Wave(Section):
    shift: int = Field(default=0, ge=0)  # move by up to so many frames, filling with silence
    mask_bands: int = Field(default=0, ge=0)  # silence up to so many neighbouring bands (Park et al. 2019)
    mask_frames: int = Field(default=0, ge=0)  # and up to so many neighbouring frames


class Entries(Section):
    drop: float = Field(default=0.0, ge=0, lt=1)  # share of entries that go, or are taken as unknown


class Numbers(Section):
    noise: float = Field(default=0.0, ge=0)  # standard deviation of what is added to scaled values


BY_TYPE: dict[str, type[Section]] = {
    "image": Picture, "audio": Wave, "text": Entries, "items": Entries, "category": Entries,
    "number": Numbers, "timestamp": Numbers,
}  # fmt: skip
BY_KIND: dict[str, type[Section]] = {
    "image": Picture, "wave": Wave, "set": Entries, "tokens": Entries, "index": Entries, "dense": Numbers,
}  # fmt: skip
BLENDED = ("image", "audio", "category", "number", "timestamp", "boolean")  # what mixup can take
Raw = Mapping[str, Mapping[str, Any]]
Augment = Mapping[tuple[str, str], Section]  # by the array's name and the column's


def check_augment(raw: Raw, columns: Mapping[str, Any], path: str) -> None:
    """Raise ContractError for what is no input column, or does not suit its type."""
    for name, options in raw.items():
        if name not in columns:
            raise ContractError(
                f"{path}.{name} is not an input column.{suggest(name, columns)} Input columns: {', '.join(columns)}"
            )
        kind = columns[name].type
        if kind not in BY_TYPE:
            raise ContractError(
                f"{path}.{name} is of the type {kind}, which cannot be augmented; types that can: {', '.join(BY_TYPE)}"
            )
        parse(BY_TYPE[kind], options, f"{path}.{name}")


def check_mixup(alpha: float, columns: Mapping[str, Any], path: str) -> None:
    """Raise ContractError where a column cannot be blended with another row's."""
    for name, column in columns.items():
        if alpha and column.type not in BLENDED:
            raise ContractError(
                f"{path} is {alpha}, and the column {name} is of the type {column.type}, which cannot be blended; "
                f"types that can: {', '.join(BLENDED)}. Set it to 0, or declare the column with input: false"
            )


def augment_of(raw: Raw, specs: Sequence[ArraySpec]) -> Augment:
    """The typed options of each declared column in each array that it is part of."""
    return {
        (spec.name, column): parse(BY_KIND[spec.kind], raw[column], f"train.augment.{column}")
        for spec in specs
        for column in raw
        if units_of(spec, column)
    }


def units_of(spec: ArraySpec, column: str) -> list[int]:
    """The places of a column in an array: of a dense one its units, but not the flag of what is missing."""
    own = [unit == column or unit.startswith((f"{column}: ", f"{column} ")) for unit in spec.columns]
    return [i for i, unit in enumerate(spec.columns) if own[i] and not unit.endswith(" is missing")]
