"""A params.yaml in, one pipeline's contract out.

YAML 1.2, as DVC reads it (ruamel.yaml): `1e-3` is a number and `no` is a word. Every key that a
stage reads is noted in `Contract.used`, so a test can hold dvc.yaml's `params:` against reality.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from stages.contract.section import Section, parse, show
from stages.contract.target import Target
from stages.core.errors import ContractError, suggest

STAGES = (
    "fetch",
    "ingest",
    "clean",
    "validate",
    "examples",
    "features",
    "train",
    "evaluate",
    "compress",
    "assay",
    "package",
)
SECTIONS = (*STAGES[:2], "columns", *STAGES[2:8], "decide", *STAGES[8:])
MAX_PARAMS_BYTES = 1 << 20

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Contract:
    """What one pipeline declares. `raw` is its mapping in params.yaml, as read."""

    pipeline: str
    raw: Mapping[str, Any]
    used: set[str] = field(default_factory=set, compare=False)

    def get(self, key: str) -> Any:
        """The raw value at a dotted key below the pipeline, noted as used."""
        value: Any = self.raw
        for depth, part in enumerate(key.split("."), 1):
            if not isinstance(value, Mapping) or part not in value:
                missing = ".".join([self.pipeline, *key.split(".")[:depth]])
                known = value if isinstance(value, Mapping) else {}
                raise ContractError(
                    f"{missing} is missing.{suggest(part, known)} Add it to params.yaml; an empty section is {{}}"
                )
            value = value[part]
        self.used.add(f"{self.pipeline}.{key}")
        return value

    def section(self, name: str, kind: type[S]) -> S:
        """The section `name`, typed. Raises ContractError on unknown keys and wrong types."""
        return parse(kind, self.get(name), f"{self.pipeline}.{name}")

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The columns of one record, by name: `stages.columns.<type>.Column` objects."""
        return self._columns("columns", self.get("columns"))

    @cached_property
    def example_columns(self) -> dict[str, Any]:
        """The columns of one example: those that `derive` makes, or else those of a record."""
        examples = self.get("examples")
        if not examples.get("derive"):
            if examples.get("columns"):
                raise ContractError(
                    f"{self.pipeline}.examples.columns is given without {self.pipeline}.examples.derive; declare them in {self.pipeline}.columns"
                )
            return self.columns
        if not examples.get("columns"):
            raise ContractError(
                f"{self.pipeline}.examples.derive is given without {self.pipeline}.examples.columns; declare each column that the query returns"
            )
        return self._columns("examples.columns", examples["columns"])

    @cached_property
    def target(self) -> Target:
        """What is to be predicted; its column is declared among the example columns."""
        raw = self.get("examples").get("target")
        if raw is None:
            raise ContractError(
                f"{self.pipeline}.examples.target is missing; declare it as {{column: <name>, type: category}}"
            )
        target = parse(Target, raw, f"{self.pipeline}.examples.target")
        if target.column not in self.example_columns:
            declared = ", ".join(self.example_columns)
            raise ContractError(
                f"{self.pipeline}.examples.target.column is {target.column!r}, which is not declared.{suggest(target.column, self.example_columns)} Declared: {declared}"
            )
        return target

    @property
    def input_columns(self) -> dict[str, Any]:
        """The example columns that a model may see: not the target, no ids, none marked `input: false`."""
        return {
            name: column
            for name, column in self.example_columns.items()
            if name != self.target.column and column.type != "id" and column.input
        }

    def _columns(self, key: str, raw: Any) -> dict[str, Any]:
        path = f"{self.pipeline}.{key}"
        if not isinstance(raw, Mapping) or not raw:
            raise ContractError(f"{path} is {show(raw)}; expected a mapping of column names to {{type: …}}")
        return {str(name): declare(f"{path}.{name}", column) for name, column in raw.items()}


def declare(path: str, raw: Any) -> Any:
    """One column's declaration, typed by the module of `stages/columns/` that its `type` names."""
    if not isinstance(raw, Mapping) or "type" not in raw:
        raise ContractError(
            f"{path} is {show(raw)}; expected a mapping with a type: {{type: {' | '.join(seam('columns'))}}}"
        )
    module = choose("columns", raw["type"], f"{path}.type")
    return parse(module.Column, raw, path)


def seam(folder: str) -> list[str]:
    """The names that a folder of like-shaped modules offers, found by looking."""
    here = Path(__file__).parent.parent / folder
    return sorted(path.stem for path in here.glob("*.py") if not path.stem.startswith("_"))


def choose(folder: str, name: Any, path: str) -> ModuleType:
    """The module `stages/<folder>/<name>.py`. Raises ContractError naming those that exist."""
    if name not in seam(folder):
        raise ContractError(
            f"{path} is {show(name)}; expected one of {', '.join(seam(folder))}.{suggest(str(name), seam(folder))}"
        )
    return import_module(f"stages.{folder}.{name}")


def read(path: Path) -> dict[str, Any]:
    """The whole of params.yaml as plain mappings, lists and scalars."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.exists():
        raise ContractError(f"{path} does not exist. Run from the project's root, or name it with --params")
    with path.open("rb") as file:
        text = file.read(MAX_PARAMS_BYTES + 1)
    if len(text) > MAX_PARAMS_BYTES:
        raise ContractError(
            f"{path} is larger than {MAX_PARAMS_BYTES} bytes; data belongs in sources/, not in parameters"
        )
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ContractError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ContractError(f"{path} is {show(content)}; expected a mapping of pipelines to their sections")
    return content


def load(path: Path, pipeline: str) -> Contract:
    """One pipeline's contract. Sections are typed when a stage asks for them."""
    content = read(path)
    if not isinstance(content.get(pipeline), Mapping):
        known = ", ".join(str(name) for name in content if name != "pipelines")
        raise ContractError(
            f"{path} has no section {pipeline!r}.{suggest(pipeline, map(str, content))} It has: {known}"
        )
    raw = content[pipeline]
    for name in raw:
        if name not in SECTIONS:
            raise ContractError(
                f"{pipeline}.{name} is not a known section.{suggest(str(name), SECTIONS)} Allowed: {', '.join(SECTIONS)}"
            )
    return Contract(pipeline, raw)
