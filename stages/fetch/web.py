"""A web address in, its bytes out: from where a former attempt stopped, over safe redirects only."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from stages.fetch.address import CREDENTIALS, is_loopback
from stages.fetch.transport import UNKNOWN, Reply, Unreachable, Version

if TYPE_CHECKING:
    from httpx2 import Client, Response

CONNECT_SECONDS = 10
READ_SECONDS = 30  # between two pieces, not for the whole file
MAX_REDIRECTS = 5
MAX_WAIT_SECONDS = 30  # that a server may ask for by Retry-After
PASSING = (408, 425, 429)  # and every 5xx
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def client(max_connections: int) -> "Client":
    """Certificates and proxies from the environment (SSL_CERT_FILE, HTTPS_PROXY), passwords from netrc."""
    from httpx2 import Client, Limits, NetRCAuth, Timeout

    netrc = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    return Client(
        auth=NetRCAuth(str(netrc)) if netrc.is_file() else None,
        timeout=Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        limits=Limits(max_connections=max_connections),
        mounts={"http://": None},  # servers on this machine, which a proxy would not reach
        follow_redirects=False,
    )


@contextmanager
def opened(
    client: "Client", url: str, *, offset: int = 0, version: Version = UNKNOWN, unless: Version = UNKNOWN
) -> Iterator[Reply]:
    """Ask for a file, or for what follows `offset` if it is still of `version`; or only if it is
    not of the version `unless`. Raises Unreachable, here or while the chunks are read.
    """
    from httpx2 import HTTPError, InvalidURL

    headers = {"Accept-Encoding": "identity"}  # sizes and ranges are of the file as it lies there
    strong = version.etag if not version.etag.startswith("W/") else ""
    if offset:
        headers["Range"] = f"bytes={offset}-"
        headers |= {"If-Range": strong or version.modified} if strong or version.modified else {}
    elif unless.etag:
        headers["If-None-Match"] = unless.etag
    elif unless.modified:
        headers["If-Modified-Since"] = unless.modified
    try:
        with followed(client, url, headers) as response:
            if response.status_code == 304 and unless.known:
                yield Reply(unless, iter(()), unchanged=True)
            else:
                yield answer(response, url, offset=offset)
    except InvalidURL as error:
        raise Unreachable(f"{error}") from None
    except HTTPError as error:
        text = f"{error}" or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in text:
            raise Unreachable(f"{text} (SSL_CERT_FILE names further authorities)") from None
        raise Unreachable(text, retry=True) from None


@contextmanager
def followed(client: "Client", url: str, headers: Mapping[str, str]) -> Iterator["Response"]:
    """The first answer that is no redirect."""
    for _ in range(MAX_REDIRECTS + 1):
        with client.stream("GET", url, headers=dict(headers)) as response:
            if response.status_code not in (301, 302, 303, 307, 308):
                yield response
                return
            url = hop(url, response.headers.get("Location", ""))
    raise Unreachable(f"more than {MAX_REDIRECTS} redirects, the last to {url}")


def hop(url: str, location: str) -> str:
    """Where a redirect leads. Raises Unreachable where the way there would be open to everyone."""
    target = urljoin(url, location)
    parts, former = urlsplit(target), urlsplit(url)
    loopback = is_loopback(parts.hostname or "") and former.scheme == "http"
    if parts.scheme == "https" or (parts.scheme == "http" and loopback):
        return target
    raise Unreachable(f"it redirects to {target}, which is not https")


def answer(response: "Response", url: str, *, offset: int) -> Reply:
    """Raises Unreachable where the status says that this is not the file."""
    status, headers = response.status_code, response.headers
    if status == 416:
        raise Unreachable("the file is shorter than what had been kept of it", retry=True, restart=True)
    if status not in (200, 206):
        said = f"{status} {response.reason_phrase}".strip()
        hint = f" (credentials are taken from {CREDENTIALS['https']})" if status in (401, 403) else ""
        passing = status >= 500 or status in PASSING
        raise Unreachable(said + hint, retry=passing, wait_seconds=asked_wait(headers.get("Retry-After", "")))
    if headers.get("Content-Encoding", "identity") != "identity":
        raise Unreachable(f"it comes packed as {headers['Content-Encoding']}, though that was not asked for")
    name = urlsplit(url).path.lower()
    if headers.get("Content-Type", "").startswith("text/html") and not name.endswith((".html", ".htm")):
        raise Unreachable("it answers with a web page, not with a file; take the address of the download itself")
    size = int(length) if (length := headers.get("Content-Length", "")).isdecimal() else None
    start = 0
    if status == 206:
        match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            raise Unreachable("it sent another part than was asked for", retry=True, restart=True)
        start, size = offset, int(match[2]) if match[2] != "*" else None
    version = Version(headers.get("ETag", ""), headers.get("Last-Modified", ""), size)
    return Reply(version, response.iter_raw(1 << 16), start)


def asked_wait(text: str) -> float:
    """Seconds of a Retry-After header; one that gives a date is passed over."""
    return min(float(text), MAX_WAIT_SECONDS) if text.isdecimal() else 0.0
