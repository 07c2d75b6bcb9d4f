"""A pipeline in; its sources looked at anew, and a new bundle or the former one out.

**When is there nothing new?** When, after the lock of the sources was refreshed, dvc.lock still
holds for every stage of the pipeline. dvc.lock is written stage by stage, and only for what ended
well: its entry for `package` names the lock, the parameters, the code and the model that the
present bundle was built from. So there is no record beside it that could disagree, it travels
with git, and it covers new parameters and code as well as new data.

**When the new bundle is refused** (or a stage fails, or all is killed), the former bundle stays
(flows/keep.py). The refreshed lock, dvc.lock's entries for the stages that went well, and what
they made stay too: they are the evidence, and the next attempt goes on from there. `package` then
differs from dvc.lock, whose entry is still that of the bundle on disk. So the next scheduled
retrain is not "nothing new": it refuses again, in about a second, until new data, parameters or
code make it pass. `git checkout sources/<p>/lock.json` and `dvc repro` go back instead.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed, Failed

from flows import console, keep
from flows.graph import Stage, brief, changes, read, select
from flows.reproduce import Children, Failure
from flows.run import Workers, failures, mend, walk
from stages.core.errors import ContractError, IngotError, SourceError
from stages.fetch import plain_errors, refresh

NOTHING_NEW = "nothing new"
NEW_BUNDLE = "new bundle"
RETRIES = 3
REFUSED = "RefusedError"  # as stages.core.cli records it


def is_out_of_reach(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """A source may be back in a minute; a contract is as wrong then as now."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, SourceError) and run.run_count <= RETRIES:
        console.logger().warning("out of reach, tried again soon: %s", error)
    return isinstance(error, SourceError)


@task(
    name="look",
    task_run_name="refresh@{pipeline}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=[10, 60, 300],
    retry_condition_fn=is_out_of_reach,
)
def look(pipeline: str) -> str:
    """Rewrite the lock from what the sources hold now; what changed, in words."""
    from stages.fetch.lock import describe

    with plain_errors(pipeline):
        return describe(refresh(pipeline))


@flow(name="retrain", persist_result=False)
def retrain(pipeline: str, workers: Workers = 1) -> State[Any]:
    """Look for new data, and build a new bundle if there are any. The message is the result:
    "nothing new", "new bundle", or "refused: …, former bundle kept"; other failures say "failed: …".
    """
    log = console.logger()
    stages = select(read(), [pipeline])
    package = product(stages, pipeline)
    mend(stages)
    try:
        log.info("%s: sources: %s", pipeline, look(pipeline))
    except IngotError as error:
        return ended_badly(Failure(f"refresh@{pipeline}", type(error).__name__, str(error)), package)
    changed = changes(list(stages))
    if not changed:
        return Completed(name="Unchanged", message=NOTHING_NEW)
    log.info("%s: not what the bundle was built from: %s", pipeline, brief([*changed]))
    former = keep.recorded(package)
    with Children(workers) as children:
        states = walk(stages, children=children, workers=workers)
    if failed := failures(states):
        return ended_badly(failed[0], package)
    if keep.recorded(package) == former:
        return Completed(name="Unchanged", message=f"{NOTHING_NEW}: the bundle came out the same, byte for byte")
    return Completed(message=NEW_BUNDLE)


def product(stages: Mapping[str, Stage], pipeline: str) -> Stage:
    name = f"{keep.PRODUCT}@{pipeline}"
    if name not in stages:
        raise ContractError(f"dvc.yaml has no stage {name}, so there is no bundle to renew. Add it, or use flows.run")
    return stages[name]


def ended_badly(failure: Failure, package: Stage) -> State[Any]:
    former = "former bundle kept" if keep.bundle_of(package).exists() else "there is no former bundle"
    verdict = "refused" if failure.kind == REFUSED else "failed"
    text = f"{verdict}: {failure}"
    return Failed(name=verdict.capitalize(), message=f"{text}\n{former}" if "\n" in text else f"{text}, {former}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pipeline", help="a section of params.yaml")
    parser.add_argument("--workers", type=int, default=1, help="stages that may run at the same time")
    arguments = parser.parse_args(argv)

    def call() -> State[Any]:
        product(select(read(), [arguments.pipeline]), arguments.pipeline)
        return retrain(arguments.pipeline, workers=arguments.workers, return_state=True)

    return console.command(parser, call)


if __name__ == "__main__":
    sys.exit(main())
