"""Sources as the contract names them in, a lock of what they hold now out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core.cli import progress
from stages.core.errors import SourceError
from stages.core.files import sha256
from stages.fetch import archive, cache, local, remote
from stages.fetch.address import Address
from stages.fetch.bounds import Limits
from stages.fetch.download import Content
from stages.fetch.lock import File, Lock, Package, Source, check_disjoint, inside
from stages.fetch.meter import Meter, count, measure
from stages.fetch.pattern import fixed_folder, has_wildcard, matcher, near
from stages.fetch.remote import Connections, Key, Mirrors
from stages.fetch.sources import parse


def resolve(mirrors: Mirrors, *, root: Path, packages: Path, limits: Limits) -> Lock:
    """Look at every source, a key of `mirrors`, as it is now. `root` is the folder of params.yaml,
    `packages` the cache.
    """
    contents = remote_contents(mirrors, packages=packages, limits=limits)
    sources = []
    for text in sorted(mirrors):
        place = parse(text)
        package: Package | None = None
        if not isinstance(place, Address):
            package, path = cache.obtain(place, packages)
            files = package_files(place.subpath or "", path, limits=limits)
        elif place.member:
            package, path = archive_of(place, text, contents, root)
            files = package_files(place.member, path, own_root=True, limits=limits)
        elif place.remote:
            found = {path: content for (source, path), content in contents.items() if source == text}
            files = [File(path=checked(name, text), size=one.size, sha256=one.sha256) for name, one in found.items()]
        else:
            files = local_files(place.place, root)
        ordered = tuple(sorted(files, key=lambda file: file.path))
        sources.append(Source.model_validate({"from": text, "package": package, "files": ordered}))
    lock = Lock(sources=tuple(sources))
    check_disjoint(lock)
    return lock


def remote_contents(mirrors: Mirrors, *, packages: Path, limits: Limits) -> dict[Key, Content]:
    """The files of all remote sources, by source and path; an archive's path is ''."""
    places = {text: place for text in mirrors if isinstance(place := parse(text), Address) and place.remote}
    with Connections() as connections:
        wanted = {
            (text, "" if place.member else name): one
            for text, place in places.items()
            for name, one in remote.listed(place, mirrors[text], connections).items()
        }
        return remote.obtain(wanted, connections, packages=packages, limits=limits)


def archive_of(place: Address, text: str, contents: Mapping[Key, Content], root: Path) -> tuple[Package, Path]:
    if place.remote:
        content = contents[text, ""]
        return Package(file=checked(place.name, text), size=content.size, sha256=content.sha256), content.path
    path = root / place.place
    if not path.is_file():
        list(local.find(place.place, root))  # says which files are near
    return Package(file=checked(place.name, text), size=path.stat().st_size, sha256=sha256(path)), path


def local_files(text: str, root: Path) -> list[File]:
    meter = Meter(f"reading {text}")
    files = []
    for name, path in local.find(text, root):
        with path.open("rb") as stream:
            num_bytes, digest = measure(stream, meter)
        files.append(File(path=checked(name, text), size=num_bytes, sha256=digest))
    return files


def package_files(pattern: str, path: Path, *, own_root: bool = False, limits: Limits | None = None) -> list[File]:
    """The files of a package that a path or glob means. Raises SourceError where there is none."""
    wanted, start = matcher(pattern), fixed_folder(pattern)
    meter = Meter(f"reading {path.name}")
    files: dict[str, File] = {}
    num_links = 0
    names: list[str] = []
    with archive.entries(path, own_root=own_root, limits=limits) as entries:
        for entry in entries:
            names.append(entry.name)
            if not wanted(entry.name):
                continue
            if not entry.regular and not has_wildcard(pattern):
                raise SourceError(
                    f"{entry.name} in {path.name} is a link, not a file, or a device. Name the file that it leads to"
                )
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
                num_bytes, digest = measure(stream, meter)
            files[name] = File(path=name, size=num_bytes, sha256=digest)
    if num_links:
        progress(f"{path.name}: skipped {count(num_links)} matching {pattern} that are links", last=True)
    if not files:
        raise SourceError(nothing_found(pattern, path.name, names))
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


def nothing_found(pattern: str, package: str, names: Sequence[str]) -> str:
    if any(name.startswith(f"{pattern}/") for name in names):
        return f"{pattern} in {package} is a folder. Write #{pattern}/** for all its files, or a narrower pattern"
    return f"{package} holds no file {pattern}.{near(pattern, names)}"
