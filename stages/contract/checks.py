"""One pipeline's contract in, every mistake in its sections out, without running anything."""

from importlib import import_module

from stages.contract.decide import Decide
from stages.contract.loader import OPTIONAL, SECTIONS, Contract
from stages.core.errors import ContractError


def check(contract: Contract) -> list[str]:
    """Every mistake, each once."""
    found = []
    for name in (*SECTIONS, *(name for name in OPTIONAL if name in contract.raw)):
        try:
            if name == "columns":
                _ = contract.columns, contract.example_columns, contract.target
            elif name == "decide":
                contract.section("decide", Decide)
            elif name in OPTIONAL:  # a tool: only its section is asked for here
                import_module(f"stages.{name}.section").check(contract)
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
