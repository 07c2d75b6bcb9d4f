"""A lock in, its files written and checked out."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stages.core.errors import DiskFull
from stages.core.files import sha256
from stages.fetch import archive, cache, local, remote
from stages.fetch.address import Address
from stages.fetch.bounds import Limits
from stages.fetch.lock import Altered, File, Lock, Package, Source
from stages.fetch.meter import Meter, count, measure, size
from stages.fetch.pattern import fixed_folder
from stages.fetch.remote import Connections, Mirrors
from stages.fetch.sources import parse


def extract(lock: Lock, out: Path, *, root: Path, packages: Path, mirrors: Mirrors, limits: Limits) -> None:
    """Write every file of the lock below `out`. Raises Altered at the first file that differs."""
    check_room(sum(file.size for file in lock.files), out)
    with Connections() as connections:
        wanted = remote.of_lock(lock.sources, mirrors)
        contents = remote.obtain(wanted, connections, packages=packages, limits=limits)
    made: set[Path] = set()
    for source in lock.sources:
        place = parse(source.from_)
        if not isinstance(place, Address):
            package, path = cache.obtain(place, packages, locked=source.package)
            members = Members(package, path, place.subpath or "", own_root=False)
            copy_members(source, members, out, limits=limits, made=made)
        elif source.package is not None:
            path = contents[source.from_, ""].path if place.remote else local_archive(source.package, place, root)
            copy_members(
                source, Members(source.package, path, place.member, own_root=True), out, limits=limits, made=made
            )
        elif place.remote:
            paths = {file.path: contents[source.from_, file.path].path for file in source.files}
            copy_files(source, paths, out, made=made)
        else:
            paths = {file.path: local.locate(source.from_, file.path, root=root) for file in source.files}
            copy_files(source, paths, out, made=made)


def check_room(num_bytes: int, out: Path) -> None:
    """Raises DiskFull before anything is written where the disk has no room for all of it."""
    free = shutil.disk_usage(out).free
    if num_bytes > free:
        raise DiskFull(
            f"the files of the lock have {size(num_bytes)}, and the disk of {out.parent} is too full for them: "
            f"{size(free)} are free. Free space there, then run this again; what was there before is untouched"
        )


def copy_files(source: Source, paths: dict[str, Path], out: Path, *, made: set[Path]) -> None:
    meter = Meter(f"copying {source.from_}")
    for file in source.files:
        with paths[file.path].open("rb") as stream:
            write(stream, file, out=out, meter=meter, made=made)


def local_archive(package: Package, place: Address, root: Path) -> Path:
    path = local.locate(place.place, package.file, root=root)
    digest = sha256(path)
    if digest != package.sha256:
        raise Altered(f"{place.place} has the SHA-256 {digest}; the lock says {package.sha256}")
    return path


@dataclass(frozen=True)
class Members:
    """Those members of a package that `pattern` means."""

    package: Package
    path: Path
    pattern: str
    own_root: bool


def copy_members(source: Source, members: Members, out: Path, *, limits: Limits, made: set[Path]) -> None:
    name = members.package.file
    start = fixed_folder(members.pattern)
    meter = Meter(f"unpacking {name}")
    missing = {start + file.path: file for file in source.files}
    with archive.entries(members.path, own_root=members.own_root, limits=limits) as entries:
        for entry in entries:
            file = missing.pop(entry.name, None)
            if file is not None and entry.regular:
                with entry.open() as stream:
                    write(stream, file, out=out, meter=meter, made=made)
            elif file is not None:
                raise Altered(f"{entry.name} in {name} is a link, where the lock lists a file")
    if missing:
        first = next(iter(missing))
        raise Altered(f"the lock lists {count(len(missing))} that {name} does not hold: {first}")


def write(stream: IO[bytes], file: File, *, out: Path, meter: Meter, made: set[Path]) -> None:
    """Copy one file. `made` remembers the folders that exist: a mkdir for each of 6,000 files is slow."""
    target = out / file.path
    if target.parent not in made:
        target.parent.mkdir(parents=True, exist_ok=True)
        made.add(target.parent)
    with target.open("xb") as copy:
        num_bytes, digest = measure(stream, meter, limit=file.size, into=copy)
    if num_bytes > file.size:
        raise Altered(f"{file.path} is longer than the {file.size:,} bytes of the lock")
    if num_bytes < file.size:
        raise Altered(f"{file.path} has {num_bytes:,} bytes; the lock says {file.size:,}")
    if digest != file.sha256:
        raise Altered(f"{file.path} has the SHA-256 {digest}; the lock says {file.sha256}")
