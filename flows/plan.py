"""The graph and the state of the workspace in, what `dvc repro` would run and why out."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import networkx
from dvc.repo import Repo

from stages.core.errors import ContractError


def reasons(changes: Any) -> Iterator[str]:
    """DVC's status of one stage as short phrases, such as "params.yaml: retail.train.epochs modified"."""
    for change in changes:
        if isinstance(change, str):
            yield change
            continue
        for kind, paths in change.items():
            for path, how in paths.items() if isinstance(paths, Mapping) else ():
                yield from describe(kind, path, how)


def describe(kind: str, path: str, how: Any) -> Iterator[str]:
    if isinstance(how, Mapping):
        yield from (f"{path}: {key} {state}" for key, state in how.items())
    elif kind == "changed outs":
        yield f"{path} is {'missing' if how == 'deleted' else how}"
    else:
        yield f"{path} {how}"


def plan(repo: Repo) -> list[tuple[str, str]]:
    """Stages that would run, pipeline by pipeline and in order, each with its reasons."""
    graph = repo.index.graph  # an edge leads from a stage to one that it needs
    status = repo.status()
    found: dict[str, str] = {}
    for stage in networkx.dfs_postorder_nodes(graph):
        own = list(reasons(status.get(stage.addressing, [])))
        upstream = sorted(needed.addressing for needed in graph.successors(stage) if needed.addressing in found)
        if own and not any(out.hash_info for out in stage.outs):
            own = ["it has never run here"]
        if own or upstream:
            more = [f"and {len(own) - 3} more"] if len(own) > 3 else []
            found[stage.addressing] = "; ".join(own[:3] + more) or f"if {', '.join(upstream)} gives something new"
    return sorted(found.items(), key=lambda item: item[0].rpartition("@")[2])


def main() -> int:
    try:
        with Repo(".") as repo:
            stages = plan(repo)
    except ContractError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for name, because in stages:
        print(f"{name}: {because}")
    print(f"{len(stages)} stages would run" if stages else "everything is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
