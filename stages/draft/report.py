"""A finished draft in, a summary for a person out: what each column is taken for, and what to type next."""

import shutil
import unicodedata
from collections.abc import Sequence

from stages.draft.plan import Plan
from stages.draft.recipe import about
from stages.draft.rehearse import is_personal

BOLD, DIM, YELLOW, GREEN, CYAN, OFF = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[32m", "\x1b[36m", "\x1b[0m"
HEADER = ("column", "type", "missing", "distinct", "examples", "notes")
WIDEST = (28, 10, 7, 9, 34)
MAX_SHOWN = 60


def width(text: str) -> int:
    """Cells on a terminal: Chinese signs take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, cells: int) -> str:
    """The text cut or padded to so many cells."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if width(text) > cells:
        while text and width(text) > cells - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (cells - width(text))


def rows(plan: Plan) -> list[tuple[tuple[str, ...], str]]:
    """The cells of each column's line, and its colour."""
    found: list[tuple[tuple[str, ...], str]] = []
    for name, guess in list(plan.guesses.items())[:MAX_SHOWN]:
        profile = plan.profiles[name]
        shown = "" if is_personal(plan, name) else " · ".join(word[:24] for word in profile.examples())
        kind, colour = guess.declaration["type"], ""
        if guess.left_out:
            kind, colour = "-", DIM
        elif name == plan.target:
            colour = GREEN
        elif guess.warnings:
            colour = YELLOW
        missing = f"{profile.missing_share:.1%}" if profile.missing_share else ""
        said = [f"left out: {guess.left_out}"] if guess.left_out else [*guess.warnings, *guess.notes]
        if name != plan.target and not guess.left_out and not guess.declaration.get("input", True):
            said.insert(0, "kept from the model")
        cells = (name, kind, missing, f"{len(profile.words):,}", shown, "; ".join(said))
        found.append((cells, colour))
    return found


def table(plan: Plan, *, colour: bool) -> list[str]:
    lines = rows(plan)
    widths = [
        min(limit, max(width(cells[place]) for cells in (HEADER, *(cells for cells, _ in lines))))
        for place, limit in enumerate(WIDEST)
    ]
    screen = shutil.get_terminal_size((140, 24)).columns
    widths.append(max(20, screen - sum(widths) - 2 * len(widths)))
    made = [
        paint("  ".join(fit(text, cells) for text, cells in zip(HEADER, widths, strict=True)).rstrip(), BOLD, colour)
    ]
    for cells, hue in lines:
        line = "  ".join(fit(text, room) for text, room in zip(cells, widths, strict=True)).rstrip()
        made.append(paint(line, hue, colour))
    if len(plan.guesses) > MAX_SHOWN:
        made.append(f"… and {len(plan.guesses) - MAX_SHOWN:,} columns more")
    return made


def paint(text: str, hue: str, colour: bool) -> str:
    return f"{hue}{text}{OFF}" if colour and hue else text


def summary(plan: Plan, commands: Sequence[str], *, colour: bool) -> str:
    """What a person reads on stderr."""
    source = plan.source
    read_as = ", ".join([source.format, *(f"{key} {value!r}" for key, value in source.options.items())])
    sampled = "" if plan.sample.exact else f" (a sample of {plan.sample.records.num_rows:,}, spread over the file)"
    lines = [f"{', '.join(plan.origin)}: {about(plan)}{sampled}, {len(plan.guesses):,} columns, read as {read_as}", ""]
    lines += [*table(plan, colour=colour), ""]
    goal = f"predicts {plan.target}" + (f' (positive: "{plan.positive}")' if plan.positive else "")
    split = plan.sections["examples"].get("split", {})
    by = split.get("key") or ("the folders" if split.get("by") == "official" else "")
    goal += f", split by {by}" if by else ", split at random"
    goal += f", model {plan.sections['train']['model']}"
    lines.append(paint(goal, GREEN, colour))
    if plan.rivals:
        lines.append(f"another column with --target: {', '.join(plan.rivals[:6])}")
    problems = [*plan.source.notes, *plan.problems]
    if problems:
        lines += ["", paint("look at:", BOLD, colour), *(paint(f"  ! {text}", YELLOW, colour) for text in problems)]
    lines += ["", paint("next:", BOLD, colour), *(paint(f"  {command}", CYAN, colour) for command in commands)]
    return "\n".join(lines)
