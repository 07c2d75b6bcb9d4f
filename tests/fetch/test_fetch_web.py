"""https sources, here from a server on this machine: mirrors, redirects, faults, resume, refresh."""

import datetime
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fetch_project import SALES, Project
from fetch_server import Web, start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.core.errors import SourceError
from stages.fetch import web as transport
from stages.fetch.transport import Unreachable

Fails = Callable[[Callable[[], None]], str]
BIG = bytes(range(256)) * 12_000  # 3 MB

pytestmark = pytest.mark.usefixtures("at_once")


def files_of(project: Project) -> list[tuple[str, int]]:
    return [(file.path, file.size) for file in project.lock().files]


def test_a_web_file_is_locked_and_fetched_once(project: Project, web: Web) -> None:
    project.declare(web.put("/data/sales%202024.csv", SALES))
    web.pages["/data/sales%202024.csv"].kind = "text/plain"
    project.refresh()
    assert files_of(project) == [("sales 2024.csv", 29)]
    project.fetch()
    assert project.raw() == {"sales 2024.csv": SALES}
    assert web.answered("/data/sales%202024.csv") == [(200, 29)]


def test_the_lock_names_the_url_and_holds_no_time(project: Project, web: Web) -> None:
    url = web.put("/sales.csv", SALES)
    project.declare({"url": url, "mirrors": [web.put("/copy.csv", SALES)]})
    project.refresh()
    lock = json.loads(project.lock_path.read_text())
    assert [(source["from"], list(source)) for source in lock["sources"]] == [(url, ["from", "files"])]
    assert list(lock["sources"][0]["files"][0]) == ["path", "size", "sha256"]


def test_a_mirror_stands_in_where_the_first_place_fails(project: Project, web: Web) -> None:
    url = web.put("/sales.csv", SALES)
    project.declare({"url": url, "mirrors": [web.url + "/none.csv", web.put("/copy.csv", SALES)]})
    project.refresh()
    for path in project.packages.rglob("sales.csv"):
        path.unlink()
    del web.pages["/sales.csv"]
    project.fetch()
    assert project.raw() == {"sales.csv": SALES}
    assert [one.path for one in web.asked] == ["/sales.csv", "/sales.csv", "/none.csv", "/copy.csv"]


def test_a_mirror_with_other_bytes_is_passed_over(project: Project, web: Web, fails: Fails) -> None:
    same_size = SALES.replace(b"4", b"5")
    url, other = web.put("/sales.csv", SALES), web.put("/other.csv", same_size)
    project.declare({"url": url, "mirrors": [other, web.put("/longer.csv", SALES + b"x")]})
    project.refresh()
    for path in project.packages.rglob("sales.csv"):
        path.unlink()
    web.pages["/sales.csv"].faults = [503] * 4
    said = fails(project.fetch)
    assert f"sales.csv could not be fetched:\n  - {url}: 503 Service Unavailable, 4 times\n" in said
    assert f"  - {other}: it has 29 bytes and the SHA-256 " in said
    assert "/longer.csv: it has 30 bytes; the lock says 29" in said
    assert "python -m stages.fetch --refresh shop" in said
    project.fetch()
    assert project.raw() == {"sales.csv": SALES}


def test_what_passes_is_tried_again_and_what_stays_is_not(project: Project, web: Web) -> None:
    project.declare(web.put("/a.csv", SALES, faults=[503, 429, 500]), web.put("/b.csv", SALES, faults=[403]))
    with pytest.raises(SourceError, match=r"b\.csv: 403 Forbidden \(credentials are taken from a line `machine HOST"):
        project.refresh()
    project.refresh()
    assert [status for status, _ in web.answered("/a.csv")][:4] == [503, 429, 500, 200]


def test_a_server_that_is_not_there_is_named(project: Project) -> None:
    project.declare("http://127.0.0.1:9/a.csv")
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/a\.csv: .*refused, 4 times\nCheck the address"):
        project.refresh()


def test_a_broken_connection_is_resumed_from_where_it_broke(project: Project, web: Web) -> None:
    project.declare(web.put("/big.bin", BIG, faults=[("cut", 2_000_000), ("cut", 500_000)]))
    project.refresh()
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    statuses = [status for status, _ in web.answered("/big.bin")]
    assert statuses == [200, 206, 206]
    starts = [int(one.range.removeprefix("bytes=").removesuffix("-") or 0) for one in web.asked]
    assert starts[0] == 0
    assert 1_900_000 < starts[1] < starts[2] <= 2_500_000


@pytest.mark.parametrize("how", [{"ranges": False}, {"etag": False, "modified": False}, {"sized": False}])
def test_servers_that_cannot_resume_begin_again(project: Project, web: Web, how: dict[str, bool]) -> None:
    sized = how.get("sized", True)
    project.declare(web.put("/big.bin", BIG, faults=[("cut", 2_000_000)] if sized else [], **how))
    project.refresh()
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    assert web.answered("/big.bin")[-1] == (200, len(BIG))


