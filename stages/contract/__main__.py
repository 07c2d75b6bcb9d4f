"""A params.yaml in, "sound" or every mistake out; or raw data in, a draft of their contract out.

python -m stages.contract check [PIPELINE …]
python -m stages.contract draft FILE … [--target COLUMN] [--name NAME] [--write] [--copy]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.contract.checks import check
from stages.contract.loader import load, read
from stages.core.errors import ContractError, IngotError


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stages.contract", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="find every mistake in params.yaml")
    checking.add_argument("pipelines", nargs="*", help="default: all that `pipelines` lists")
    drafting = commands.add_parser("draft", help="look at raw data and write a commented contract for it")
    drafting.add_argument("files", nargs="+", type=Path, metavar="FILE", help="raw files, or one folder")
    drafting.add_argument("--name", help="of the pipeline; default: from the file's name")
    drafting.add_argument("--target", metavar="COLUMN", help="what to predict; default: the likeliest column")
    drafting.add_argument("--write", action="store_true", help="add the draft to params.yaml")
    drafting.add_argument("--copy", action="store_true", help="copy files from outside the project to incoming/")
    for command in (checking, drafting):
        command.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "draft":
            from stages.draft.command import run  # heavy, and no part of checking

            run(arguments)
            return 0
        found, code = check_all(arguments.params, arguments.pipelines), ContractError.exit_code
    except IngotError as error:
        found, code = str(error).splitlines(), error.exit_code
    for mistake in found:
        print(f"  {mistake}", file=sys.stderr)
    return code if found else 0


def check_all(params: Path, pipelines: Sequence[str]) -> list[str]:
    """Every mistake of these pipelines, or of all that are listed; says on stdout which are sound."""
    listed = read(params).get("pipelines")
    if not isinstance(listed, dict) or not listed:
        raise ContractError(f"{params}: pipelines is {listed!r}; expected such as {{retail: {{}}}}")
    found = []
    for pipeline in pipelines or listed:
        try:
            mistakes = check(load(params, pipeline))
        except ContractError as error:
            mistakes = str(error).splitlines()
        print(f"{pipeline}: {'sound' if not mistakes else f'{len(mistakes)} mistakes'}")
        found += mistakes
    return found


if __name__ == "__main__":
    sys.exit(main())
