"""Lines of history in, what the user's own tools show live out: DVCLive and TensorBoard.

Neither is in a stage's outs. DVCLive takes three seconds to import, so it comes under `dvc exp run`
and on demand; TensorBoard is no dependency.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stages.core.errors import TrainingError
from stages.training import Watch

EXPERIMENT = "DVC_EXP_BASELINE_REV"  # what `dvc exp run` sets for its stages
TRACK, TENSORBOARD = "INGOT_TRACK", "INGOT_TENSORBOARD"
FOLDER = Path("data/.run/dvclive")


@contextmanager
def tracking(name: str, environment: Mapping[str, str] = os.environ, *, resume: bool = False) -> Iterator[Watch]:
    """A watch that tells those tools that the environment asks for, if any; they are closed at the end.

    `name` is the pipeline's, and of a candidate its own behind it. `resume`: a killed run's lines stay, and those that
    it told are not told again.
    INGOT_TRACK=1, or `dvc exp run`: DVCLive writes `data/.run/dvclive/<name>/`. INGOT_TENSORBOARD=<folder>:
    TensorBoard's events go to `<folder>/<name>`.
    Raises TrainingError where TensorBoard is asked for and not installed.
    """
    with ExitStack() as stack:
        watches: list[Watch] = []
        if environment.get(TRACK, "0") not in ("", "0") or EXPERIMENT in environment:
            watches.append(stack.enter_context(dvclive(FOLDER / name, resume)))
        if environment.get(TENSORBOARD):
            watches.append(stack.enter_context(tensorboard(Path(environment[TENSORBOARD]) / name)))

        def watch(line: Mapping[str, float]) -> None:
            for tell in watches:
                tell(line)

        yield watch


@contextmanager
def dvclive(folder: Path, resume: bool) -> Iterator[Watch]:
    from dvclive import Live  # type: ignore[attr-defined]

    # dvc.yaml is ours, and so is the experiment: DVCLive has only the history to keep
    with Live(str(folder), resume=resume, save_dvc_exp=False, dvcyaml=None, report=None) as live:
        first = live.step  # behind those that a killed run told: its checkpoint may be older

        def watch(line: Mapping[str, float]) -> None:
            if line["epoch"] < first:
                return
            live.step = int(line["epoch"])
            for name, value in line.items():
                live.log_metric(name, value)
            live.sync()

        yield watch


@contextmanager
def tensorboard(folder: Path) -> Iterator[Watch]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            f"{TENSORBOARD} is set, and tensorboard is not installed. Install it: pip install -e '.[tensorboard]', "
            f"or unset {TENSORBOARD}."
        ) from None
    writer: Any = SummaryWriter(str(folder))

    def watch(line: Mapping[str, float]) -> None:
        for name, value in line.items():
            if name != "epoch":
                writer.add_scalar(name, value, int(line["epoch"]))
        writer.flush()

    try:
        yield watch
    finally:
        writer.close()
