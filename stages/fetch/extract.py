"""A lock in, its files written and checked out."""

from pathlib import Path
from typing import IO

from stages.fetch import archive, cache, local
from stages.fetch.lock import Altered, File, Lock, Source
from stages.fetch.meter import Meter, count, measure
from stages.fetch.pattern import fixed_folder
from stages.fetch.sources import parse


def extract(lock: Lock, out: Path, *, root: Path, packages: Path) -> None:
    """Write every file of the lock below `out`. Raises Altered at the first file that differs."""
    made: set[Path] = set()
    for source in lock.sources:
        if source.package is None:
            copy_local(source, out, root=root, made=made)
        else:
            copy_package(source, out, packages=packages, made=made)


def copy_local(source: Source, out: Path, *, root: Path, made: set[Path]) -> None:
    meter = Meter(f"copying {source.from_}")
    for file in source.files:
        with local.locate(source.from_, file.path, root=root).open("rb") as stream:
            write(stream, file, out=out, meter=meter, made=made)


def copy_package(source: Source, out: Path, *, packages: Path, made: set[Path]) -> None:
    purl = parse(source.from_)
    assert purl is not None  # a source with a package is a package URL: `lock.read` checks it
    package, path = cache.obtain(purl, packages, locked=source.package)
    start = fixed_folder(purl.subpath or "")
    meter = Meter(f"unpacking {package.file}")
    missing = {start + file.path: file for file in source.files}
    with archive.entries(path) as entries:
        for entry in entries:
            file = missing.pop(entry.name, None)
            if file is not None and entry.regular:
                with entry.open() as stream:
                    write(stream, file, out=out, meter=meter, made=made)
            elif file is not None:
                raise Altered(f"{entry.name} in {package.file} is a link, where the lock lists a file")
    if missing:
        first = next(iter(missing))
        raise Altered(f"the lock lists {count(len(missing))} that {package.file} does not hold: {first}")


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
