"""Sources as the contract names them in, a lock of what they hold now out."""

from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.cli import progress
from stages.core.errors import SourceError
from stages.fetch import archive, cache, local
from stages.fetch.lock import File, Lock, Package, Source, check_disjoint, inside
from stages.fetch.meter import Meter, count, measure, size
from stages.fetch.pattern import fixed_folder, has_wildcard, matcher, near
from stages.fetch.sources import parse

if TYPE_CHECKING:
    from packageurl import PackageURL

MAX_PACKAGE_BYTES = 4 << 30  # wanted files of one package, unpacked: a 10 MB archive can hold 10 GB of zeros


def resolve(sources: tuple[str, ...], *, root: Path, packages: Path) -> Lock:
    """Look at every source as it is now. `root` is the folder of params.yaml, `packages` the cache."""
    lock = Lock(sources=tuple(resolve_one(text, root=root, packages=packages) for text in sorted(set(sources))))
    check_disjoint(lock)
    return lock


def resolve_one(text: str, *, root: Path, packages: Path) -> Source:
    purl = parse(text)
    package: Package | None = None
    if purl is None:
        files = local_files(text, root)
    else:
        package, path = cache.obtain(purl, packages)
        files = package_files(purl, path)
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Source.model_validate({"from": text, "package": package, "files": ordered})


def local_files(text: str, root: Path) -> list[File]:
    meter = Meter(f"reading {text}")
    files = []
    for name, path in local.find(text, root):
        with path.open("rb") as stream:
            num_bytes, digest = measure(stream, meter)
        files.append(File(path=checked(name, text), size=num_bytes, sha256=digest))
    return files


def package_files(purl: "PackageURL", path: Path) -> list[File]:
    """The files of a package that the URL's subpath means. Raises SourceError where there is none."""
    pattern = purl.subpath or ""
    wanted, start = matcher(pattern), fixed_folder(pattern)
    meter = Meter(f"reading {path.name}")
    files: dict[str, File] = {}
    num_links = 0
    with archive.entries(path) as entries:
        for entry in entries:
            if not wanted(entry.name):
                continue
            if not entry.regular and not has_wildcard(pattern):
                raise SourceError(f"{entry.name} in {path.name} is a link, not a file. Name the file that it leads to")
            if not entry.regular:
                num_links += 1
                continue
            name = checked(entry.name.removeprefix(start), path.name)
            if name in files:
                raise SourceError(
                    f"{path.name} holds {entry.name} twice. Which one is meant cannot be told; use another version "
                    "of the package"
                )
            with entry.open() as stream:
                num_bytes, digest = measure(stream, meter, limit=MAX_PACKAGE_BYTES - meter.num_bytes)
            if meter.num_bytes > MAX_PACKAGE_BYTES:
                raise SourceError(
                    f"the files of {path.name} that {pattern} means are larger than {size(MAX_PACKAGE_BYTES)}. "
                    "Narrow the pattern"
                )
            files[name] = File(path=name, size=num_bytes, sha256=digest)
    if num_links:
        progress(f"{path.name}: skipped {count(num_links)} matching {pattern} that are links", last=True)
    if not files:
        raise SourceError(nothing_found(pattern, path))
    return list(files.values())


def checked(name: str, where: str) -> str:
    """`name`, fit for a lock in JSON."""
    try:
        name.encode()
        return inside(name)
    except ValueError:  # UnicodeEncodeError among them
        raise SourceError(
            f"{where} holds a file whose name is not valid UTF-8: {name!a}. Rename it, or narrow the pattern"
        ) from None


def nothing_found(pattern: str, path: Path) -> str:
    with archive.entries(path) as entries:
        names = [entry.name for entry in entries]
    if any(name.startswith(f"{pattern}/") for name in names):
        return f"{pattern} in {path.name} is a folder. Write #{pattern}/** for all its files, or a narrower pattern"
    return f"{path.name} holds no file {pattern}.{near(pattern, names)}"
