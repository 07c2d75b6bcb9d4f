"""A full disk, made of a small tmpfs where root may mount one, and of a limit on file sizes everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fetch_project import SALES, Project
from fetch_server import Web

from stages.core.errors import DiskFull
from stages.fetch import main

Fails = Callable[..., str]
BIG = bytes(range(256)) * 12_000  # 3 MB


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """`data/` of the project on a disk of 2 MB."""
    folder = project.root / "data"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_disk_too_small_for_the_lock_is_named_before_anything_is_written(
    project: Project, small_disk: Path, fails: Fails
) -> None:
    project.write({"incoming/a.csv": SALES})
    project.declare("incoming/a.csv")
    project.refresh()
    project.fetch()
    project.write({"incoming/big.bin": BIG})
    project.declare("incoming/a.csv", "incoming/big.bin")
    project.refresh()
    before = everything(small_disk)
    said = fails(project.fetch, 7)
    assert "the files of the lock have 3.1 MB, and the disk of " in said
    assert "2.1 MB are free" in said
    assert everything(small_disk) == before


def test_a_disk_that_fills_while_files_are_written_keeps_what_was_there(
    project: Project, small_disk: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"incoming/a.csv": SALES})
    project.declare("incoming/a.csv")
    project.refresh()
    project.fetch()
    project.write({"incoming/a.csv": BIG})
    project.refresh()
    monkeypatch.setattr("stages.fetch.extract.check_room", lambda *_: None)  # as if others were filling it
    said = fails(project.fetch, 7)
    assert "the disk is full: [Errno 28] No space left on device" in said
    assert "Free space there, then run this again: what was there before is untouched" in said
    assert everything(small_disk) == {"raw/shop/a.csv": SALES}


def test_a_lock_on_a_full_disk_stays_whole(project: Project, small_disk: Path, fails: Fails) -> None:
    project.write({"incoming/a.csv": SALES})
    project.declare("incoming/a.csv")
    lock = small_disk / "lock.json"
    refresh = ["--refresh", "shop", "--params", str(project.root / "params.yaml"), "--lock", str(lock)]
    main([*refresh, "--status", str(small_disk)])
    before = lock.read_bytes()
    project.write({f"incoming/{number}.csv": b"" for number in range(100)})
    project.declare("incoming/*.csv")
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(b"x" * free.f_bavail * free.f_frsize)
    said = fails(lambda: main([*refresh, "--status", str(small_disk)]), 7)  # its record finds no room either
    assert "refresh shop: DiskFull: the disk is full: [Errno 28] No space left on device" in said
    assert lock.read_bytes() == before
    assert not list(small_disk.glob(".lock*"))


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from stages.fetch import main
main(sys.argv[1:])
"""


def test_a_cache_that_is_full_keeps_the_part_for_later(project: Project, web: Web) -> None:
    project.declare(web.put("/big.bin", BIG))
    common = ["--params", str(project.root / "params.yaml"), "--status", str(project.root / "status")]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "--refresh", "shop", *common], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "refresh shop: DiskFull: the disk is full: " in done.stderr
    assert "downloads go on from where they stopped" in done.stderr
    assert json.loads((project.root / "status" / "shop.refresh.json").read_text())["error"] == "DiskFull"
    assert not project.lock_path.exists()
    assert next(project.downloads.glob("*.part")).stat().st_size == 1_000_000
    project.refresh()
    project.fetch()
    assert project.raw() == {"big.bin": BIG}
    assert web.answered("/big.bin")[-1] == (206, len(BIG) - 1_000_000)


def test_a_download_larger_than_the_free_space_does_not_begin(project: Project, web: Web, small_disk: Path) -> None:
    cache = project.root / "cache"
    cache.symlink_to(small_disk)
    project.declare(web.put("/big.bin", BIG))
    with pytest.raises(DiskFull, match=r"big\.bin has 3\.1 MB, and the disk of .* is too full for it: 2\.1 MB"):
        project.refresh()
    assert not list(project.downloads.glob("*.part"))
