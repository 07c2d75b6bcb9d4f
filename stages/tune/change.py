"""New values for keys of a train section in; params.yaml with just these changed, every other byte as it was, out."""

import difflib
from collections.abc import Mapping
from typing import Any

from stages.core.errors import ContractError
from stages.draft.yaml import flow, scalar
from stages.tune.section import apply


def change(text: str, pipeline: str, values: Mapping[str, Any]) -> str:
    """Raises ContractError where the text cannot be changed so that it reads as wanted and all else as before."""
    after = text
    for name, value in values.items():
        after = set_value(after, [pipeline, "train", *name.split(".")], value)
    before = parse(text)
    wanted = {**before, pipeline: {**before[pipeline], "train": apply(before[pipeline]["train"], values)}}
    if parse(after) != wanted:
        listed = ", ".join(f"{name}: {flow(value)}" for name, value in values.items())
        raise ContractError(f"params.yaml could not be changed safely. Set in {pipeline}.train by hand: {listed}")
    return after


def diff(before: str, after: str, name: str) -> str:
    """A unified diff, as `git diff` shows it."""
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def parse(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ContractError(f"params.yaml could not be changed safely: {error}") from None
    return content


def set_value(text: str, path: list[str], value: Any) -> str:
    """Replace the value at a path, or put the rest of the path at the end of the deepest mapping that is there."""
    from ruamel.yaml import YAML

    node = YAML(typ="rt", pure=True).compose(text)
    for depth, part in enumerate(path):
        found = next((child for key, child in node.value if key.value == part), None)
        if found is None or (found.id != "mapping" and depth < len(path) - 1):
            inner: Any = value
            for name in reversed(path[depth + 1 :]):
                inner = {name: inner}
            return put(text, node, f"{scalar(part)}: {flow(inner)}")
        node = found
    return text[: node.start_mark.index] + flow(value) + text[end_of(node) :]


def end_of(node: Any) -> int:
    """Behind the last character of a value: a block's own mark lies behind the comments that follow it."""
    if node.id == "scalar" or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(last[1] if node.id == "mapping" else last)


def put(text: str, mapping: Any, entry: str) -> str:
    """An entry behind the last one of a mapping, in the style that it is written in."""
    if mapping.flow_style:
        end = mapping.end_mark.index - 1  # of its closing brace
        head = text[:end].rstrip()
        comma = "" if not mapping.value else " " if head.endswith(",") else ", "
        return f"{head}{comma}{entry}{text[end:]}"
    line_end = text.find("\n", end_of(mapping))
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{' ' * mapping.start_mark.column}{entry}{text[line_end:]}"
