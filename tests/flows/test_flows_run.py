"""Pipelines side by side: what runs, what is skipped, what a failure stops."""

import subprocess
import sys
from typing import Any

import pytest

from flows.run import run

pytestmark = pytest.mark.usefixtures("prefect")


def test_what_is_unchanged_is_skipped(project: Any) -> None:
    state = run(return_state=True)
    assert state.is_completed()
    assert state.message.splitlines()[:2] == ["shop: 2 unchanged", "toys: 2 unchanged"]


def test_only_what_changed_runs(project: Any) -> None:
    project.lock("shop", "shop two")
    state = run(["shop"], return_state=True)
    assert state.message.splitlines()[0] == "shop: 2 run"
    assert project.bundle("shop") == {"out.txt": b"shop two"}
    (project.root / "data/bundle/shop/out.txt").unlink()
    assert run(["shop"], return_state=True).message.splitlines()[0] == "shop: 1 run, 1 unchanged"


def test_a_pipeline_that_fails_stops_no_other(project: Any) -> None:
    project.lock("shop", "refuse fetch")
    (project.root / "incoming/shop.csv").write_text("refuse fetch")
    project.lock("toys", "toys two")
    state = run(return_state=True)
    assert state.is_failed()
    assert state.message.splitlines()[:3] == [
        "shop: 1 failed, 1 not run",
        "  fetch@shop: RefusedError: assay.json says not passed",
        "toys: 2 run",
    ]
    assert project.bundle("toys") == {"out.txt": b"toys two"}


def test_a_refused_bundle_leaves_the_former(project: Any) -> None:
    project.lock("shop", "refuse package")
    state = run(["shop"], workers=1, return_state=True)
    assert state.message.splitlines()[:2] == [
        "shop: 1 run, 1 failed",
        "  package@shop: RefusedError: assay.json says not passed",
    ]
    assert project.bundle("shop") == {"out.txt": b"shop one"}


def test_a_misspelt_pipeline_ends_before_a_server_starts(project: Any, request: pytest.FixtureRequest) -> None:
    command = [sys.executable, "-m", "flows.run", "shup"]
    environment = {"PYTHONPATH": str(request.config.rootpath), "PREFECT_HOME": str(project.root / ".prefect")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("python -m flows.run: ContractError: no pipeline is named 'shup'. Did you mean")
