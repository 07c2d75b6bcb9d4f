"""s3:// against moto's server on this machine; other kinds of stores by their names and packages."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fetch_project import SALES, Project, tar_bytes

from stages.core.errors import SourceError
from stages.fetch import address, bucket

BIG = bytes(range(256)) * 40_000  # 10 MB: more than one request


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(project: Project, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A bucket named raw, filled by the test; credentials and endpoint in the environment alone."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("s3")
    client.create_bucket(Bucket="raw")
    for item in client.list_objects_v2(Bucket="raw").get("Contents", []):
        client.delete_object(Bucket="raw", Key=item["Key"])
    return client


def fill(s3: Any, **objects: bytes) -> None:
    for key, body in objects.items():
        s3.put_object(Bucket="raw", Key=key, Body=body)


def test_a_glob_in_a_bucket_lands_below_its_fixed_folder(project: Project, s3: Any) -> None:
    objects = {"data/2024/a.csv": SALES, "data/2025/b.csv": b"", "data/notes.txt": b"no", "data/.hidden.csv": b"no"}
    fill(s3, **objects, **{"other/c.csv": b"no"})
    project.declare("s3://raw/data/**/*.csv")
    project.refresh()
    project.fetch()
    assert project.raw() == {"2024/a.csv": SALES, "2025/b.csv": b""}


def test_refresh_of_a_bucket_transfers_only_what_is_new(
    project: Project, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(s3, **{"a.csv": SALES, "b.csv": SALES + b"b", "c.csv": SALES})
    project.declare("s3://raw/*.csv")
    project.run_refresh()
    fill(s3, **{"b.csv": SALES + b"B", "d.csv": b"new"})
    s3.delete_object(Bucket="raw", Key="c.csv")
    capsys.readouterr()
    project.run_refresh()
    said = capsys.readouterr()
    assert said.out.startswith("refresh shop: added 1 file (3 bytes), removed 1 file (29 bytes), changed 1 file (30 ")
    assert said.err == "fetching: 2 of 3 files, 33 bytes; 1 unchanged or here already\n"


def test_a_locked_object_that_changed_is_refused(project: Project, s3: Any) -> None:
    fill(s3, **{"a.csv": SALES})
    project.declare("s3://raw/a.csv")
    project.refresh()
    next(project.packages.rglob("a.csv")).unlink()
    fill(s3, **{"a.csv": SALES.replace(b"4", b"5")})
    with pytest.raises(SystemExit):
        project.fetch()
    assert not project.out.exists()


@pytest.mark.slow
def test_a_part_of_an_object_is_gone_on_with(project: Project, s3: Any) -> None:
    fill(s3, **{"big.bin": BIG})
    project.declare("s3://raw/big.bin")
    project.refresh()
    next(project.packages.rglob("big.bin")).unlink()
    record = next(path for path in project.downloads.glob("*.json"))
    version = bucket.version_of({"ETag": s3.head_object(Bucket="raw", Key="big.bin")["ETag"]}).etag
    assert version in record.read_text().replace('\\"', '"')
    part = record.with_suffix(".part")
    part.write_bytes(BIG[:9_000_000])
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    part.write_bytes(b"x" * 9_000_000)  # parts that do not fit together are noticed
    next(project.packages.rglob("big.bin")).unlink()
    project.fetch()
    assert project.raw() == {"big.bin": BIG}


@pytest.mark.slow
def test_another_bucket_stands_in_for_a_glob(project: Project, s3: Any) -> None:
    s3.create_bucket(Bucket="copy")
    for name in ("a.csv", "2024/b.csv"):
        s3.put_object(Bucket="copy", Key=f"shop/{name}", Body=SALES)
    project.declare({"url": "s3://raw/data/**/*.csv", "mirrors": ["s3://copy/shop/**/*.csv"]})
    project.refresh()
    assert [file.path for file in project.lock().files] == ["2024/b.csv", "a.csv"]
    for path in project.packages.rglob("*.csv"):
        path.unlink()
    fill(s3, **{"data/a.csv": SALES})
    project.fetch()
    assert project.raw() == {"a.csv": SALES, "2024/b.csv": SALES}


def test_an_archive_in_a_bucket_is_unpacked(project: Project, s3: Any) -> None:
    fill(s3, **{"month.tgz": tar_bytes({"data/a.csv": SALES, "readme.txt": b"no"})})
    project.declare("s3://raw/month.tgz#data/*.csv")
    project.refresh()
    project.fetch()
    assert project.raw() == {"a.csv": SALES}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://raw/none.csv", r"s3://raw/none\.csv: there is no such file or bucket"),
        ("s3://nowhere/*.csv", r"s3://nowhere/\*\.csv: (there is no such file or bucket|no file is there)"),
        ("s3://raw/*.parquet", r"s3://raw/\*\.parquet: no file is there"),
    ],
)
def test_what_a_bucket_does_not_hold_is_named(project: Project, s3: Any, source: str, message: str) -> None:
    fill(s3, **{"a.csv": SALES})
    project.declare(source)
    with pytest.raises(SourceError, match=message):
        project.refresh()


def test_without_credentials_the_message_names_them(project: Project, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(s3, **{"a.csv": SALES})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    project.declare("s3://raw/a.csv")
    with pytest.raises(SourceError, match=r"redentials .*AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        project.refresh()


@pytest.mark.parametrize(
    ("source", "package"), [("gs://raw/a.csv", "gcsfs"), ("az://raw/a.csv", "adlfs"), ("abfs://raw/a.csv", "adlfs")]
)
def test_a_missing_implementation_is_named(project: Project, source: str, package: str) -> None:
    pytest.importorskip("fsspec")
    try:
        __import__(package)
        pytest.skip(f"{package} is installed")
    except ImportError:
        pass
    for declared in (source, source.replace("a.csv", "*.csv")):
        project.declare(declared)
        with pytest.raises(SourceError, match=rf"which is not installed\. Install it: `pip install {package}`"):
            project.refresh()


def test_a_store_of_another_kind_is_reached_through_fsspec(project: Project) -> None:
    """fsspec's store in memory: it has neither ETags nor credentials."""
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/data/a.csv", SALES)
    place = address.Address("memory", "memory://data/*.csv")
    found = bucket.find(place, system)
    assert [(file.name, file.url, file.version.size) for file in found] == [("a.csv", "memory://data/a.csv", 29)]
    with bucket.opened(system, found[0].url, offset=20) as reply:
        assert (reply.offset, b"".join(reply.chunks)) == (20, SALES[20:])
