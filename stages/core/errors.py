"""What went wrong in, an exit code and a sentence with the fix out.

    IngotError          1
    ├── ContractError   2   params.yaml says something that cannot be
    ├── SourceError     3   raw data is absent, altered or out of reach
    ├── DataError       4   records, tables or examples are not what the contract says
    ├── RefusedError    5   an earlier stage recorded a verdict of "not passed"
    ├── TrainingError   6   a model could not be fitted
    └── DiskFull        7   there was no room to write to

DVC reports every failure as 255, so `core.cli` also leaves the kind in `data/.run/`.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class IngotError(Exception):
    """A failure that the user can mend; its text names what was found and how to fix it."""

    exit_code = 1


class ContractError(IngotError):
    exit_code = 2


class SourceError(IngotError):
    exit_code = 3


class DataError(IngotError):
    exit_code = 4


class RefusedError(IngotError):
    exit_code = 5


class TrainingError(IngotError):
    exit_code = 6


class DiskFull(IngotError):
    exit_code = 7


def suggest(word: str, allowed: Iterable[str]) -> str:
    """' Did you mean …?' when one of `allowed` is close to `word`, else the empty string."""
    close = get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
