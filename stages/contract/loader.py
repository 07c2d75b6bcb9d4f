"""A params.yaml in, one pipeline's contract out.

YAML 1.2, as DVC reads it (ruamel.yaml): `1e-3` is a number and `no` is a word. Every key that a
stage reads is noted in `HANDED_OUT`, so a test can hold dvc.yaml's `params:` against reality.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
OPTIONAL = ("tune",)  # sections of tools beside the stages
SECTIONS = (*STAGES[:2], "columns", *STAGES[2:8], "decide", *STAGES[8:])
MAX_PARAMS_BYTES = 1 << 20
HANDED_OUT: set[str] = set()  # written here, read by that test alone
MAX_PARAMS_VALUES = 1 << 20  # with every alias written out
RESERVED = (
    *("outputs", "probabilities", "decision", "expected_value", "prediction", "low", "high", "items", "scores"),
    *("_group", "_rules", "_as_of"),
)
RESERVED_PREFIXES = ("encoded.", "net/", "decide/", "/")

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Contract:
    """What one pipeline declares. `raw` is its mapping in params.yaml, as read."""

    pipeline: str
    raw: Mapping[str, Any]

    def get(self, key: str) -> Any:
        """The raw value at a dotted key below the pipeline, noted as handed out."""
        value: Any = self.raw
        for depth, part in enumerate(key.split("."), 1):
            if not isinstance(value, Mapping) or part not in value:
                missing = ".".join([self.pipeline, *key.split(".")[:depth]])
                known = value if isinstance(value, Mapping) else {}
                raise ContractError(
                    f"{missing} is missing.{suggest(part, known)} Add it to params.yaml; an empty section is {{}}"
                )
            value = value[part]
        HANDED_OUT.add(f"{self.pipeline}.{key}")
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
        examples = self._examples
        if not examples.get("derive"):
            if examples.get("columns"):
                raise ContractError(
                    f"{self.pipeline}.examples.columns is given without {self.pipeline}.examples.derive; declare "
                    f"them in {self.pipeline}.columns"
                )
            return self.columns
        if not examples.get("columns"):
            raise ContractError(
                f"{self.pipeline}.examples.derive is given without {self.pipeline}.examples.columns; declare each "
                "column that the query returns"
            )
        return self._columns("examples.columns", examples["columns"])

    @cached_property
    def target(self) -> Target:
        """What is to be predicted; its column is declared among the example columns."""
        raw = self._examples.get("target")
        if raw is None:
            raise ContractError(
                f"{self.pipeline}.examples.target is missing; declare it as {{column: <name>, type: category}}"
            )
        target = parse(Target, raw, f"{self.pipeline}.examples.target")
        named = {"column": target.column, "weight": target.weight, "history": target.history}
        if isinstance(target.soft, dict):
            named |= {f"soft.{name}": column for name, column in target.soft.items()}
        for key, column in named.items():
            if column is not None and column not in self.example_columns:
                raise ContractError(
                    f"{self.pipeline}.examples.target.{key} is {column!r}, which is not "
                    f"declared.{suggest(column, self.example_columns)} Declared: {', '.join(self.example_columns)}"
                )
        return target

    @cached_property
    def item_columns(self) -> dict[str, Any]:
        """The columns of each item that a ranking ranks; most rankings have none."""
        items = self.target.items
        return self._columns("examples.target.items.columns", items.columns) if items else {}

    @property
    def input_columns(self) -> dict[str, Any]:
        """The example columns that a model may see: not the target, no ids, none marked `input: false`."""
        found = {
            name: column
            for name, column in self.example_columns.items()
            if name not in (*self.target.columns, self.target.weight) and column.type != "id" and column.input
        }
        for name in found:
            if name in RESERVED or name.startswith(RESERVED_PREFIXES):
                raise ContractError(
                    f"{self.pipeline}: a model's input cannot be named {name!r}, which its graph uses itself. "
                    "Rename the column in ingest or derive"
                )
        return found

    @property
    def _examples(self) -> Mapping[str, Any]:
        examples = self.get("examples")
        if not isinstance(examples, Mapping):
            raise ContractError(f"{self.pipeline}.examples is {show(examples)}; expected a mapping with a target")
        return examples

    def _columns(self, key: str, raw: Any) -> dict[str, Any]:
        path = f"{self.pipeline}.{key}"
        if not isinstance(raw, Mapping) or not raw:
            raise ContractError(f"{path} is {show(raw)}; expected a mapping of column names to {{type: …}}")
        declared, mistakes = {}, []
        for name, column in raw.items():
            try:
                declared[str(name)] = declare(f"{path}.{name}", column)
            except ContractError as error:
                mistakes.append(str(error))
        if mistakes:
            raise ContractError("\n".join(mistakes))
        return declared


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
        num_values = count_values(content, {})
    except YAMLError as error:
        raise ContractError(f"{path} is not valid YAML: {error}") from None
    except RecursionError:
        raise ContractError(f"{path} is nested too deeply, or holds an alias of itself") from None
    if num_values > MAX_PARAMS_VALUES:
        raise ContractError(
            f"{path} stands for more than {MAX_PARAMS_VALUES} values; its aliases multiply. Write them out"
        )
    if not isinstance(content, dict):
        raise ContractError(f"{path} is {show(content)}; expected a mapping of pipelines to their sections")
    return content


def count_values(value: Any, known: dict[int, int]) -> int:
    """How many values there are with every alias written out. Raises RecursionError on an alias of itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(count_values(part, known) for part in parts)
    return known[id(value)]


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
        if name not in (known_sections := (*SECTIONS, *OPTIONAL)):
            raise ContractError(
                f"{pipeline}.{name} is not a known section.{suggest(str(name), known_sections)} Allowed: "
                f"{', '.join(known_sections)}"
            )
    return Contract(pipeline, raw)
