"""Work by the hash of what it was made from: partitions, checkpoints, folds and baselines, kept between runs.

It stands outside every stage's outs. Deleting it changes only time.
"""

import fcntl
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.core.errors import DataError
from stages.core.files import hash_json, read_json, replacing, sha256, write_json

FOLDER = "INGOT_STORE"
LEARNING = ("lightgbm", "numpy", "onnxruntime", "scikit-learn", "torch")
DATA = ("duckdb", "numpy", "pillow", "pyarrow")
STAGES = Path(__file__).parent.parent
ROOT = STAGES.parent
GENERATIONS = 3


class Store:
    """A folder of folders: `<root>/<kind>/<key>`."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(os.environ.get(FOLDER, "data/.store"))

    def path(self, kind: str, key: str) -> Path:
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        return self.path(kind, key).is_dir()

    @contextmanager
    def put(self, kind: str, key: str) -> Iterator[Path]:
        """A folder to fill, kept under its key when the block ends well."""
        with self.lock(kind, key), replacing(self.path(kind, key)) as partial:
            yield partial

    @contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """Keep other processes out of a key until the block ends, or this process does."""
        path = self.root / kind / f".{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def drop(self, kind: str, key: str) -> None:
        """Forget what is kept under a key, if anything is."""
        shutil.rmtree(self.path(kind, key), ignore_errors=True)

    def retain(self, kind: str, keys: Sequence[str]) -> None:
        """Note that this run used `keys`, and forget what none of the last three runs used."""
        index = self.root / kind / "used.json"
        try:
            runs = [run for run in read_json(index) if run != sorted(keys)] if index.exists() else []
        except DataError:
            runs = []
        runs = [sorted(keys), *runs][:GENERATIONS]
        write_json(index, runs)
        live = {key for run in runs for key in run}
        for path in (self.root / kind).iterdir():
            if path.is_dir() and not path.name.startswith(".") and path.name not in live:
                shutil.rmtree(path, ignore_errors=True)


def file_hashes(paths: Iterable[Path]) -> list[str]:
    return [sha256(path) for path in paths]


def key(*parts: Any, code: tuple[str, ...], libraries: tuple[str, ...] = LEARNING) -> str:
    """A key over JSON-able parts, the versions that compute, and the text of the files and folders that `code` names.

    A name is "serving/prepare.py" or the like, or a file or folder of `stages/`, such as "models".
    """
    return hash_json([parts, {name: code_hash(name) for name in code}, versions(libraries)])[:32]


@cache
def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Python's own too: its Unicode tables, its regular expressions and its time zones read the data."""
    own = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "unicode": unicodedata.unidata_version}
    return {**own, **{name: version(name) for name in libraries}}


@cache
def code_hash(name: str) -> str:
    """SHA-256 over the Python files of a folder, in the order of their names, or over one file."""
    path = ROOT / name if name.startswith("serving/") else STAGES / name
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return hash_json([(file.name, sha256(file)) for file in files])
