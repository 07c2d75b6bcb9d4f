"""Paths as typed in; where `fetch` can reach the files, and the command that brings them there, out."""

import glob
import re
import shlex
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.contract.loader import SECTIONS
from stages.core.errors import SourceError

INCOMING = "incoming"
OWN = ("data",)  # the pipelines' own folder


@dataclass(frozen=True)
class Place:
    """`origin` is fetch.from; `copies` are pairs of files outside the project and where they should be."""

    origin: list[str]
    copies: list[tuple[Path, Path]]
    paths: list[Path]  # of the files, seen from the project's root, once they are there

    def commands(self) -> list[str]:
        """The shell commands that bring the files into the project."""
        if not self.copies:
            return []
        folders = sorted({to.parent.as_posix() for _, to in self.copies})
        made = [f"mkdir -p {' '.join(map(shlex.quote, folders))}"]
        return made + [
            f"cp {'-r ' if source.is_dir() else ''}{shlex.quote(str(source))} {shlex.quote(to.as_posix())}"
            for source, to in self.copies
        ]

    def copy(self, root: Path) -> None:
        for source, to in self.copies:
            target = root / to
            if target.exists():
                raise SourceError(f"{target} exists already; --copy overwrites nothing. Remove it, or draft from it")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)


def place(paths: Sequence[Path], root: Path) -> Place:
    """Where the files will be found from the project's root: where they are, or else in incoming/."""
    origin, copies, found = [], [], []
    for path in paths:
        if not path.exists():
            raise SourceError(f"{path} does not exist, seen from {Path.cwd()}")
        inside = below(path, root)
        if inside is None:
            inside = Path(INCOMING) / path.resolve().name
            copies.append((path.resolve(), inside))
        found.append(inside)
        origin.append(glob.escape(inside.as_posix()))
    return Place(origin, copies, found)


def below(path: Path, root: Path) -> Path | None:
    """The path seen from the root, unless it is outside or among what the stages write."""
    try:
        inside = path.absolute().relative_to(root.absolute())
    except ValueError:
        return None
    own = inside.parts[:1] == OWN or ".." in inside.parts
    return None if own else inside


def name_of(paths: Sequence[Path], taken: Sequence[str]) -> str:
    """A pipeline's name from the first file's: letters, digits and underscores."""
    plain = unicodedata.normalize("NFKD", paths[0].resolve().name.split(".")[0]).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:40] or "data"
    name = f"data_{name}" if name[0].isdigit() or name in (*SECTIONS, "pipelines") else name
    count, free = 1, name
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free
