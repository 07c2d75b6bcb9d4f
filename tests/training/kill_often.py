"""Kill `stages.train` at random moments until it has been killed often enough; print what each life came to.

`python kill_often.py KILLS SEED OUT ARGUMENT …`. Each life is a process of its own, forked from this one when torch
is loaded, so that moments fall into the work and not into imports. A checkpoint is written every 50 ms.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from stages import train
from stages.training import loop

loop.CHECKPOINT_SECONDS = 0.05


def start(out: Path, arguments: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        train.main([*arguments, "--out", str(out)])
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def files(out: Path) -> dict[str, str]:
    return {path.name: path.read_bytes().hex() for path in sorted(out.iterdir())}


def live(out: Path, arguments: list[str], seconds: float | None) -> int:
    """The exit status of a life of so many seconds at most; -9 where it was killed."""
    child = start(out, arguments)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # of one that has ended and waits to be asked, nothing comes
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    kills, seed, out, arguments = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    began = time.monotonic()
    assert live(out, arguments, None) == 0
    whole_seconds, whole = time.monotonic() - began, files(out)
    shutil.rmtree(out)
    draw, ended, killed, gone_on = random.Random(seed), 0, 0, 0
    store = Path(os.environ["INGOT_STORE"])
    status = -signal.SIGKILL
    while killed < kills or status:  # a kill may fall between the outs and the end: then the stage runs once more
        gone_on += bool(list(store.rglob("run.safetensors")))
        status = live(out, arguments, draw.uniform(0, whole_seconds) if killed < kills else None)
        assert status in (0, -signal.SIGKILL), status
        killed += status != 0
        if status == 0 or out.exists():
            assert files(out) == whole
            shutil.rmtree(out)
            ended += 1
    print(json.dumps({"killed": killed, "ended": ended, "gone_on": gone_on, "seconds": whole_seconds}))


if __name__ == "__main__":
    main()
