"""What was typed in; the draft on stdout or in params.yaml, and a summary on stderr, out."""

import os
import re
import shlex
import sys
from argparse import Namespace
from pathlib import Path

from stages.contract.loader import read
from stages.core.errors import ContractError
from stages.draft import Draft, draft
from stages.draft.report import summary
from stages.draft.sniff import packing
from stages.draft.write import write

NAME = re.compile(r"[a-z][a-z0-9_-]*")


def run(arguments: Namespace) -> None:
    """`draft`, as typed."""
    if arguments.name is not None and not NAME.fullmatch(arguments.name):
        raise ContractError(f"--name is {arguments.name!r}; expected small letters, digits, _ and -, such as tickets")
    params: Path = arguments.params
    known = read(params) if params.exists() else {}
    taken = list(map(str, known))
    if arguments.name in taken:
        raise ContractError(
            f"{params} has a section {arguments.name!r} already, and nothing is overwritten. Choose another --name"
        )
    made = draft(arguments.files, root=params.parent, name=arguments.name, wanted=arguments.target, taken=taken)
    if sys.stderr.isatty():
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)  # the line of progress
    if arguments.copy:
        made.place.copy(params.parent)
    if arguments.write:
        paths = write(made.plan, made.text, params)
        print(f"written: {', '.join(map(str, paths))}", file=sys.stderr)
    else:
        print(made.text, end="")
        sys.stdout.flush()
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    print("\n" + summary(made.plan, commands(made, arguments), colour=colour), file=sys.stderr)


def commands(made: Draft, arguments: Namespace) -> list[str]:
    """What to type next, word for word."""
    name, found = made.plan.name, []
    if not arguments.copy:
        found += made.place.commands()
    if not arguments.write:
        options = ["--name", name, "--target", made.plan.target, "--write"]
        found.append(shlex.join(["python", "-m", "stages.contract", "draft", *map(str, arguments.files), *options]))
    found.append(f"python -m stages.fetch --refresh {name}")
    found.append(f"dvc repro package@{name}")
    plain = made.plan.source.format == "csv" and not {"header", "skip_rows"} & set(made.plan.source.options)
    alone = len(arguments.files) == 1 and arguments.files[0].is_file() and not packing(arguments.files[0])
    if plain and alone:
        found.append(f"python data/bundle/{name}/predict.py {shlex.quote(made.place.paths[0].as_posix())}")
    return found
