"""A params.yaml in, "sound" or every mistake out: `python -m stages.contract check [PIPELINE …]`."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from stages.contract.decide import Decide
from stages.contract.loader import SECTIONS, Contract, load, read
from stages.core.errors import ContractError, IngotError


def check(contract: Contract) -> list[str]:
    """Every mistake in one pipeline's sections, without running anything."""
    found = []
    for name in SECTIONS:
        try:
            if name == "columns":
                _ = contract.columns, contract.example_columns, contract.target
            elif name == "decide":
                contract.section("decide", Decide)
            else:
                check_stage(contract, name)
        except ContractError as error:
            found += str(error).splitlines()
    return list(dict.fromkeys(found))  # one mistake may be met by several sections


def check_stage(contract: Contract, name: str) -> None:
    """A stage that has more to check than the types of its section has a function `check`."""
    module = import_module(f"stages.{name}")
    if hasattr(module, "Section"):
        contract.section(name, module.Section)
    if hasattr(module, "check"):
        module.check(contract)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stages.contract")
    parser.add_argument("command", choices=["check"])
    parser.add_argument("pipelines", nargs="*", help="default: all that `pipelines` lists")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    try:
        listed = read(arguments.params).get("pipelines")
        if not isinstance(listed, dict) or not listed:
            raise ContractError(f"{arguments.params}: pipelines is {listed!r}; expected such as {{retail: {{}}}}")
        found = []
        for pipeline in arguments.pipelines or listed:
            try:
                mistakes = check(load(arguments.params, pipeline))
            except ContractError as error:
                mistakes = str(error).splitlines()
            print(f"{pipeline}: {'sound' if not mistakes else f'{len(mistakes)} mistakes'}")
            found += mistakes
    except IngotError as error:
        found = str(error).splitlines()
    for mistake in found:
        print(f"  {mistake}", file=sys.stderr)
    return ContractError.exit_code if found else 0


if __name__ == "__main__":
    sys.exit(main())
