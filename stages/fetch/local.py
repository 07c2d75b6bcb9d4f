"""A path or glob below the project in, its files out."""

import glob
import posixpath
from collections.abc import Iterator
from pathlib import Path

from stages.core.errors import SourceError
from stages.fetch.lock import Altered
from stages.fetch.pattern import fixed_folder, has_wildcard, near

OWN = "data/raw/"


def normal(pattern: str) -> str:
    """`./raw//a.csv` as `raw/a.csv`."""
    return posixpath.normpath(pattern)


def find(text: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Names relative to the pattern's fixed folder, with their files. Links lead where they lead:
    these are the user's own. Raises SourceError when there is none.
    """
    pattern = normal(text)
    start = fixed_folder(pattern)
    if (root / pattern).is_dir():
        raise SourceError(
            f"{text} is a folder. Write {pattern}/** for all its files, or a narrower pattern such as {pattern}/*.csv"
        )
    found = glob.glob(pattern, root_dir=root, recursive=True) if has_wildcard(pattern) else [pattern]
    names = sorted({name for name in found if not name.endswith("/")})  # before Python 3.13 `a.csv/**` gives `a.csv/`
    if any(name.startswith(OWN) for name in names):
        raise SourceError(
            f"{text} reaches into {OWN}, which this stage itself writes. Begin the pattern with a folder of your own"
        )
    files = [(name.removeprefix(start), root / name) for name in names if (root / name).is_file()]
    if not files:
        folder = root / start
        others = (
            [f"{start}{path.name}{'/' if path.is_dir() else ''}" for path in folder.iterdir()]
            if folder.is_dir()
            else []
        )
        hint = near(pattern, others) if others else f" The folder {start or '.'} is missing or empty."
        raise SourceError(f"no file is at {text}, seen from {root.resolve().name}/ (the folder of params.yaml).{hint}")
    yield from files


def locate(text: str, path: str, *, root: Path) -> Path:
    """Where the file is that the lock lists as `path`."""
    file = root / (fixed_folder(normal(text)) + path)
    if not file.is_file():
        raise Altered(f"{file} is in the lock but not on disk. Bring it back")
    return file
