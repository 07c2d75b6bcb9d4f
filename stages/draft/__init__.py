"""Raw files that nobody has declared yet in, a commented draft of their contract out.

A tool beside the stages, run by a person: `python -m stages.contract draft FILE …`. It reads by
ingest's readers, tries columns by their own `clean`, and rehearses `examples` on a sample, so what
it drafts passes on the data that it was drafted from. No stage imports it, and DVC does not know it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core import cli
from stages.draft import compose, recipe, target
from stages.draft.folder import look_into
from stages.draft.guess import guess
from stages.draft.place import Place, name_of, place
from stages.draft.plan import Plan
from stages.draft.profile import profile
from stages.draft.rehearse import rehearse
from stages.draft.sample import read
from stages.draft.sniff import sniff

MAX_COLUMNS = 1_000
RESERVED = ("outputs", "probabilities", "decision", "expected_value", "_group", "_rules")


@dataclass(frozen=True)
class Draft:
    """`text` is the section of params.yaml; `place` says how the files come within reach."""

    plan: Plan
    text: str
    place: Place


def draft(paths: Sequence[Path], *, root: Path, name: str | None, wanted: str | None, taken: Sequence[str]) -> Draft:
    """Look at the files and draft their pipeline. Raises IngotError where that cannot be."""
    placed = place(paths, root)
    folders = [look_into(path) for path in paths]
    origin = [f"{text}{folder.pattern}" for text, folder in zip(placed.origin, folders, strict=True)]
    source = sniff(folders[0])
    cli.progress(f"draft: reading {', '.join(map(str, paths))}")
    sample = read(folders, source)
    plan = Plan(name or name_of(paths, taken), origin, source, sample, {}, {})
    look(plan)
    target.choose(plan, wanted)
    recipe.fill(plan)
    cli.progress("draft: rehearsing the stages on a sample")
    rehearse(plan)
    return Draft(plan, compose.compose(plan), placed)


def look(plan: Plan) -> None:
    """Profile every column and guess what it is."""
    names = plan.sample.records.column_names
    if len(names) > MAX_COLUMNS:
        plan.problems.append(f"{len(names):,} columns; the first {MAX_COLUMNS:,} are drafted, the others left out")
    for name in names[:MAX_COLUMNS]:
        values = plan.sample.records.column(name).combine_chunks()
        plan.profiles[name] = profile(name, values)
        found = plan.guesses[name] = guess(plan.profiles[name])
        if name in RESERVED and found.declaration["type"] != "id":
            found.declaration["input"] = False
            found.warnings.append("a name that the graph uses itself: rename it to have it learnt from")
        elif plan.source.format in ("files", "texts") and name in ("name", "size"):
            found.left_out = "a fact about the file, not about what is in it"
        elif name == "" and not found.left_out:
            found.left_out = "has no name"
    if plan.sample.malformed > 0:
        plan.problems.append(f"{plan.sample.malformed:.2%} of the records are malformed: {plan.sample.reason}")
