"""Remote sources in, their files in the cache out: fetched side by side under one bar of progress."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock as Mutex
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.core.cli import progress
from stages.core.errors import SourceError
from stages.fetch import bucket, partial, web
from stages.fetch.address import WEB, Address
from stages.fetch.bar import Bar
from stages.fetch.bounds import Limits
from stages.fetch.download import Content, Downloads, Stopped, Wanted
from stages.fetch.lock import Source
from stages.fetch.pattern import fixed_folder
from stages.fetch.sources import parse
from stages.fetch.transport import UNKNOWN, Reply, Unreachable

if TYPE_CHECKING:
    from httpx2 import Client

SIDE_BY_SIDE = 8  # files at once: enough to hide the way there, few enough for any server
Mirrors = Mapping[str, Sequence[str]]  # the further places of a source, by its text
Key = tuple[str, str]  # a source's text and the file's path below data/raw/<p>/


class Connections:
    """One web client and one file system a kind, made when first needed, shared by all threads."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.systems: dict[tuple[str, str], Any] = {}
        self.mutex = Mutex()

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        if self.client is not None:
            self.client.close()

    def web(self) -> "Client":
        with self.mutex:
            self.client = self.client or web.client(SIDE_BY_SIDE)
            return self.client

    def system(self, address: Address) -> Any:
        key = (address.scheme, urlsplit(address.place).netloc)
        with self.mutex:
            if key not in self.systems:
                self.systems[key] = bucket.filesystem(address)
            return self.systems[key]

    def opened(self, url: str, **how: Any) -> AbstractContextManager[Reply]:
        scheme = url.partition("://")[0].lower()
        if scheme in WEB:
            return web.opened(self.web(), url, **how)
        return bucket.opened(self.system(Address(scheme, url)), url, **how)


def listed(address: Address, mirrors: Sequence[str], connections: Connections) -> dict[str, Wanted]:
    """The files of a remote source as it is now, by their names. Raises SourceError."""
    places = (address.place, *mirrors)
    if not address.listed:
        return {address.name: Wanted(address.name, places)}
    problems = []
    for place in places:
        one = Address(address.scheme if place == address.place else place.partition("://")[0].lower(), place)
        try:
            found = bucket.find(one, connections.system(one))
        except Unreachable as error:
            problems.append(f"\n  - {place}: {error}")
            continue
        first = place == address.place
        return {
            file.name: Wanted(
                file.name.rsplit("/", 1)[-1], urls_of(file.name, places), version=file.version if first else UNKNOWN
            )
            for file in found
        }
    raise SourceError(f"{address.place} could not be listed:{''.join(problems)}\nCheck the address and the credentials")


def urls_of(name: str, places: Iterable[str]) -> tuple[str, ...]:
    """Where a file of a listed source lies: below each place's fixed folder."""
    return tuple(fixed_folder(place) + name for place in places)


def of_lock(sources: Iterable[Source], mirrors: Mirrors) -> dict[Key, Wanted]:
    """What a lock lists of remote sources. An archive's key has the path ''."""
    wanted: dict[Key, Wanted] = {}
    for source in sources:
        address = parse(source.from_)
        if not isinstance(address, Address) or not address.remote:
            continue
        places = (address.place, *mirrors.get(source.from_, ()))
        if source.package is not None:
            wanted[source.from_, ""] = Wanted(source.package.file, places, source.package)
        for file in source.files if source.package is None else ():
            urls = urls_of(file.path, places) if address.listed else places
            wanted[source.from_, file.path] = Wanted(file.path.rsplit("/", 1)[-1], urls, file)
    return wanted


def obtain(
    wanted: Mapping[Key, Wanted], connections: Connections, *, packages: Path, limits: Limits
) -> dict[Key, Content]:
    """Every file in the cache. At the first that cannot be had the others stop, and resume next time."""
    if not wanted:
        return {}
    sizes = [one.locked.size for one in wanted.values() if one.locked is not None]
    total = sum(sizes) if len(sizes) == len(wanted) else None
    bar = Bar("fetching", len(wanted), num_bytes=total)
    downloads = Downloads(packages, connections.opened, bar, limits)
    partial.remove_stale(packages.parent / "downloads")
    contents = side_by_side(downloads.obtain, list(wanted.values()), bar)
    if bar.files_transferred:
        progress(bar.summary(), last=True)
    return dict(zip(wanted, contents, strict=True))


def side_by_side(obtain: Callable[[Wanted], Content], wanted: Sequence[Wanted], bar: Bar) -> list[Content]:
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="fetch") as pool:
        try:
            futures = [pool.submit(obtain, one) for one in wanted]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # after a failure or Ctrl-C; without effect when all are done
            bar.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
    failed = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    for error in sorted(failed, key=lambda error: isinstance(error, Stopped)):
        raise error
    return [future.result() for future in futures]
