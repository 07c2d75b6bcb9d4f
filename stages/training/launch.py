"""A stage's command line in, its exit code out: run by several processes on this machine that train together.

torchrun starts the same stage over many machines. On one, this does it without: torchrun restarts after an error that
no restart can mend, hides exit codes, and leaves its workers running when it is killed itself (they are sessions of
their own). Here all are one process group, and workers die with their parent. No torch in here: a parent only waits.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

RESTARTS = 3
POLL_SECONDS = 0.05
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def rank() -> int | None:
    """Which of several processes this is, as torchrun and `launch` say it; None where it is alone."""
    return int(os.environ["RANK"]) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None


def restarted() -> bool:
    """Whether torchrun started this worker again after a failure."""
    return rank() is not None and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def die_with_parent(place: int | None) -> None:
    """Else the workers of a killed launcher go on, and write beside the next run. Linux alone knows how."""
    if place is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def launch(command: Sequence[str], processes: int) -> int:
    """The command in each process. All start again, from the checkpoint, where one was killed."""
    for left in reversed(range(RESTARTS + 1)):
        codes = attempt(command, processes)
        first = codes[0]
        if first >= 0 or not left:
            break
        print(
            f"a process was ended by signal {-first}; all {processes} start again from the last checkpoint "
            f"({left} restarts left)",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return first if first >= 0 else 128 - first  # as a shell says it


def attempt(command: Sequence[str], processes: int) -> list[int]:
    """Run all until the last is done, or until one fails. Exit codes, that of who failed first in front."""
    port, workers = free_port(), list[subprocess.Popen[bytes]]()
    try:
        for place in range(processes):
            ranks = {"RANK": place, "LOCAL_RANK": place, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
            told = {name: str(value) for name, value in ranks.items()}
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            workers.append(subprocess.Popen(command, env={**os.environ, **told, **address}))
        while True:
            codes = [worker.poll() for worker in workers]
            ended = [code for code in codes if code is not None]
            failed = [code for code in ended if code]
            # who was killed comes before those who failed for want of him
            if failed or len(ended) == processes:
                return sorted(failed) or [0]
            time.sleep(POLL_SECONDS)
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
