"""A throw-away project with its own package cache and package clients that reach nothing."""

import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

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

    def declare(self, *sources: str) -> None:
        (self.root / "params.yaml").write_text(f"shop: {{fetch: {{from: {list(sources)!r}}}}}\n")

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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_TRUSTED_HOST"):
        monkeypatch.delenv(name, raising=False)
    made = Project(tmp_path)
    made.links.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.links))
    return made


Pages = dict[str, tuple[str, bytes]]


@pytest.fixture
def serve() -> Iterator[Callable[[Pages], str]]:
    """Serves pages, {path: (content type, body)}, on this machine; a body is cut when its type says so."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(pages: Pages) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = pages.get(self.path.split("?")[0], ("", b""))
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind.removesuffix("; cut"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if kind.endswith("; cut") else body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[[Callable[[], None]], str]:
    """Runs a command that must end with a SourceError; gives what it printed."""

    def run(command: Callable[[], None]) -> str:
        with pytest.raises(SystemExit) as stopped:
            command()
        assert stopped.value.code == 3
        return capsys.readouterr().err

    return run
