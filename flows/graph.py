"""DVC's graph in; its stages in the order that they can run, and what changed for each, out.

Flows work in the project's folder, as DVC itself does: it names stages and paths from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows.plan import reasons
from stages.core.errors import ContractError, suggest

MAX_NAMED = 3


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml. `needs` names the stages that make what it reads."""

    name: str  # train@retail
    needs: tuple[str, ...] = ()
    outs: tuple[Path, ...] = ()

    @property
    def verb(self) -> str:
        return self.name.partition("@")[0]

    @property
    def pipeline(self) -> str:
        """Of a stage that belongs to no pipeline: the empty string."""
        return self.name.partition("@")[2]


Stages = Mapping[str, Stage]


@contextmanager
def opened() -> Iterator[Any]:
    """DVC's project in this folder; what DVC refuses becomes a ContractError."""
    try:
        with Repo(_wait_for_lock=True) as repo:
            yield repo
    except DvcException as error:
        raise ContractError(f"DVC cannot read {Path.cwd()}: {error}. `dvc status` there says more") from error


def read() -> dict[str, Stage]:
    """All stages, each after those that it needs."""
    with opened() as repo:
        graph = repo.index.graph
        stages = {
            node.addressing: Stage(
                name=node.addressing,
                needs=tuple(sorted(need.addressing for need in graph.successors(node) if need.cmd)),
                outs=tuple(Path(out.fs_path) for out in node.outs),
            )
            for node in graph.nodes
            if node.cmd  # what `dvc add` tracks is data: nothing runs
        }
    order = TopologicalSorter({name: stage.needs for name, stage in stages.items()}).static_order()
    return {name: stages[name] for name in order}


def select(stages: Stages, pipelines: Sequence[str] | None = None) -> dict[str, Stage]:
    """The stages of these pipelines, one pipeline after another, and all that those need.

    None or no name at all selects every stage. Raises ContractError for a name that is no pipeline.
    """
    known = list(dict.fromkeys(stage.pipeline for stage in stages.values() if stage.pipeline))
    for name in pipelines or ():
        if name not in known:
            raise ContractError(
                f"no pipeline is named {name!r}.{suggest(name, known)} dvc.yaml and params.yaml make "
                f"{', '.join(known) or 'none'}"
            )
    selected: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        for need in stage.needs:
            add(stages[need])
        selected.setdefault(stage.name, stage)

    for pipeline in pipelines or [*known, ""]:
        for stage in stages.values():
            if stage.pipeline == pipeline:
                add(stage)
    return selected


def changes(names: Sequence[str]) -> dict[str, list[str]]:
    """What differs from dvc.lock for each of these stages; a stage that is up to date is left out."""
    with opened() as repo:
        status: dict[str, list[Any]] = repo.status(targets=list(names))
    return {name: list(reasons(entries)) for name, entries in status.items()}


def brief(phrases: Sequence[str]) -> str:
    more = f" and {len(phrases) - MAX_NAMED} more" if len(phrases) > MAX_NAMED else ""
    return ", ".join(phrases[:MAX_NAMED]) + more
