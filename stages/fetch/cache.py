"""A package URL in, its file in the cache out: downloaded once, checked by SHA-256 at every use.

The cache is `$XDG_CACHE_HOME/ingot/packages`, outside the work tree; deleting it costs time only.
"""

import os
import shutil
import tempfile
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.cli import progress
from stages.core.errors import SourceError
from stages.core.files import sha256
from stages.fetch.lock import Altered, Package
from stages.fetch.sources import Download, label

if TYPE_CHECKING:
    from packageurl import PackageURL

STALE_SECONDS = 24 * 3600  # a download that nobody finishes any more


def default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ingot" / "packages"


def cached(file: str, digest: str, *, folder: Path) -> Path | None:
    """The file with this SHA-256, if it is here and whole. A damaged one is removed."""
    path = folder / digest[:16] / file
    if not digest or not path.is_file():
        return None
    if sha256(path) == digest:
        return path
    progress(f"{path} is damaged; downloading {file} again", last=True)
    path.unlink(missing_ok=True)
    return None


def obtain(purl: "PackageURL", folder: Path, *, locked: Package | None = None) -> tuple[Package, Path]:
    """The package's file. With `locked`, that very file or a SourceError; else what is offered now."""
    if locked is not None:
        path = cached(locked.file, locked.sha256, folder=folder)
        if path is not None:
            return locked, path
        purl = purl._replace(version=locked.version)
        if purl.type == "pypi":  # a release has several files
            purl = purl._replace(qualifiers={"file_name": locked.file})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        aside = tempfile.TemporaryDirectory(dir=folder, suffix=".part")
    except OSError as error:
        raise SourceError(
            f"the package cache {folder} cannot be written: {error}. Free space there, or set XDG_CACHE_HOME to "
            "another folder"
        ) from None
    with aside as place:
        module = import_module(f"stages.fetch.{purl.type}")
        got: Download = module.download(purl, Path(place), cached=partial(cached, folder=folder))
        package = Package(version=got.version, file=got.file, size=got.path.stat().st_size, sha256=sha256(got.path))
        if locked is not None:
            check(package, locked, name=label(purl))
        path = folder / package.sha256[:16] / package.file
        if got.path != path:
            path.parent.mkdir(exist_ok=True)
            os.replace(got.path, path)
    return package, path


def check(package: Package, locked: Package, *, name: str) -> None:
    """Raises Altered where a download is not the file that the lock names."""
    if (package.size, package.sha256) != (locked.size, locked.sha256):
        raise Altered(
            f"{name}: the downloaded {package.file} has {package.size:,} bytes and the SHA-256 {package.sha256}; "
            f"the lock says {locked.size:,} bytes and {locked.sha256}. "
            "The download was cut short or the package was changed after it was locked. Run this again; if it "
            "stays so, find out why"
        )


def remove_stale(folder: Path) -> None:
    """Remove what killed downloads left over."""
    for path in folder.glob("*.part"):
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
