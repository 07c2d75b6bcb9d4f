"""What a flow says in, plain lines on the terminal out; Prefect's own lines stay in its log."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefect.logging import get_run_logger
from prefect.logging.loggers import PrefectLogAdapter
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from stages.core.errors import IngotError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

NAME = "ingot"
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def logger() -> PrefectLogAdapter:
    """Of the run that is going on: its lines reach Prefect's log, and the terminal by `speak_plainly`."""
    current = get_run_logger()
    assert isinstance(current, PrefectLogAdapter)
    return current.getChild(NAME)


def is_help(record: logging.LogRecord) -> bool:
    """Not what Prefect says of states, which our own lines say; but what no one foresaw, with its traceback."""
    if record.name.startswith(LOGGERS):
        error = record.exc_info[1] if record.exc_info else None
        return isinstance(error, Exception) and not isinstance(error, IngotError)
    return record.levelno >= logging.WARNING


def speak_plainly() -> None:
    """From here on: our own lines on stdout, and of everyone else's those that help."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for name in LOGGERS:
        logging.getLogger(f"{name}.{NAME}").addHandler(handler)
    for other in logging.getLogger().handlers:
        other.addFilter(is_help)


def command(parser: argparse.ArgumentParser, call: Callable[[], "State[Any]"]) -> int:
    """Run a flow from the command line: its last words on stdout, 0 when it ends well and 1 when not.

    Without a heartbeat, which costs a second and which no one listens to here.
    """
    speak_plainly()
    # By default it ends Python at once, and the server that Prefect started for this run would stay on.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            state = call()
    except IngotError as error:
        print(f"{parser.prog}: {type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped, with all that it had started", file=sys.stderr)
        return 128 + signal.SIGINT
    print(state.message, flush=True)
    return 0 if state.is_completed() else 1
