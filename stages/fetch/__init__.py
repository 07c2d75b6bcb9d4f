"""A lock in, raw data out: exactly the files that `sources/<p>/lock.json` lists, checked.

`--refresh <p>` is the act in time beside it: it looks at the sources as they are now, and rewrites
the lock.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from stages import contract
from stages.core import cli, files
from stages.core.errors import DiskFull, SourceError
from stages.fetch.bounds import Limits

if TYPE_CHECKING:
    from stages.fetch.lock import Changes, Lock

EXPECTED = (
    "a package URL such as pkg:pypi/<name>@<version>#<file>, an address such as https://host/file or "
    "s3://bucket/*.csv, a path, {url: …, mirrors: […]}, or a list of them"
)


class Mirrored(contract.Section):
    """One source that can be had at several places, asked in this order. The lock names `url` alone."""

    url: str
    mirrors: tuple[str, ...]


def listed(value: Any) -> tuple[str | Mirrored, ...]:
    """One source or several, each of a form that can be fetched. Raises ValueError with the fix."""
    from stages.fetch.sources import parse

    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(EXPECTED)
    sources: list[str | Mirrored] = []
    for one in values:
        if isinstance(one, str):
            parse(one)
            sources.append(one)
        else:
            sources.append(mirrored(one))
    return tuple(sources)


def mirrored(value: Any) -> Mirrored:
    """`{url: …, mirrors: […]}`, every one of them a remote file. Raises ValueError with the fix."""
    from stages.fetch.address import Address
    from stages.fetch.sources import parse

    if not isinstance(value, dict) or set(value) != {"url", "mirrors"} or not isinstance(value["mirrors"], list):
        raise ValueError(EXPECTED)
    texts = [value["url"], *value["mirrors"]]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(EXPECTED)
    first = parse(texts[0])
    for text in texts:
        place = parse(text)
        if not isinstance(place, Address) or not place.remote:
            raise ValueError(f"mirrors of addresses such as https://host/file; {text} is not one")
        if place.member and text != texts[0]:
            raise ValueError(f"mirrors without '#', whose members url names for all of them; {text} has one")
        if isinstance(first, Address) and place.listed != first.listed:
            raise ValueError(f"a url and mirrors that all have a wildcard, or none of them; {text} differs")
    return Mirrored(url=texts[0], mirrors=tuple(texts[1:]))


class Section(contract.Section):
    """`<pipeline>.fetch`. Archives keep their files below `#`; paths start at params.yaml's folder."""

    from_: Annotated[tuple[str | Mirrored, ...], BeforeValidator(listed)] = Field(alias="from")
    max_file_bytes: int = Field(default=Limits.max_file_bytes, gt=0)  # of one download
    max_unpacked_bytes: int = Field(default=Limits.max_unpacked_bytes, gt=0)  # of one archive
    max_unpack_ratio: int = Field(default=Limits.max_unpack_ratio, gt=0)  # unpacked to packed bytes of one archive

    @property
    def mirrors(self) -> dict[str, tuple[str, ...]]:
        """Every source as the lock names it, with the further places where it can be had."""
        return {
            source if isinstance(source, str) else source.url: () if isinstance(source, str) else source.mirrors
            for source in self.from_
        }

    @property
    def limits(self) -> Limits:
        return Limits(self.max_file_bytes, self.max_unpacked_bytes, self.max_unpack_ratio)


def fetch(section: Section, lock: "Lock", *, out: Path, root: Path) -> None:
    """Write the lock's files below `out`. Raises Altered where one is not as locked, and where
    the contract's sources are no longer those that were locked.
    """
    from stages.fetch.cache import default_folder
    from stages.fetch.extract import extract
    from stages.fetch.lock import Altered

    declared, locked = set(section.mirrors), {source.from_ for source in lock.sources}
    if declared != locked:
        added = "".join(f"\n  + {text}" for text in sorted(declared - locked))
        removed = "".join(f"\n  - {text}" for text in sorted(locked - declared))
        raise Altered(f"fetch.from in params.yaml and the sources in the lock differ:{added}{removed}")
    packages = default_folder()
    extract(lock, out, root=root, packages=packages, mirrors=section.mirrors, limits=section.limits)


