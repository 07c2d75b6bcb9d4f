"""A pipeline's name in, a searched setting as a change to params.yaml to review out.

python -m stages.tune PIPELINE [--trials N] [--seconds S] [--write]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.core.errors import IngotError


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m stages.tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", help="a section of params.yaml that has a `tune`")
    parser.add_argument("--trials", type=int, help="in all, those of former runs too; default: as declared")
    parser.add_argument("--seconds", type=float, help="of this run; default: as declared")
    parser.add_argument("--write", action="store_true", help="change params.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--features", type=Path, help="default: data/features/PIPELINE")
    parser.add_argument("--out", type=Path, help="default: data/.tune/PIPELINE")
    arguments = parser.parse_args(argv)
    try:
        from stages.tune.command import run

        run(arguments)
    except IngotError as error:
        print(f"tune {arguments.pipeline}: {type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
