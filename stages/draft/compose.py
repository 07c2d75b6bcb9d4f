"""A filled plan in, the text of its section of params.yaml out."""

from typing import Any

from stages.contract.loader import SECTIONS
from stages.draft.plan import Plan
from stages.draft.recipe import about
from stages.draft.yaml import comment, flow, scalar

LOOK = "(!) "  # marks what a person must look at


def compose(plan: Plan) -> str:
    """The section, commented; every key in it is one that its stage takes."""
    left_out = sum(bool(guess.left_out) for guess in plan.guesses.values())
    lines = [
        f"# Drafted from {about(plan)} of {len(plan.guesses):,} columns"
        + (f", of which {left_out} tell nothing" if left_out else "")
        + f". Look at what is marked {LOOK.strip()}; `python -m stages.contract check {plan.name}` after edits.",
        f"{plan.name}:",
        line("fetch", {"from": plan.origin[0] if len(plan.origin) == 1 else plan.origin}, []),
        line("ingest", {"format": plan.source.format, **plan.source.options}, plan.source.notes),
        "  columns: # one record",
        *(column(name, plan) for name in plan.guesses),
    ]
    for name in SECTIONS[3:]:
        lines += section(name, plan)
    return "\n".join(lines) + "\n"


def line(name: str, value: dict[str, Any], comments: list[str]) -> str:
    return f"  {name}: {flow(value)}{comment(comments)}"


def column(name: str, plan: Plan) -> str:
    guess = plan.guesses[name]
    warnings = [LOOK + warning for warning in guess.warnings]
    if guess.left_out:
        return (
            f"    # {one_line(f'{scalar(name)}: {flow(guess.declaration)}')}{comment([f'left out: {guess.left_out}'])}"
        )
    return f"    {scalar(name)}: {flow(guess.declaration)}{comment([*warnings, *guess.notes])}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def section(name: str, plan: Plan) -> list[str]:
    """One section; those that hold much, one key a line."""
    value, comments = plan.sections.get(name, {}), plan.comments.get(name, [])
    if name == "clean" and value:
        limits = value["max_rejected"]
        said = dict(zip([rule for rule in limits if rule != "default"], comments, strict=False))
        others = {key: item for key, item in value.items() if key != "max_rejected"}
        return [
            f"  clean:{comment(comments[len(said) :])}",
            *(f"    {scalar(key)}: {flow(item)}" for key, item in others.items()),
            "    max_rejected: # the largest share of records that a rule may reject",
            *(
                f"      {scalar(rule)}: {scalar(share)}{comment([said[rule]] if rule in said else [])}"
                for rule, share in limits.items()
            ),
        ]
    if name == "examples":
        made = [f"  examples:{comment(comments)}"]
        for key, item in value.items():
            made += (
                [f"    {key}:", *(f"      {scalar(n)}: {flow(d)}" for n, d in item.items())]
                if key == "columns"
                else [f"    {key}: {flow(item)}"]
            )
        return made
    return [line(name, value, comments)]