def test_a_file_that_changed_in_between_is_not_glued_to_its_former_half(project: Project, web: Web) -> None:
    project.declare(web.put("/big.bin", BIG, faults=[("cut", 1_500_000), 404]))
    with pytest.raises(SourceError, match="404 Not Found"):
        project.refresh()
    assert [path.suffix for path in project.downloads.glob("*.part")] == [".part"]
    web.put("/big.bin", BIG[::-1])
    project.refresh()
    project.fetch()
    assert project.raw() == {"big.bin": BIG[::-1]}
    assert web.answered("/big.bin")[-1] == (200, len(BIG))
    assert not list(project.downloads.glob("*.part"))


def test_a_locked_file_is_put_together_again_when_its_parts_do_not_fit(project: Project, web: Web) -> None:
    project.declare(web.put("/big.bin", BIG, etag=False, modified=False))
    project.refresh()
    for path in project.packages.rglob("big.bin"):
        path.unlink()
    web.pages["/big.bin"].faults = [("cut", 1_500_000), 404]
    with pytest.raises(SystemExit):
        project.fetch()
    part = next(project.downloads.glob("*.part"))
    part.write_bytes(b"x" * part.stat().st_size)
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    assert [status for status, _ in web.answered("/big.bin")] == [200, 200, 404, 206, 200]


def test_a_kill_leaves_a_part_that_the_next_run_goes_on_from(project: Project, web: Web) -> None:
    hold = threading.Event()
    project.declare(web.put("/big.bin", BIG, faults=[("cut", 2_000_000), ("pause", hold)]))
    command = [sys.executable, "-m", "stages.fetch", "--refresh", "shop", "--params", str(project.root / "params.yaml")]
    running = subprocess.Popen([*command, "--status", str(project.root / "status")], env=dict(os.environ))
    deadline = time.monotonic() + 20
    while len(web.asked) < 2 and time.monotonic() < deadline:  # the second attempt is under way
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    hold.set()
    kept = next(project.downloads.glob("*.part")).stat().st_size
    assert 1_900_000 < kept < len(BIG)
    assert not project.lock_path.exists()
    project.refresh()
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    assert web.asked[-1].range == f"bytes={kept}-"
    assert web.asked[-1].status == 206


def test_a_kill_after_the_last_byte_costs_one_byte(project: Project, web: Web) -> None:
    project.declare(web.put("/big.bin", BIG, faults=[("cut", 2_000_000), 404]))
    with pytest.raises(SourceError):
        project.refresh()
    next(project.downloads.glob("*.part")).write_bytes(BIG)
    project.refresh()
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    assert web.answered("/big.bin")[-1] == (206, 1)


def test_refresh_transfers_only_what_is_new_or_changed(
    project: Project, web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [web.put(f"/{name}.csv", SALES + name.encode()) for name in "abc"]
    project.declare(*urls)
    project.refresh()
    web.asked.clear()
    web.put("/b.csv", SALES + b"changed")
    project.declare(urls[0], urls[1], web.put("/d.csv", b"new"))
    project.run_refresh()
    assert {one.path: (one.status, one.num_bytes) for one in web.asked} == {
        "/a.csv": (304, 0),
        "/b.csv": (200, 36),
        "/d.csv": (200, 3),
    }
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == (
        "refresh shop: added 1 file (3 bytes), removed 1 file (30 bytes), changed 1 file (36 bytes)"
    )
    assert "  + d.csv (3 bytes)\n  - c.csv (30 bytes)\n  ~ b.csv (36 bytes)\n" in said.out
    assert said.err.splitlines()[-1] == "fetching: 2 of 3 files, 39 bytes; 1 unchanged or here already"


def test_a_file_without_etag_or_date_is_transferred_again(project: Project, web: Web) -> None:
    project.declare(web.put("/a.csv", SALES, etag=False, modified=False))
    project.refresh()
    web.pages["/a.csv"].body = SALES.replace(b"4", b"5")  # of the same size
    assert [file.path for file in project.refresh().changed] == ["a.csv"]


def test_many_files_come_side_by_side(project: Project, web: Web) -> None:
    hold = threading.Event()
    body = b"x" * 150_000
    project.declare(*[web.put(f"/{number}.csv", body, faults=[("pause", hold)]) for number in range(12)])

    def release() -> None:
        deadline = time.monotonic() + 10
        while web.active < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)  # time enough for a ninth
        hold.set()

    threading.Thread(target=release).start()
    project.refresh()
    assert web.most_at_once == 8
    project.fetch()
    assert len(project.raw()) == 12


