"""lock.json in, exactly which files a pipeline's raw data are out; and the difference of two."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from stages.contract import Section
from stages.core.errors import SourceError
from stages.fetch.meter import count, size
from stages.fetch.sources import has_members


class Altered(SourceError):
    """What is there is not what the lock says; `main` adds the command that locks it anew."""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0)]


def inside(path: str) -> str:
    """`path` when it names a file below a folder: a lock is a text file, and may be tampered with."""
    if not path or path.startswith("/") or "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise ValueError("a relative path without '..'")
    return path


def plain(name: str) -> str:
    if not re.fullmatch(r"[^/\\\0]+", inside(name)):
        raise ValueError("a file name without folders")
    return name


class File(Section):
    """One raw file: its path below data/raw/<p>/."""

    path: Annotated[str, AfterValidator(inside)]
    size: Size
    sha256: Sha256


class Package(Section):
    """The one package or archive that a source's files come from."""

    version: str | None = None  # archives have none
    file: Annotated[str, AfterValidator(plain)]
    size: Size
    sha256: Sha256


class Source(Section):
    """One `from` of the contract, what it resolved to, and its files in order of their paths."""

    from_: str = Field(alias="from")
    package: Package | None = None  # none for files that are taken as they are
    files: tuple[File, ...]

    @model_validator(mode="after")
    def check_package(self) -> "Source":
        if has_members(self.from_) != (self.package is not None):
            raise ValueError("a package for each package URL and each archive with '#', and for no other source")
        return self


class Lock(Section):
    sources: tuple[Source, ...]

    @property
    def files(self) -> list[File]:
        return [file for source in self.sources for file in source.files]


@dataclass(frozen=True)
class Changes:
    """What a refresh found. `sources` tells of other packages, whether their files differ or not."""

    added: tuple[File, ...] = ()
    removed: tuple[File, ...] = ()
    changed: tuple[File, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether the raw data are different: a reason to train again."""
        return bool(self.added or self.removed or self.changed)


def read(path: Path, pipeline: str) -> Lock:
    """Raises SourceError where the lock is missing or not as `fetch --refresh` writes it."""
    again = f"Run `python -m stages.fetch --refresh {pipeline}` to write it"
    if not path.exists():
        raise SourceError(f"{path} does not exist: which data {pipeline} learns from is not settled yet. {again}")
    try:
        lock = Lock.model_validate_json(path.read_bytes())
        check_disjoint(lock)
        return lock
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SourceError(
            f"{path}: {where}: {first['msg'].removeprefix('Value error, ')} ({error.error_count()} such). {again} "
            "anew, or take it from git"
        ) from None


def dump(lock: Lock) -> str:
    """The lock as JSON, one line a file, so that `git diff` shows which file changed."""
    sources = []
    for source in lock.sources:
        keys = [f'   "from": {compact(source.from_)}']
        if source.package is not None:
            keys.append(f'   "package": {compact(source.package.model_dump(exclude_none=True))}')
        files = ",\n".join(f"    {compact(file.model_dump())}" for file in source.files)
        keys.append(f'   "files": [\n{files}\n   ]')
        sources.append("  {\n" + ",\n".join(keys) + "\n  }")
    return '{\n "sources": [\n' + ",\n".join(sources) + "\n ]\n}\n"


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def check_disjoint(lock: Lock) -> None:
    """Raises SourceError where two files would land on one name, or one in the place of a folder."""
    owners: dict[str, list[str]] = {}
    for source in lock.sources:
        for file in source.files:
            owners.setdefault(file.path, []).append(source.from_)
    for path, sources in owners.items():
        if len(sources) > 1:
            raise SourceError(
                f"{' and '.join(sources)} both give {path}. Files land below the pattern's fixed folder: begin a "
                "pattern's wildcards one folder earlier, or leave one source out"
            )
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent in owners:
                raise SourceError(
                    f"{owners[parent][0]} gives the file {parent}, where {sources[0]} needs a folder for {path}. "
                    "Leave one of them out"
                )


def compare(before: Lock | None, after: Lock) -> Changes:
    """Files by path, packages by source."""
    old = {file.path: file for file in before.files} if before else {}
    new = {file.path: file for file in after.files}
    return Changes(
        added=tuple(file for path, file in new.items() if path not in old),
        removed=tuple(file for path, file in old.items() if path not in new),
        changed=tuple(file for path, file in new.items() if path in old and old[path] != file),
        sources=tuple(compare_sources(before, after)) if before else (),
    )


def compare_sources(before: Lock, after: Lock) -> Iterator[str]:
    """A line for each source that is new, gone, or another package than before."""
    old = {source.from_: source.package for source in before.sources}
    new = {source.from_: source.package for source in after.sources}
    for text in sorted(old.keys() | new.keys()):
        if text not in old or text not in new:
            yield f"{'+' if text in new else '-'} {text}"
        elif (former := old[text]) and (package := new[text]) and former != package:
            yield f"~ {former.file} ({former.sha256[:12]}) is now {package.file} ({package.sha256[:12]})"


def describe(changes: Changes, *, max_listed: int = 5) -> str:
    """Changes as a person reads them: counts and sizes, then the first names of each kind."""
    kinds = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
    lines = [", ".join(f"{verb} {total(files)}" for verb, files in kinds.items() if files) or "nothing new"]
    lines += [f"  {line}" for line in changes.sources]
    for verb, files in kinds.items():
        sign = {"added": "+", "removed": "-", "changed": "~"}[verb]
        lines += [f"  {sign} {file.path} ({size(file.size)})" for file in files[:max_listed]]
        lines += [f"  {sign} … and {count(len(files) - max_listed)} more"] if len(files) > max_listed else []
    return "\n".join(lines)


def total(files: Sequence[File]) -> str:
    return f"{count(len(files))} ({size(sum(file.size for file in files))})"
