"""A command in, its exit code out; when the caller ends, whatever ends it, all that was started ends too.

Run as a script, in a session of its own, with a pipe from the caller as its input. The pipe
closes when the caller closes it or dies, even by SIGKILL. Then the whole group gets what Ctrl-C
would send, so that DVC leaves its files in order, and soon after SIGKILL.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 5.0


def hold(command: list[str]) -> int:
    # A shell's background job ignores SIGINT, and so would everything started from there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    let_go = threading.Event()
    threading.Thread(target=watch, args=(let_go,), daemon=True).start()
    code = child.wait()
    if let_go.is_set():
        os.killpg(0, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def watch(let_go: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    let_go.set()
    os.killpg(0, signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(hold(sys.argv[1:]))
