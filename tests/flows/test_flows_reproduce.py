"""One stage as a child process: its lines, its failure, its end."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import reproduce
from flows.leash import GRACE_SECONDS
from flows.reproduce import Children, Failure


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"did not come true in {seconds} s"
        time.sleep(0.02)


def is_running(text: str) -> bool:
    """Whether a process has this text in its command line."""
    listing = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return any(text in line for line in listing.splitlines())


def test_the_stages_own_lines_are_told_and_dvcs_are_not(project: Any) -> None:
    project.lock("shop", "shop two")
    lines: list[str] = []
    assert project.reproduce("fetch@shop", lines.append) is None
    assert lines == ["fetch shop: 8 characters"]


def test_a_failure_is_the_sentence_that_the_stage_left(project: Any) -> None:
    project.lock("shop", "refuse package")
    assert project.reproduce("fetch@shop") is None
    failure = project.reproduce("package@shop")
    assert str(failure) == "package@shop: RefusedError: assay.json says not passed"


def test_a_crash_is_told_by_its_last_line_and_not_by_an_older_record(project: Any) -> None:
    project.lock("shop", "refuse package")
    assert project.reproduce("fetch@shop") is None
    assert project.reproduce("package@shop") == Failure("package@shop", "RefusedError", "assay.json says not passed")
    project.lock("shop", "crash package")
    assert project.reproduce("fetch@shop") is None
    assert project.reproduce("package@shop") == Failure("package@shop", "Crash", "KeyError: 'Quantity'")


def test_what_stops_dvc_itself_is_told(project: Any) -> None:
    (project.root / "sources/shop/lock.json").unlink()
    failure = project.reproduce("fetch@shop")
    assert failure is not None
    assert failure.kind == "Crash"
    assert failure.message.startswith("failed to reproduce 'fetch@shop'")
    assert "sources/shop/lock.json" in failure.message


def test_leaving_the_block_ends_the_stage_with_all_that_it_started(project: Any) -> None:
    project.lock("shop", "slow package")
    assert project.reproduce("fetch@shop") is None
    stage, mark = project.stage("package@shop"), "step.py package shop data/raw/shop/out.txt"
    found: list[Failure | None] = []
    with Children() as children:
        work = threading.Thread(
            target=lambda: found.append(reproduce.reproduce(stage, say=lambda line: None, children=children))
        )
        work.start()
        until(lambda: (project.root / "data/bundle/shop/half.txt").exists())
        assert is_running(mark)
    work.join(timeout=GRACE_SECONDS)
    assert not is_running(mark)
    assert found[0] is not None
    assert found[0].kind == "Stopped"
    with pytest.raises(RuntimeError, match="no more commands"):
        children.start(["true"])


STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("on", flush=True)
time.sleep(60)
"""


def test_sigkill_of_the_caller_ends_even_a_command_that_ignores_ctrl_c(tmp_path: Path) -> None:
    mark = f"stubborn-{tmp_path.name}"
    caller = (
        "import sys; from flows.reproduce import Children\n"
        f"process = Children().start([sys.executable, '-c', {STUBBORN!r}, {mark!r}])\n"
        "print(process.stdout.readline(), flush=True); process.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", caller], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    assert is_running(mark)
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: not is_running(mark), seconds=GRACE_SECONDS + 5)


@pytest.mark.parametrize(("workers", "expected"), [(1, "None"), (2, "PASSIVE")])
def test_stages_side_by_side_wait_without_spinning(workers, expected, monkeypatch):
    """Spinning threads keep those from running that they wait for; a stage that runs alone loses by not spinning."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    code = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    with Children(workers) as children:
        process = children.start([sys.executable, "-c", code])
        assert process.stdout is not None
        assert process.stdout.read().strip() == expected
        assert children.finish(process) == 0
