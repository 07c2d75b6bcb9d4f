"""Archives behind `#`, from the project and from the web: every kind, and every trick."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard
from fetch_project import SALES, Project, tar_bytes
from fetch_server import Web

from stages.core.errors import SourceError

Fails = Callable[[Callable[[], None]], str]
TREE = {"data/2024/a.csv": SALES, "data/b.csv": b"b", "readme.txt": b"no"}
ZEROS = b"\0" * 18_000_000


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


PACKED: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "x.zip": zip_bytes,
    "x.tar": lambda files: tar_bytes(files, mode="w"),
    "x.tar.gz": tar_bytes,
    "x.TGZ": tar_bytes,
    "x.tar.bz2": lambda files: tar_bytes(files, mode="w:bz2"),
    "x.tar.xz": lambda files: tar_bytes(files, mode="w:xz"),
    "x.txz": lambda files: tar_bytes(files, mode="w:xz"),
    "x.tar.zst": lambda files: zstd(tar_bytes(files, mode="w")),
}
SINGLE: dict[str, Callable[[bytes], bytes]] = {
    "sales.csv.gz": gzip.compress,
    "sales.csv.bz2": bz2.compress,
    "sales.csv.xz": lzma.compress,
    "sales.csv.zst": zstd,
}


def unpack(project: Project, name: str, content: bytes, member: str, **options: object) -> dict[str, bytes]:
    project.write({f"incoming/{name}": content})
    project.declare(f"incoming/{name}#{member}", **options)
    project.refresh()
    project.fetch()
    return project.raw()


@pytest.mark.parametrize("name", PACKED)
def test_members_land_below_their_patterns_fixed_folder(project: Project, name: str) -> None:
    assert unpack(project, name, PACKED[name](TREE), "data/**/*.csv") == {"2024/a.csv": SALES, "b.csv": b"b"}
    assert unpack(project, name, PACKED[name](TREE), "data/2024/a.csv") == {"a.csv": SALES}


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_compressed_file_is_its_own_only_member(project: Project, name: str) -> None:
    content = SALES * 10_000
    assert unpack(project, name, SINGLE[name](content), "sales.csv") == {"sales.csv": content}
    twice = SINGLE[name](content) + SINGLE[name](b"second part")
    assert unpack(project, name, twice, "*") == {"sales.csv": content + b"second part"}


def test_without_a_member_an_archive_is_taken_as_it_is(project: Project, web: Web) -> None:
    packed = gzip.compress(SALES)
    project.declare(web.put("/sales.csv.gz", packed))
    project.refresh()
    project.fetch()
    assert project.raw() == {"sales.csv.gz": packed}


def test_an_archive_from_the_web_is_transferred_once(project: Project, web: Web) -> None:
    url = web.put("/x.zip", zip_bytes(TREE), kind="application/zip")
    project.declare({"url": f"{url}#data/*.csv", "mirrors": [web.url + "/none.zip"]}, f"{url}#readme.txt")
    project.refresh()
    assert not project.refresh().any
    project.fetch()
    assert project.raw() == {"b.csv": b"b", "readme.txt": b"no"}
    assert sum(num_bytes for _, num_bytes in web.answered("/x.zip")) == len(web.pages["/x.zip"].body)
    assert '"package": {"file": "x.zip", "size": ' in project.lock_path.read_text()


def test_a_new_archive_tells_which_members_changed(
    project: Project, web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    project.declare(web.put("/x.zip", zip_bytes(TREE)) + "#data/**/*.csv")
    project.refresh()
    web.put("/x.zip", zip_bytes({"data/b.csv": b"bb", "data/c.csv": b"c"}))
    project.run_refresh()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "refresh shop: added 1 file (1 byte), removed 1 file (29 bytes), changed 1 file (2 bytes)"
    assert lines[1].startswith("  ~ x.zip (")
    assert lines[2:] == ["  + c.csv (1 byte)", "  - 2024/a.csv (29 bytes)", "  ~ b.csv (2 bytes)"]


def test_a_changed_local_archive_is_refused(project: Project, fails: Fails) -> None:
    unpack(project, "x.zip", zip_bytes(TREE), "data/*.csv")
    project.write({"incoming/x.zip": zip_bytes({**TREE, "readme.txt": b"yes"})})
    assert "incoming/x.zip has the SHA-256 " in fails(project.fetch)
    (project.root / "incoming/x.zip").unlink()
    assert "incoming/x.zip is in the lock but not on disk" in fails(project.fetch)
    assert project.raw() == {"b.csv": b"b"}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("member", ["../evil.csv", "/etc/evil.csv", "data/../../evil.csv", "C:\\evil.csv"])
def test_a_name_that_leads_outside_refuses_the_archive(project: Project, name: str, member: str) -> None:
    with pytest.raises(SourceError, match="points outside it"):
        unpack(project, name, PACKED[name]({"data/b.csv": b"b", member: b"evil"}), "data/*.csv")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_left_out_and_counted(
    project: Project, capsys: pytest.CaptureFixture[str], kind: bytes
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("data/b.csv")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"b"))
        member = tarfile.TarInfo("data/way_out.csv")
        member.type, member.linkname = kind, "data/b.csv" if kind == tarfile.LNKTYPE else "/etc/passwd"
        archive.addfile(member)
    assert unpack(project, "x.tar", buffer.getvalue(), "data/*.csv") == {"b.csv": b"b"}
    assert "x.tar: skipped 1 file matching data/*.csv that are links" in capsys.readouterr().err
    with pytest.raises(SourceError, match=r"data/way_out\.csv in x\.tar is a link, not a file, or a device"):
        unpack(project, "x.tar", buffer.getvalue(), "data/way_out.csv")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar.bz2", "x.tar.xz", "x.tar.zst", *SINGLE])
def test_a_bomb_is_refused_by_its_ratio_unless_it_is_declared(project: Project, name: str) -> None:
    content = PACKED[name]({"data/zeros.csv": ZEROS}) if name in PACKED else SINGLE[name](ZEROS)
    member = "data/zeros.csv" if name in PACKED else "sales.csv"
    with pytest.raises(SourceError, match=r"unpacks to more than 250 times its .* raise fetch\.max_unpack_ratio"):
        unpack(project, name, content, member)
    assert list(unpack(project, name, content, member, max_unpack_ratio=1_000_000).values()) == [ZEROS]


def test_a_bomb_before_the_wanted_member_is_noticed_too(project: Project) -> None:
    content = tar_bytes({"zeros": ZEROS, "data/b.csv": b"b"})
    with pytest.raises(SourceError, match="unpacks to more than 250 times"):
        unpack(project, "x.tar.gz", content, "data/b.csv")


def test_the_total_of_all_members_is_limited(project: Project) -> None:
    with pytest.raises(SourceError, match=r"x\.zip unpacks to more than 40 bytes\. Narrow .* fetch\.max_unpacked_b"):
        unpack(project, "x.zip", zip_bytes({"a": b"x" * 30, "b": b"x" * 30}), "*", max_unpacked_bytes=40)


def test_members_that_overlap_are_counted_each_time(project: Project) -> None:
    """A zip whose directory names one packed member many times: small, and endless when unpacked."""
    one = zip_bytes({"0000": b"\0" * 1_000_000})
    start = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    entries = b"".join(one[start:end].replace(b"0000", f"{number:04}".encode()) for number in range(2_000))
    count = (2_000).to_bytes(2, "little")
    tail = one[end : end + 8] + count + count + len(entries).to_bytes(4, "little") + one[end + 16 :]
    with pytest.raises(SourceError, match=r"differ|overlap|unpacks to more than"):
        unpack(project, "x.zip", one[:start] + entries + tail, "*")


@pytest.mark.parametrize("name", [*PACKED, *SINGLE])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_an_archive_that_is_cut_short_is_named(project: Project, name: str, keep: float) -> None:
    noise = random.Random(1).randbytes(20_000)
    content = PACKED[name]({"data/a.csv": noise}) if name in PACKED else SINGLE[name](noise)
    if keep == 0.95 and name == "x.tar":
        keep = 0.6  # its end is padding
    member = "data/a.csv" if name in PACKED else "sales.csv"
    with pytest.raises(SourceError, match=rf"{name} (cannot be read: |holds no file)"):
        unpack(project, name, content[: int(len(content) * keep)], member)


def test_an_encrypted_member_is_refused_only_when_it_is_wanted(project: Project) -> None:
    content = bytearray(zip_bytes(TREE))
    at = content.index(b"PK\x01\x02")  # the directory's first entry: data/2024/a.csv
    content[at + 8] |= 1
    assert unpack(project, "x.zip", bytes(content), "data/b.csv") == {"b.csv": b"b"}
    with pytest.raises(SourceError, match=r"data/2024/a\.csv in x\.zip is encrypted, and Ingot keeps no passwords"):
        unpack(project, "x.zip", bytes(content), "**/*.csv")


def test_a_file_that_only_claims_to_be_an_archive_is_named(project: Project) -> None:
    with pytest.raises(SourceError, match=r"x\.zip cannot be read: File is not a zip file"):
        unpack(project, "x.zip", SALES, "*.csv")


def test_hashes_in_the_names_of_plain_files_are_letters(project: Project) -> None:
    project.write({"incoming/#1.csv": SALES})
    project.declare("incoming/#1.csv")
    project.refresh()
    project.fetch()
    assert project.raw() == {"#1.csv": SALES}


def test_a_missing_local_archive_is_answered_with_names_near_it(project: Project, tmp_path: Path) -> None:
    project.write({"incoming/sales.zip": zip_bytes(TREE)})
    project.declare("incoming/sale.zip#data/*.csv")
    with pytest.raises(SourceError, match=r"no file is at incoming/sale\.zip.*Did you mean 'incoming/sales\.zip'\?"):
        project.refresh()
