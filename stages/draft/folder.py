"""A file or a folder as typed in; the raw files in it, what they are, and the pattern that means them, out."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stages.core.errors import DataError

PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
TEXTS = {".txt", ".md"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
PATHS = {1: "^(?P<label>[^/]+)/", 2: "^(?P<split>[^/]+)/(?P<label>[^/]+)/"}


@dataclass(frozen=True)
class Folder:
    """`files` are relative to `root`; `kind` is table, pictures or texts; `pattern` stands behind the folder's
    name in fetch.from, and `path` is the regular expression that takes labels from the files' folders."""

    root: Path
    files: list[str]
    kind: str
    pattern: str = ""
    path: str = ""


def look_into(path: Path) -> Folder:
    """What lies at a path. Raises DataError where that is nothing, or of many kinds."""
    if not path.is_dir():
        return Folder(path.parent, [path.name], "table")
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    names = [name for name in names if not any(part.startswith((".", "_")) for part in name.split("/"))]
    suffixes = Counter(Path(name).suffix.lower() for name in names)
    if not suffixes:
        raise DataError(f"{path} holds no files; there is nothing to draft a contract from")
    common = suffixes.most_common(1)[0][0]
    for kind, wanted in (("pictures", PICTURES), ("texts", TEXTS)):
        if common in wanted:
            names = [name for name in names if Path(name).suffix.lower() in wanted]
            several = len({Path(name).suffix for name in names}) > 1
            return Folder(path, names, kind, "/**" if several else f"/**/*{Path(names[0]).suffix}", labels(path, names))
    names = [name for name in names if Path(name).suffix.lower() == common]
    return Folder(path, names, "table", f"/**/*{Path(names[0]).suffix}")


def labels(path: Path, names: list[str]) -> str:
    """How the folders' names say what each file is: `cat/1.png`, or `train/cat/1.png`."""
    parents = [name.split("/")[:-1] for name in names]
    depth = min(map(len, parents))
    first = {parent[0].lower() for parent in parents} if depth else set()
    if not depth or (depth == 1 and first <= SPLITS):
        raise DataError(
            f"{path}: no folders say what each file is. Put the files into one folder a class, such as "
            f"{path.name}/cat/1{Path(names[0]).suffix}; or write a table of labels, and its contract by hand"
        )
    path_of = PATHS[2] if depth >= 2 and first <= SPLITS and len(first) > 1 else PATHS[1]
    found = Counter(match["label"] for name in names if (match := re.match(path_of, name)))
    if len(found) < 2:
        raise DataError(
            f"{path}: all files lie in one folder, {next(iter(found))}; a class needs something to differ from"
        )
    return path_of