def test_one_failure_stops_the_others_which_go_on_from_there(
    project: Project, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.fetch.download.BACKOFF_SECONDS", 0.3)  # so that some of big.bin is here by then
    hold = threading.Event()
    big, none = web.put("/big.bin", BIG, faults=[("pause", hold)]), web.put("/none.csv", b"", faults=[503, 404])
    project.declare(big, none)
    threading.Timer(0.8, hold.set).start()
    with pytest.raises(SourceError, match=r"none\.csv: 404 Not Found"):
        project.refresh()
    assert next(project.downloads.glob("*.part")).stat().st_size < len(BIG)
    project.declare(web.url + "/big.bin")
    project.refresh()
    assert web.asked[-1].status == 206


@pytest.mark.parametrize(
    ("start", "location", "verdict"),
    [
        ("https://a.org/x", "/y", "https://a.org/y"),
        ("https://a.org/x", "https://b.org/x", "https://b.org/x"),
        ("https://a.org/x", "http://a.org/x", "not https"),
        ("https://a.org/x", "http://127.0.0.1/x", "not https"),
        ("https://a.org/x", "file:///etc/passwd", "not https"),
        ("http://127.0.0.1:1/x", "http://localhost/y", "http://localhost/y"),
        ("http://127.0.0.1:1/x", "http://10.0.0.1/y", "not https"),
    ],
)
def test_a_redirect_never_leaves_https(start: str, location: str, verdict: str) -> None:
    if verdict == "not https":
        with pytest.raises(Unreachable, match="which is not https"):
            transport.hop(start, location)
    else:
        assert transport.hop(start, location) == verdict


def test_redirects_are_followed_but_not_for_ever(project: Project, web: Web) -> None:
    web.put("/real.csv", SALES)
    web.redirects |= {f"/{hop}.csv": f"/{hop + 1}.csv" for hop in range(4)} | {"/4.csv": "/real.csv"}
    project.declare(web.url + "/0.csv")
    project.refresh()
    assert files_of(project) == [("0.csv", 29)]
    web.redirects["/4.csv"] = "/0.csv"
    project.declare(web.url + "/1.csv")
    with pytest.raises(SourceError, match="more than 5 redirects"):
        project.refresh()


@pytest.fixture
def https(project: Project, tmp_path: Path) -> Iterator[Web]:
    """A server on this machine whose certificate nobody knows yet: localhost.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start_of_time = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start_of_time)
        .not_valid_after(datetime.datetime(2120, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (tmp_path / "localhost.pem").write_bytes(certificate.public_bytes(pem) + private)
    served = Web()
    stop = start(served, tmp_path / "localhost.pem")
    yield served
    stop()


def test_https_asks_for_a_certificate_and_never_goes_on_over_http(
    project: Project, https: Web, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.declare(https.put("/a.csv", SALES))
    with pytest.raises(SourceError, match=r"a\.csv: .*certificate.* \(SSL_CERT_FILE names further authorities\)"):
        project.refresh()
    assert https.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(project.root / "localhost.pem"))
    project.refresh()
    project.fetch()
    assert project.raw() == {"a.csv": SALES}
    https.redirects["/b.csv"] = web.put("/b.csv", SALES)
    project.declare(https.url + "/b.csv")
    with pytest.raises(SourceError, match=r"it redirects to http://localhost:\d+/b\.csv, which is not https"):
        project.refresh()
    assert web.asked == []


examples = count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(BIG) - 1), max_size=3), ranges=st.booleans(), etag=st.booleans())
def test_however_often_it_breaks_the_bytes_are_the_same(
    project: Project, web: Web, cuts: list[int], ranges: bool, etag: bool
) -> None:
    name = f"/{next(examples)}.bin"
    body = BIG + name.encode()
    faults = [("cut", cut) for cut in cuts]
    project.declare(web.put(name, body, faults=faults, ranges=ranges, etag=etag, modified=False))
    project.refresh()
    lock = project.lock().files[0]
    assert (lock.size, lock.sha256) == (len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("sized", [True, False])
def test_a_file_larger_than_declared_is_refused(project: Project, web: Web, sized: bool) -> None:
    project.declare(web.put("/big.bin", BIG, sized=sized), max_file_bytes=1_000_000)
    with pytest.raises(SourceError, match=r"big\.bin is larger than 1\.0 MB\. If it is meant, raise fetch\.max"):
        project.refresh()
    assert not list(project.downloads.glob("*.part"))


def test_a_web_page_in_place_of_the_file_is_refused(project: Project, web: Web) -> None:
    project.declare(web.put("/a.csv", b"<html>log in</html>", kind="text/html; charset=utf-8"))
    with pytest.raises(SourceError, match="it answers with a web page, not with a file"):
        project.refresh()
    web.pages["/a.csv"] = type(web.pages["/a.csv"])(SALES, headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="it comes packed as gzip"):
        project.refresh()


def test_netrc_gives_the_password(project: Project, web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine localhost login shop password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    project.declare(web.put("/a.csv", SALES))
    project.refresh()
    assert web.asked[0].authorization == "Basic c2hvcDpzZWNyZXQ="


def test_a_damaged_cache_is_filled_again(project: Project, web: Web) -> None:
    project.declare(web.put("/a.csv", SALES))
    project.refresh()
    next(project.packages.rglob("a.csv")).write_bytes(SALES[::-1])
    project.fetch()
    assert project.raw() == {"a.csv": SALES}
    assert web.answered("/a.csv") == [(200, 29), (200, 29)]
