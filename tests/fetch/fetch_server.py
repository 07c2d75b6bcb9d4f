"""A web server on this machine that can do what real ones do: ranges, ETags, redirects, and failing."""

import hashlib
import http.server
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


@dataclass
class Asked:
    """One request, and how many bytes of a body it was answered with."""

    path: str
    range: str
    status: int
    num_bytes: int
    authorization: str = ""


@dataclass
class Page:
    body: bytes
    kind: str = "text/csv"
    etag: bool = True
    modified: bool = True
    ranges: bool = True
    sized: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    # What the next requests meet, one each: a status, ("cut", bytes) or ("pause", event) after 100 kB.
    faults: list[Any] = field(default_factory=list)


@dataclass
class Web:
    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    active: int = 0
    most_at_once: int = 0

    def put(self, path: str, body: bytes, **how: Any) -> str:
        self.pages[path] = Page(body, **how)
        return self.url + path

    def answered(self, path: str) -> list[tuple[int, int]]:
        """Status and bytes of every answer to requests of one path."""
        return [(one.status, one.num_bytes) for one in self.asked if one.path == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()

    def __init__(self, web: Web, *args: Any) -> None:
        self.web = web
        super().__init__(*args)

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was killed, or has heard enough
            super().handle()

    def do_GET(self) -> None:
        with self.lock:
            self.web.active += 1
            self.web.most_at_once = max(self.web.most_at_once, self.web.active)
        try:
            self.reply(self.path.split("?")[0])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.lock:
                self.web.active -= 1

    def reply(self, path: str) -> None:
        page = self.web.pages.get(path)
        if path in self.web.redirects:
            return self.send(path, 302, b"", {"Location": self.web.redirects[path]})
        if page is None:
            return self.send(path, 404, b"")
        fault = page.faults.pop(0) if page.faults else None
        if isinstance(fault, int):
            return self.send(path, fault, b"", {"Retry-After": "0"})
        headers = {"Content-Type": page.kind, **page.headers}
        etag = f'"{hashlib.md5(page.body).hexdigest()}"' if page.etag else ""
        headers |= {"ETag": etag} if etag else {}
        headers |= {"Last-Modified": MODIFIED} if page.modified else {}
        if (etag and self.headers.get("If-None-Match") == etag) or (
            page.modified and self.headers.get("If-Modified-Since") == MODIFIED and not etag
        ):
            return self.send(path, 304, b"", headers)
        body, status = page.body, 200
        asked, unchanged = self.headers.get("Range", ""), self.headers.get("If-Range")
        if asked and page.ranges and unchanged in (None, etag, MODIFIED):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send(path, 416, b"", headers)
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        return self.send(path, status, body, headers, fault=fault, sized=page.sized)

    def send(
        self,
        path: str,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        fault: Any = None,
        sized: bool = True,
    ) -> None:
        sent = body[: fault[1]] if fault and fault[0] == "cut" else body[:100_000] if fault else body
        range_, authorization = (self.headers.get(name, "") for name in ("Range", "Authorization"))
        self.web.asked.append(Asked(path, range_, status, len(sent), authorization))  # before the client hears of it
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if sized:
            self.send_header("Content-Length", str(len(body)))
        if fault or not sized:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(sent)
        if fault and fault[0] == "pause":
            self.wfile.flush()
            fault[1].wait(20)
            self.wfile.write(body[100_000:])

    def log_message(self, format: str, *args: object) -> None:
        pass


def start(web: Web, certificate: Path | None = None) -> Callable[[], None]:
    """Serve until the returned function is called; over https with a certificate and its key."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, web))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web.url = f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop
