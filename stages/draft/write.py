"""A drafted section in, params.yaml with it at the end and in `pipelines` out; every other byte stays."""

from pathlib import Path

from stages.contract.loader import read
from stages.core.errors import ContractError
from stages.core.files import write_text
from stages.draft.plan import Plan

EMPTY = (
    "# The contract: everything that changes a result. YAML 1.2. Check it with `make check-contract`.\npipelines: {}\n"
)


def write(plan: Plan, text: str, params: Path) -> list[Path]:
    """Add the section; returns the files written. Raises ContractError where the pipeline is there already."""
    before = params.read_bytes().decode("utf-8") if params.exists() else EMPTY
    known = read(params) if params.exists() else {"pipelines": {}}
    if plan.name in known or plan.name in (known.get("pipelines") or {}):
        raise ContractError(
            f"{params} has a section {plan.name!r} already, and nothing is overwritten. Choose another --name"
        )
    after = list_pipeline(before, plan.name, params)
    after = after.rstrip("\n") + "\n\n" + text
    parsed = parse(after)
    wanted = {
        **known,
        "pipelines": {**(known.get("pipelines") or {}), plan.name: {}},
        plan.name: parse(text)[plan.name],
    }
    if parsed != wanted:
        raise ContractError(f"{params} could not be extended safely. Add the printed draft by hand")
    write_text(params, after)
    return [params]


def parse(text: str) -> dict[str, object]:
    from ruamel.yaml import YAML

    content: dict[str, object] = YAML(typ="safe", pure=True).load(text)
    return content


def list_pipeline(text: str, name: str, params: Path) -> str:
    """Put `name: {}` behind the last entry of `pipelines`, in the style it is written in."""
    from ruamel.yaml import YAML

    root = YAML(typ="rt", pure=True).compose(text)
    node = next((value for key, value in (root.value if root else []) if key.value == "pipelines"), None)
    if node is None:
        return f"pipelines: {{{name}: {{}}}}\n\n{text}"
    if node.id != "mapping":
        raise ContractError(f"{params}: pipelines is not a mapping; expected such as {{retail: {{}}}}")
    if node.flow_style:
        end = node.end_mark.index - 1  # of its closing brace
        head = text[:end].rstrip()
        comma = "" if not node.value else " " if head.endswith(",") else ", "
        return f"{head}{comma}{name}: {{}}{text[end:]}"
    last = node.value[-1][1]
    line_end = text.find("\n", last.end_mark.index - 1)
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{' ' * node.start_mark.column}{name}: {{}}{text[line_end:]}"
