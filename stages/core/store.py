"""Work by the hash of what it was made from: checkpoints, folds and baselines, kept between runs.

It stands outside every stage's outs. Deleting it changes only time.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.core.files import hash_json, replacing, sha256

FOLDER = "INGOT_STORE"
LIBRARIES = ("lightgbm", "numpy", "onnxruntime", "scikit-learn", "torch")
STAGES = Path(__file__).parent.parent


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
        with replacing(self.path(kind, key)) as partial:
            yield partial

    def drop(self, kind: str, key: str) -> None:
        """Forget what is kept under a key, if anything is."""
        shutil.rmtree(self.path(kind, key), ignore_errors=True)


def file_hashes(paths: Iterable[Path]) -> list[str]:
    return [sha256(path) for path in paths]


def key(*parts: Any, code: tuple[str, ...]) -> str:
    """A key over JSON-able parts, the versions that compute, and the text of folders of `stages/`, such as "models"."""
    versions = {name: version(name) for name in LIBRARIES}
    return hash_json([parts, {name: code_hash(name) for name in code}, versions])[:32]


def code_hash(name: str) -> str:
    """SHA-256 over the Python files of `stages/<name>/`, in the order of their names."""
    return hash_json([(path.name, sha256(path)) for path in sorted((STAGES / name).glob("*.py"))])
