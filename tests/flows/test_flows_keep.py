"""The former bundle, whatever happens to the one that should take its place."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import graph, keep
from stages.core.errors import ContractError

FORMER = {"out.txt": b"shop one"}


@pytest.fixture
def stage(project: Any) -> Any:
    return project.stage("package@shop")


def hidden(project: Any) -> list[str]:
    return sorted(path.name for path in (project.root / "data/bundle").iterdir() if path.name not in ("shop", "toys"))


def test_a_bundle_that_dvc_recorded_takes_the_place_of_the_former(project: Any, stage: graph.Stage) -> None:
    project.lock("shop", "shop two")
    assert project.reproduce("fetch@shop") is None
    with keep.keeping(stage):
        assert project.reproduce("package@shop") is None
    assert project.bundle("shop") == {"out.txt": b"shop two"}
    assert hidden(project) == [".shop.lock"]


def test_a_refused_bundle_leaves_the_former_byte_for_byte(project: Any, stage: graph.Stage) -> None:
    project.lock("shop", "refuse package")
    assert project.reproduce("fetch@shop") is None
    with keep.keeping(stage):
        assert project.reproduce("package@shop") is not None
        assert not project.bundle("shop")  # DVC deleted it
    assert project.bundle("shop") == FORMER
    assert hidden(project) == [".shop.lock"]
    assert "package@shop" in graph.changes(["package@shop"])


def test_an_exception_leaves_the_former(project: Any, stage: graph.Stage) -> None:
    def interrupted() -> None:
        with keep.keeping(stage):
            shutil.rmtree(project.root / "data/bundle/shop")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert project.bundle("shop") == FORMER


def states_of_a_killed_attempt() -> Iterator[Any]:
    def gone(bundle: Path) -> None:
        shutil.rmtree(bundle)

    def half_deleted(bundle: Path) -> None:
        (bundle / "out.txt").unlink()

    def finished_but_not_recorded(bundle: Path) -> None:
        (bundle / "out.txt").write_text("shop two")

    def untouched(bundle: Path) -> None:
        pass

    def half_put_back(bundle: Path) -> None:
        bundle.rename(keep.beside(bundle, "dropped"))

    def half_copied_aside(bundle: Path) -> None:
        kept = keep.beside(bundle, "kept")
        kept.rename(kept.with_name(f".{kept.name}.partial"))

    for case in (gone, half_deleted, finished_but_not_recorded, untouched, half_put_back, half_copied_aside):
        yield pytest.param(case, id=case.__name__)


@pytest.mark.parametrize("break_off", [*states_of_a_killed_attempt()])
def test_after_a_kill_at_any_moment_the_former_bundle_returns(project: Any, stage: graph.Stage, break_off: Any) -> None:
    bundle = keep.bundle_of(stage)
    shutil.copytree(bundle, keep.beside(bundle, "kept"))
    break_off(bundle)
    keep.settle(stage)
    assert project.bundle("shop") == FORMER
    keep.settle(stage)
    assert project.bundle("shop") == FORMER


def test_a_kept_bundle_does_not_return_over_a_newer_one(project: Any, stage: graph.Stage) -> None:
    bundle = keep.bundle_of(stage)
    shutil.copytree(bundle, keep.beside(bundle, "kept"))
    project.lock("shop", "shop two")
    project.build("shop")  # by hand, after the kill
    assert not keep.settle(stage)
    assert project.bundle("shop") == {"out.txt": b"shop two"}


def test_a_first_bundle_that_is_refused_leaves_none(project: Any, stage: graph.Stage) -> None:
    shutil.rmtree(project.root / "data/bundle/shop")
    with keep.keeping(stage):
        pass
    assert not project.bundle("shop")


KILLED = """
from flows import graph, keep
from stages.core.errors import ContractError
from flows.reproduce import Children, reproduce
stage = graph.read()["package@shop"]
with keep.keeping(stage), Children() as children:
    reproduce(stage, say=print, children=children)
"""


def test_sigkill_in_the_middle_of_package_costs_nothing(
    project: Any, stage: graph.Stage, request: pytest.FixtureRequest
) -> None:
    project.lock("shop", "slow package")
    assert project.reproduce("fetch@shop") is None
    environment = {**os.environ, "PYTHONPATH": str(request.config.rootpath)}
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=environment, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while project.bundle("shop") != {"half.txt": b"half"}:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert keep.settle(stage)
    assert project.bundle("shop") == FORMER
    assert hidden(project) == [".shop.lock"]


def test_a_package_with_two_outs_is_refused(project: Any) -> None:
    stage = graph.Stage("package@shop", outs=(Path("a"), Path("b")))
    with pytest.raises(ContractError, match=r"has 2 outs\. Give it one"):
        keep.bundle_of(stage)
