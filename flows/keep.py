"""A bundle in, the same bundle out wherever no new one came in its place.

DVC deletes what a stage makes before it runs that stage, unless dvc.yaml says `persist`, and even
then a checkout may take its place. So around that one stage the former bundle is kept beside it,
as `.<pipeline>.kept`: a copy made aside and renamed, so it is whole or absent.

dvc.lock decides which of the two stays, as it is written only when a stage ends well. Where the
bundle is the one that dvc.lock records, it is whole, and the kept one goes. Where it is missing,
half deleted, half written or made by a run that was killed before DVC took note, the kept one
returns, by rename. The next flow does the same before anything else, so a kill at any moment
costs a bundle that was not finished and never the one that was. A lock that ends with its
process tells an attempt that was killed from one that still runs.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.graph import Stage, opened
from stages.core.errors import ContractError
from stages.core.files import replacing

PRODUCT = "package"  # the stage that makes what is served


def bundle_of(stage: Stage) -> Path:
    if len(stage.outs) != 1:
        raise ContractError(f"dvc.yaml: {stage.name} has {len(stage.outs)} outs. Give it one, the bundle's folder")
    return stage.outs[0]


def beside(bundle: Path, suffix: str) -> Path:
    return bundle.with_name(f".{bundle.name}.{suffix}")


@contextmanager
def locked(bundle: Path) -> Iterator[None]:
    """Wait until no other process works on this bundle; the lock ends with its process."""
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with beside(bundle, "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def recorded(stage: Stage) -> str | None:
    """The hash that dvc.lock holds for the bundle."""
    with opened() as repo:
        value: str | None = repo.stage.collect(stage.name)[0].outs[0].hash_info.value
    return value


def is_recorded(stage: Stage) -> bool:
    """Whether the bundle on disk is, byte for byte, the one that dvc.lock records."""
    with opened() as repo, repo.lock:
        out = repo.stage.collect(stage.name)[0].outs[0]
        return bool(out.hash_info and out.exists and not out.changed_checksum())


def settle(stage: Stage) -> bool:
    """Mend what an attempt that was killed has left; True where the former bundle was put back."""
    bundle = bundle_of(stage)
    if not beside(bundle, "kept").exists() and not beside(bundle, "dropped").exists():
        return False
    with locked(bundle):
        return choose(stage)


@contextmanager
def keeping(stage: Stage) -> Iterator[None]:
    """Whatever happens in the block: at its end the bundle is a new one that DVC recorded, or the former one."""
    bundle = bundle_of(stage)
    with locked(bundle):
        choose(stage)
        if bundle.exists():
            with replacing(beside(bundle, "kept")) as partial:
                shutil.copytree(bundle, partial, dirs_exist_ok=True)
        try:
            yield
        finally:
            choose(stage)


def choose(stage: Stage) -> bool:
    """Let go of the kept bundle, or put it back."""
    bundle = bundle_of(stage)
    kept, dropped = beside(bundle, "kept"), beside(bundle, "dropped")
    if dropped.exists():
        shutil.rmtree(dropped)
    if not kept.exists():
        return False
    put_back = not is_recorded(stage)
    if put_back:
        if bundle.exists():
            bundle.rename(dropped)
        kept.rename(bundle)
    else:
        kept.rename(dropped)  # a removal that is cut short must not look like a bundle
    if dropped.exists():
        shutil.rmtree(dropped)
    return put_back
