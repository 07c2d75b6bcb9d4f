"""Pipelines in; each of their stages run where it changed, as one Prefect task, and a summary out."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import Annotated, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from pydantic import Field

from flows import console, keep
from flows.graph import Stage, Stages, brief, changes, read, select
from flows.reproduce import Children, Failure, reproduce

UNCHANGED = "Unchanged"
WORKERS = 2
Workers = Annotated[int, Field(ge=1)]


@task(name="stage", task_run_name="{stage.name}", cache_policy=NO_CACHE, persist_result=False)
def build(stage: Stage, *, children: Children) -> State[Any]:
    """One stage: skipped where dvc.lock still holds, else run. Its state's name is the error's kind."""
    log = console.logger()
    why = changes([stage.name])
    if not why:
        log.info("%s: unchanged, skipped", stage.name)
        return Completed(name=UNCHANGED, message="as dvc.lock has it")
    log.info("%s: runs, for %s", stage.name, brief(why[stage.name]))
    with keep.keeping(stage) if stage.verb == keep.PRODUCT else nullcontext():
        failure = reproduce(stage, say=log.info, children=children)
    if failure:
        return Failed(name=failure.kind, message=failure.message)
    return Completed(message=f"ran for {brief(why[stage.name])}")


def walk(stages: Stages, *, children: Children, workers: int) -> dict[str, State[Any]]:
    """Run stages as soon as all that they need went well, `workers` at a time; the end state of each that ran.

    What needs a failed stage is not begun; all else goes on.
    """
    order = TopologicalSorter({name: stage.needs for name, stage in stages.items()})
    order.prepare()
    rank = {name: position for position, name in enumerate(stages)}
    futures: dict[str, PrefectFuture[Any]] = {}
    states: dict[str, State[Any]] = {}
    ended: SimpleQueue[str] = SimpleQueue()
    ready: list[str] = []
    while True:
        ready = sorted([*ready, *order.get_ready()], key=rank.__getitem__)
        while ready and len(futures) - len(states) < workers:
            name = ready.pop(0)
            needed = [futures[need] for need in stages[name].needs]  # ended: drawn as edges, not waited for
            futures[name] = build.submit(stages[name], children=children, wait_for=needed, return_state=False)
            futures[name].add_done_callback(partial(lambda name, _: ended.put(name), name))
        if len(futures) == len(states):
            return states
        name = ended.get()
        futures[name].wait()  # ended, but only this brings its last state here
        states[name] = futures[name].state
        if states[name].is_completed():
            order.done(name)


def failures(states: Mapping[str, State[Any]]) -> list[Failure]:
    return [
        Failure(name, state.name or "Failed", state.message or "it left no message")
        for name, state in states.items()
        if not state.is_completed()
    ]


def summary(stages: Stages, states: Mapping[str, State[Any]]) -> list[str]:
    """A line a pipeline: what ran, what did not, and why."""
    lines = []
    for pipeline in dict.fromkeys(stage.pipeline for stage in stages.values()):
        own = [name for name, stage in stages.items() if stage.pipeline == pipeline]
        ended = {name: states[name] for name in own if name in states}
        failed = failures(ended)
        unchanged = sum(state.name == UNCHANGED for state in ended.values())
        counts = {"run": len(ended) - unchanged - len(failed), "unchanged": unchanged, "failed": len(failed)}
        counts["not run"] = len(own) - len(ended)
        text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        reasons = "".join(f"\n  {failure}" for failure in failed)
        lines.append(f"{pipeline or 'shared'}: {text}{reasons}")
    return lines


@flow(name="run", persist_result=False)
def run(pipelines: list[str] | None = None, workers: Workers = WORKERS) -> State[Any]:
    """Bring pipelines (all unless named) up to date, at most `workers` stages at a time.

    A pipeline that fails stops only what needs it. Where `package` refuses, the former bundle stays.
    """
    start = time.perf_counter()
    stages = select(read(), pipelines)
    with Children(workers) as children:
        mend(stages)
        states = walk(stages, children=children, workers=workers)
    text = "\n".join([*summary(stages, states), f"{time.perf_counter() - start:.1f} s"])
    return Failed(message=text) if failures(states) else Completed(message=text)


def mend(stages: Stages) -> None:
    """Put back the bundles that an attempt which was killed had set aside."""
    for stage in stages.values():
        if stage.verb == keep.PRODUCT and keep.settle(stage):
            console.logger().info("%s: an earlier run was killed here; its former bundle is back", stage.name)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.run", description=__doc__)
    parser.add_argument("pipelines", nargs="*", help="all that params.yaml lists, unless named")
    parser.add_argument("--workers", type=int, default=WORKERS, help="stages that may run at the same time")
    arguments = parser.parse_args(argv)

    def call() -> State[Any]:
        select(read(), arguments.pipelines)  # a misspelt name is told before a server starts
        return run(arguments.pipelines or None, workers=arguments.workers, return_state=True)

    return console.command(parser, call)


if __name__ == "__main__":
    sys.exit(main())
