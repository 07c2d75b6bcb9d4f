"""With real servers: the command line, and a deployment that a schedule starts."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
TINY = {"out.txt": b"shop one"}


@pytest.fixture
def clone(project: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The project with our own code in it, as a user has it; Prefect's home is below it."""
    for folder in ("flows", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(request.config.rootpath / folder, project.root / folder, ignore=ignored)
    text = (request.config.rootpath / "prefect.yaml").read_text()
    assert "pipeline: retail" in text
    assert '"0 2 * * *"' in text
    text = text.replace("pipeline: retail", "pipeline: shop").replace('"0 2 * * *"', '"* * * * *"')
    (project.root / "prefect.yaml").write_text(text)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    return project


def run_flow(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_the_command_line_needs_no_server_and_says_what_it_does(clone: Any) -> None:
    clone.lock("toys", "refuse package")
    ended = run_flow("flows.run")
    lines = [line[9:] if line[2:3] == ":" else line for line in ended.stdout.splitlines()]
    assert sorted(lines[:-4]) == [
        "fetch toys: 14 characters",
        "fetch@shop: unchanged, skipped",
        "fetch@toys: runs, for sources/toys/lock.json modified",
        "package@shop: unchanged, skipped",
        "package@toys: runs, for data/raw/toys modified",
    ]
    assert lines[-4:-1] == [
        "shop: 2 unchanged",
        "toys: 1 run, 1 failed",
        "  package@toys: RefusedError: assay.json says not passed",
    ]
    assert (ended.returncode, ended.stderr) == (1, "")
    ended = run_flow("flows.retrain", "shop")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "nothing new"


def wait_for(found: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"did not come in {seconds} s"
        time.sleep(0.2)
    return value


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_flow_that_is_ended_from_outside_costs_no_bundle(clone: Any, how: signal.Signals) -> None:
    clone.lock("shop", "slow package")
    command = [sys.executable, "-m", "flows.retrain", "shop"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: clone.bundle("shop") == {"half.txt": b"half"}, seconds=120)
        process.send_signal(how)
        code = process.wait(timeout=30)
        assert code == (-how if how == signal.SIGKILL else 128 + how)
        assert how == signal.SIGKILL or not has_members(process.pid)  # Prefect's own server is gone too
    finally:
        stop(process)
    mark = f"ps -ww -eo args | grep -F '{clone.root}' | grep -v grep || true"
    assert "step.py" not in subprocess.run(mark, shell=True, capture_output=True, text=True, check=True).stdout
    clone.bring("shop", "refuse package")
    ended = run_flow("flows.retrain", "shop")
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1].startswith("refused: package@shop")
    assert clone.bundle("shop") == TINY


def has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process that leads its own session, and its group."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Server:
    """A Prefect server on a free loopback port, and what is started beside it."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.home = home
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        self.processes: list[subprocess.Popen[Any]] = []

    def start(self, *arguments: str) -> None:
        with (self.home / f"{arguments[0]}.log").open("w") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "prefect", *arguments],
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def call(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=120)

    def ask(self, path: str, question: object | None = None) -> Any:
        """The answer to a GET, or a POST where there is a question; None while nobody answers."""
        data = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "prefect"
    home.mkdir()
    server = Server(home)
    try:
        yield server
    finally:
        for process in reversed(server.processes):
            stop(process)


def test_a_schedule_from_prefect_yaml_retrains(clone: Any, server: Server) -> None:
    server.start("server", "start", "--host", "127.0.0.1", "--port", str(server.port))
    wait_for(lambda: server.ask("/health"), seconds=120)
    server.call("work-pool", "create", "ingot", "--type", "process")
    server.call("deploy", "--all")
    server.start("worker", "start", "--pool", "ingot")
    clone.bring("shop", "shop two")

    def ended() -> Any:
        runs = server.ask("/flow_runs/filter", {"sort": "START_TIME_ASC"}) or []
        return [run for run in runs if run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED")]

    first = wait_for(ended, seconds=240)[0]
    assert first["auto_scheduled"]
    assert (first["state"]["type"], first["state"]["message"]) == ("COMPLETED", "new bundle")
    assert clone.bundle("shop") == {"out.txt": b"shop two"}
