"""A throw-away project with its own package cache and package clients that reach nothing."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fetch_project import Pages, Project
from fetch_server import Web, start


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
def web(project: Project) -> Iterator[Web]:
    """A web server with ranges, ETags and faults, and a project to fetch into."""
    served = Web()
    stop = start(served)
    yield served
    stop()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other without a pause."""
    monkeypatch.setattr("stages.fetch.download.BACKOFF_SECONDS", 0.001)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must end with a SourceError, or the exit code given; gives what it printed."""

    def run(command: Callable[[], None], code: int = 3) -> str:
        with pytest.raises(SystemExit) as stopped:
            command()
        assert stopped.value.code == code
        return capsys.readouterr().err

    return run
