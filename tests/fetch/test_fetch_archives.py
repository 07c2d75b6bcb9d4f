"""Packages are read, never trusted: what is taken from them, and what is refused."""

import re
import zipfile
from pathlib import Path

import pytest
from fetch_project import SALES, Project, deb_bytes, tar_bytes

from stages.core.errors import SourceError
from stages.fetch import archive, resolve, sources
from stages.fetch.bounds import Limits

TREE = {
    "salesdata/__init__.py": b"raise SystemExit('never run')",
    "salesdata/data/2024/a.csv": SALES,
    "salesdata/data/b.csv": b"b",
}


def taken(package: Path, pattern: str, limits: Limits | None = None) -> dict[str, int]:
    """What a lock would list of a package: paths and sizes."""
    purl = sources.parse(f"pkg:pypi/salesdata@1.0#{pattern}")
    assert purl is not None
    return {file.path: file.size for file in resolve.package_files(purl.subpath or "", package, limits=limits)}


def names(package: Path) -> list[str]:
    with archive.entries(package) as entries:
        return [entry.name for entry in entries]


def test_one_member_lands_under_its_own_name(project: Project) -> None:
    project.wheel(TREE)
    project.declare("pkg:pypi/salesdata@1.0#salesdata/data/2024/a.csv")
    project.refresh()
    project.fetch()
    assert project.raw() == {"a.csv": SALES}


def test_a_glob_lands_below_its_fixed_folder(project: Project) -> None:
    assert taken(project.wheel(TREE), "salesdata/**/*.csv") == {"data/2024/a.csv": 29, "data/b.csv": 1}


def test_an_sdist_is_read_below_its_leading_folder(project: Project) -> None:
    package = project.sdist({"setup.py": b"raise SystemExit('never run')", "data/a.csv": SALES})
    assert taken(package, "data/*.csv") == {"a.csv": 29}
    assert taken(package, "*.py") == {"setup.py": 29}


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("salesdata/data/2023/a.csv", "Did you mean 'salesdata/data/2024/a.csv'?"),
        ("salesdata/data/2024/a.cvs", "Did you mean 'salesdata/data/2024/a.csv' or 'salesdata/data/b.csv'?"),
        ("zzz/*.parquet", "holds no file zzz/*.parquet. It holds salesdata/"),
        ("salesdata/data/2023/*.csv", "salesdata/data/ holds 2024/, b.csv"),
        ("salesdata/data", "is a folder. Write #salesdata/data/** for all its files"),
    ],
)
def test_a_missing_member_is_answered_with_names_near_it(project: Project, asked: str, hint: str) -> None:
    with pytest.raises(SourceError, match=re.escape(hint)):
        taken(project.wheel(TREE), asked)


@pytest.mark.parametrize(
    "name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "a\\..\\..\\evil.csv", "C:/evil.csv"]
)
def test_a_name_that_leaves_the_package_refuses_it_whole(project: Project, name: str) -> None:
    with pytest.raises(SourceError, match="points outside it"):
        taken(project.wheel({"salesdata/data/b.csv": b"b", name: b"evil"}), "salesdata/data/b.csv")
    tar = project.root / "x.tgz"
    tar.write_bytes(tar_bytes({f"package/{name}" if name.startswith("..") else name: b"evil"}))
    with pytest.raises(SourceError, match="points outside it"):
        names(tar)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """An sdist with a file and two links, one of which turns a folder into a way out."""
    links = {"salesdata-1.0/data/passwords.csv": "/etc/passwd", "salesdata-1.0/data/out": "/etc"}
    path = tmp_path / "salesdata-1.0.tar.gz"
    path.write_bytes(tar_bytes({"salesdata-1.0/data/a.csv": SALES}, links=links))
    return path


def test_a_link_that_is_asked_for_is_refused(linked: Path) -> None:
    with pytest.raises(SourceError, match=r"data/passwords\.csv in salesdata-1\.0\.tar\.gz is a link, not a file"):
        taken(linked, "data/passwords.csv")


def test_links_that_a_glob_meets_are_skipped_and_counted(linked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert taken(linked, "data/*.csv") == {"a.csv": 29}
    assert "skipped 1 file matching data/*.csv that are links" in capsys.readouterr().err


def test_a_link_in_a_wheel_is_a_link(project: Project) -> None:
    path = project.wheel({"salesdata/data/b.csv": b"b"})
    with zipfile.ZipFile(path, "a") as wheel:
        link = zipfile.ZipInfo("salesdata/data/link.csv")
        link.external_attr = 0o120777 << 16
        wheel.writestr(link, "/etc/passwd")
    with pytest.raises(SourceError, match="is a link, not a file"):
        taken(path, "salesdata/data/link.csv")


def test_members_larger_than_the_limit_are_refused_while_reading(project: Project) -> None:
    limits = Limits(max_unpacked_bytes=3_000_000)
    files = {"salesdata/a.csv": b"\0" * 2_000_000, "salesdata/b.csv": b"\0" * 9_000_000}
    wheel, sdist = project.wheel(files), project.sdist(files)
    for package in (wheel, sdist):
        with pytest.raises(
            SourceError, match=r"unpacks to more than 3\.0 MB\. Narrow the pattern, or raise fetch\.max_"
        ):
            taken(package, "salesdata/*.csv", limits)
    assert taken(wheel, "salesdata/a.csv", limits) == {"a.csv": 2_000_000}


def test_a_name_held_twice_is_refused(project: Project) -> None:
    package = project.sdist({"data/a.csv": SALES, "./data/a.csv": b"other"})
    with pytest.raises(SourceError, match=r"holds data/a\.csv twice"):
        taken(package, "data/a.csv")


def test_a_name_that_is_not_utf8_is_refused(project: Project) -> None:
    with pytest.raises(SourceError, match="not valid UTF-8"):
        taken(project.sdist({"data/caf\udce9.csv": SALES}), "data/*.csv")


@pytest.mark.parametrize("suffix", [".whl", ".tar.gz", ".deb"])
@pytest.mark.parametrize("keep", [0, 100, -30])
def test_a_damaged_package_is_named(tmp_path: Path, suffix: str, keep: int) -> None:
    whole = tar_bytes({"./x/a.csv": bytes(range(256)) * 400, "./x/b.csv": SALES * 100})
    if suffix == ".deb":
        whole = deb_bytes(whole, control="Package: x\nVersion: 1\nArchitecture: all\n")
    path = tmp_path / f"package{suffix}"
    path.write_bytes(whole[:keep])
    with pytest.raises(SourceError, match=rf"(?s)package{suffix} cannot be read: .+\. Delete .* and fetch again"):
        names(path)


def test_a_member_whose_checksum_is_wrong_is_named(project: Project) -> None:
    path = project.wheel({"salesdata/data/b.csv": b"stored as it is"})
    path.write_bytes(path.read_bytes().replace(b"stored as it is", b"stored as it was"[:15]))
    with pytest.raises(SourceError, match="Bad CRC-32"):
        taken(path, "salesdata/data/b.csv")


def test_an_encrypted_member_is_named(project: Project) -> None:
    path = project.wheel({"salesdata/data/b.csv": b"secret"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is encrypted"):
        taken(path, "salesdata/data/b.csv")
