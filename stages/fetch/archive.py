"""A package file in, the regular files inside it out, one after the other and never unpacked.

Reads wheels and zip files, tar files of any compression, and Debian packages. Nothing is trusted:
a name that leaves the content root refuses the whole package, links are shown but not followed.
"""

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
from typing import IO

from stages.core.errors import SourceError
from stages.fetch.client import require

DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
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
def entries(package: Path) -> Iterator[Iterator[Entry]]:
    """The members of a package, by their names below its content root; no folders.

    Wheels and .deb files start at their own root; sdists and npm packages below their one folder.
    Raises SourceError where the file is damaged, here or while the block reads from it.
    """
    try:
        if package.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(package) as file:
                yield below_root(zip_entries(file), folders=0 if package.suffix == ".whl" else 1)
        elif package.suffix == ".deb":
            with deb_tar(package) as tar:
                yield below_root(tar_entries(tar), folders=0)
        else:
            with tarfile.open(package, "r|*") as tar:
                yield below_root(tar_entries(tar), folders=1)
    except DAMAGED as error:
        raise SourceError(
            f"{package.name} cannot be read: {error or type(error).__name__}. Delete {package} and fetch again; if "
            "that gives the same file, the package itself is broken"
        ) from None


def zip_entries(file: zipfile.ZipFile) -> Iterator[Entry]:
    for info in file.infolist():
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            raise zipfile.BadZipFile(f"{info.filename} is encrypted")
        kind = stat.S_IFMT(info.external_attr >> 16)
        yield Entry(info.filename, kind in (0, stat.S_IFREG), lambda info=info: file.open(info))  # type: ignore[misc]


def tar_entries(file: tarfile.TarFile) -> Iterator[Entry]:
    def content(member: tarfile.TarInfo) -> IO[bytes]:
        stream = file.extractfile(member)
        assert stream is not None  # regular files have one
        return stream

    for member in file:
        if not member.isdir():
            yield Entry(member.name, member.isreg(), lambda member=member: content(member))  # type: ignore[misc]


@contextmanager
def deb_tar(package: Path) -> Iterator[tarfile.TarFile]:
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
                with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
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
