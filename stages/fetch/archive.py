"""A package file in, the regular files inside it out, one after the other and never unpacked.

Reads wheels and zip files, tar files of any compression, single compressed files, and Debian
packages. Nothing is trusted: a name that leaves the content root refuses the whole package, links
and devices are shown but not followed, and what is read is counted against `Limits`.
"""

import gzip
import lzma
import re
import stat
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from stages.core.errors import SourceError
from stages.fetch import decompress
from stages.fetch.bounds import Bounded, Budget, Limits
from stages.fetch.client import require

DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)
OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")


@dataclass(frozen=True)
class Entry:
    """One member. `open` gives its bytes, and only until the next entry is asked for."""

    name: str
    regular: bool  # not a link, a device or a pipe
    open: Callable[[], IO[bytes]]


@contextmanager
def entries(package: Path, *, own_root: bool = False, limits: Limits | None = None) -> Iterator[Iterator[Entry]]:
    """The members of a package, by their names below its content root; no folders.

    Wheels, .deb files and archives that are `own_root` start at their own root; sdists and npm
    packages below their one folder. Raises SourceError where the file is damaged or unpacks to more
    than `limits`, here or while the block reads from it.
    """
    budget = Budget(package.name, package.stat().st_size, limits or Limits())
    folders = 0 if own_root or package.suffix in (".whl", ".deb") else 1
    suffix = package.suffix.lower()
    try:
        if suffix in (".whl", ".zip"):
            with zipfile.ZipFile(package) as file:
                yield below_root(zip_entries(file, budget), folders=folders)
        elif suffix == ".deb":
            with deb_tar(package, budget) as tar:
                yield below_root(tar_entries(tar), folders=folders)
        elif decompress.is_tar(package.name):
            with open_bounded(package, budget) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                yield below_root(tar_entries(tar), folders=folders)
        else:
            name = decompress.inner_name(package.name)
            yield iter([Entry(name, True, lambda: open_bounded(package, budget))])
    except DAMAGED as error:
        raise SourceError(
            f"{package.name} cannot be read: {error or type(error).__name__}. Delete {package} and fetch again; if "
            "that gives the same file, the package itself is broken"
        ) from None


def open_bounded(package: Path, budget: Budget) -> IO[bytes]:
    return cast(IO[bytes], Bounded(decompress.opened(package), budget))


def zip_entries(file: zipfile.ZipFile, budget: Budget) -> Iterator[Entry]:
    def content(info: zipfile.ZipInfo) -> IO[bytes]:
        if info.flag_bits & 1:
            raise SourceError(
                f"{info.filename} in {budget.name} is encrypted, and Ingot keeps no passwords. Unpack it yourself, "
                "and name the folder that it is in then"
            )
        return cast(IO[bytes], Bounded(file.open(info), budget))

    for info in file.infolist():
        if not info.is_dir():
            kind = stat.S_IFMT(info.external_attr >> 16)
            yield Entry(info.filename, kind in (0, stat.S_IFREG), lambda info=info: content(info))  # type: ignore[misc]


def tar_entries(file: tarfile.TarFile) -> Iterator[Entry]:
    def content(member: tarfile.TarInfo) -> IO[bytes]:
        stream = file.extractfile(member)
        assert stream is not None  # regular files have one
        return stream

    for member in file:
        if not member.isdir():
            yield Entry(member.name, member.isreg(), lambda member=member: content(member))  # type: ignore[misc]


@contextmanager
def deb_tar(package: Path, budget: Budget) -> Iterator[tarfile.TarFile]:
    """The file system inside a .deb, as a stream from `dpkg-deb`, which knows every compression."""
    command = [
        require("dpkg-deb", needed_by="pkg:deb sources", install="Debian's package `dpkg`"),
        "--fsys-tarfile",
        str(package),
    ]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            try:
                stream = cast(IO[bytes], Bounded(process.stdout, budget))
                with tarfile.open(fileobj=stream, mode="r|") as tar:
                    yield tar
                while process.stdout.read(1 << 16):  # padding after the last member
                    pass
            except tarfile.TarError:
                process.stdout.close()  # else it could wait for us for ever
                if process.wait() == 0:
                    raise
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            complaints.seek(0)
            raise tarfile.ReadError(complaints.read().decode(errors="replace").strip())


def below_root(found: Iterator[Entry], *, folders: int) -> Iterator[Entry]:
    """Entries with safe, plain names, without the leading folder where `folders` is 1."""
    for entry in found:
        if OUTSIDE.search(entry.name) or "\0" in entry.name:
            raise SourceError(
                f"the package holds a file named {entry.name!r}, which points outside it. Do not use this package: "
                "it is broken or hostile"
            )
        parts = [part for part in entry.name.split("/") if part not in ("", ".")]
        name = "/".join(parts[folders:] if len(parts) > folders else parts)
        yield Entry(name, entry.regular, entry.open)
