"""A throw-away project that fetches a pipeline named shop, and archives to fetch from."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.fetch import main
from stages.fetch.lock import Changes, Lock, read

Files = Mapping[str, bytes]
SALES = b"invoice,amount\n1,2.50\n2,4.00\n"


@dataclass
class Project:
    """Runs the real command on a pipeline named shop."""

    root: Path

    @property
    def lock_path(self) -> Path:
        return self.root / "sources" / "shop" / "lock.json"

    @property
    def out(self) -> Path:
        return self.root / "data" / "raw" / "shop"

    @property
    def links(self) -> Path:
        """The folder that pip finds packages in."""
        return self.root / "links"

    @property
    def packages(self) -> Path:
        return self.root / "cache" / "ingot" / "packages"

    @property
    def downloads(self) -> Path:
        """What is kept of URLs: partial downloads and versions seen."""
        return self.root / "cache" / "ingot" / "downloads"

    def declare(self, *sources: object, **options: object) -> None:
        """`fetch.from` and, by keyword, the other keys of the section. (JSON is YAML.)"""
        section = {"from": list(sources), **options}
        (self.root / "params.yaml").write_text(json.dumps({"shop": {"fetch": section}}))

    def refresh(self) -> Changes:
        from stages.fetch import refresh

        return refresh("shop", params=self.root / "params.yaml")

    def run_refresh(self) -> None:
        common = ["--params", str(self.root / "params.yaml"), "--status", str(self.root / "status")]
        main(["--refresh", "shop", *common])

    def fetch(self) -> None:
        common = ["--params", str(self.root / "params.yaml"), "--status", str(self.root / "status")]
        main(["--pipeline", "shop", "--lock", str(self.lock_path), "--out", str(self.out), *common])

    def lock(self) -> Lock:
        return read(self.lock_path, "shop")

    def raw(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.out).as_posix(): path.read_bytes() for path in self.out.rglob("*") if path.is_file()
        }

    def write(self, files: Files) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def wheel(self, files: Files, *, name: str = "salesdata", version: str = "1.0") -> Path:
        self.links.mkdir(exist_ok=True)
        path = self.links / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in files.items():
                archive.writestr(zipfile.ZipInfo(member), content)
        return path

    def sdist(self, files: Files, *, name: str = "salesdata", version: str = "1.0") -> Path:
        self.links.mkdir(exist_ok=True)
        path = self.links / f"{name}-{version}.tar.gz"
        path.write_bytes(tar_bytes({f"{name}-{version}/{member}": content for member, content in files.items()}))
        return path


def tar_bytes(files: Files, *, mode: str = "w:gz", links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE
            member.linkname = target
            archive.addfile(member)
    return buffer.getvalue()


def deb_bytes(data_tar: bytes, *, control: str) -> bytes:
    """A .deb by hand: an `ar` file of three members, deb(5)."""
    control_tar = tar_bytes({"./control": control.encode()})
    members = {"debian-binary": b"2.0\n", "control.tar.gz": control_tar, "data.tar.gz": data_tar}
    content = b"!<arch>\n"
    for name, member in members.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(member):<10}`\n".encode()
        content += member + b"\n" * (len(member) % 2)
    return content


Pages = dict[str, tuple[str, bytes]]