def refresh(pipeline: str, *, params: Path = Path("params.yaml"), lock: Path | None = None) -> "Changes":
    """Look at a pipeline's sources as they are now and rewrite its lock where they have changed.

    `lock` is `sources/<pipeline>/lock.json` beside params.yaml unless given. Raises SourceError
    where a source is out of reach; the lock then stays as it was.
    """
    from stages.fetch.cache import default_folder
    from stages.fetch.lock import compare, dump, read
    from stages.fetch.resolve import resolve

    section = contract.load(params, pipeline).section("fetch", Section)
    path = lock or params.parent / "sources" / pipeline / "lock.json"
    after = resolve(section.mirrors, root=params.parent, packages=default_folder(), limits=section.limits)
    try:
        before = read(path, pipeline) if path.exists() else None
    except SourceError:  # half merged by git, say: what is written now mends it
        before = None
    text = dump(after)
    if not path.exists() or path.read_bytes() != text.encode():
        files.write_text(path, text)
    return compare(before, after)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.fetch", description=__doc__)
    parser.add_argument(
        "--refresh",
        metavar="P",
        help="rewrite the lock of pipeline P from what its sources hold now; needs no other argument",
    )
    parser.add_argument("--pipeline", metavar="P", help="write the raw data of pipeline P, as locked, to --out")
    parser.add_argument("--lock", type=Path, help="sources/<p>/lock.json")
    parser.add_argument("--out", type=Path, help="a folder, replaced as a whole")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--status", type=Path, default=Path("data/.run"))
    arguments = parser.parse_args(argv)
    if arguments.refresh:
        report_refresh(arguments.refresh, params=arguments.params, lock=arguments.lock, status=arguments.status)
        return
    if arguments.pipeline and arguments.lock and not arguments.lock.exists():
        from stages.fetch.lock import read

        with cli.reporting("fetch", arguments.pipeline, arguments.status / f"{arguments.pipeline}.fetch.json"):
            read(arguments.lock, arguments.pipeline)  # says how a lock is made; `job` could not
    run(argv, root=arguments.params.parent)


def run(argv: Sequence[str] | None, *, root: Path) -> None:
    """The stage, as dvc.yaml calls it."""
    from stages.fetch.lock import read
    from stages.fetch.meter import count, size

    with cli.job("fetch", "lock", argv=argv) as job, plain_errors(job.contract.pipeline):
        section = job.contract.section("fetch", Section)
        lock = read(job["lock"], job.contract.pipeline)
        fetch(section, lock, out=job.out, root=root)
        job.say(f"{count(len(lock.files))}, {size(sum(file.size for file in lock.files))}, as locked")


def report_refresh(pipeline: str, *, params: Path, lock: Path | None, status: Path) -> None:
    """`--refresh`, with its result on stdout and in `data/.run/<p>.refresh.json`."""
    from stages.fetch.lock import describe

    record = status / f"{pipeline}.refresh.json"
    with cli.reporting("refresh", pipeline, record), plain_errors(pipeline):
        text = describe(refresh(pipeline, params=params, lock=lock))
        files.write_json(record, {"stage": "refresh", "pipeline": pipeline, "summary": text.splitlines()[0]})
    print(f"refresh {pipeline}: {text}", flush=True)


@contextmanager
def plain_errors(pipeline: str) -> Iterator[None]:
    """What the file system refuses as a SourceError, or DiskFull, and how to accept data that have changed."""
    from stages.fetch.lock import Altered
    from stages.fetch.meter import clear

    try:
        yield
    except Altered as error:
        raise SourceError(
            f"{error}\nIf the change is meant, lock it: run `python -m stages.fetch --refresh {pipeline}`"
        ) from None
    except OSError as error:
        if error.errno in cli.FULL:
            raise DiskFull(
                f"the disk is full: {error}. Free space there, then run this again: what was there before is "
                "untouched, and downloads go on from where they stopped"
            ) from None
        raise SourceError(f"{error}. Mend the permissions or free space there, then run this again") from None
    finally:
        clear()
