"""A run in, a file that a killed process goes on from out. Tensors and JSON, no pickle."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stages.training.processes import like, whole, world
from stages.training.run import Run

FACTS = (
    "weight", "epoch", "position", "steps", "parts", "best_epoch", "best_loss", "first_loss", "seconds", "history",
)  # fmt: skip

PER_ROW = ("losses", "shares")


def save_checkpoint(path: Path, run: Run) -> None:
    """Write weights, their average and best, optimisers, random states and history, whole or not at all.

    Of several processes one calls this, or all do, where weights are sharded; one writes.
    """
    leads, tensors = world().leads, {}
    for name, tensor in tensors_of(run):
        gathered = whole(tensor)
        if leads:
            tensors[name] = gathered.contiguous().clone()
    if not leads:
        return
    meta = {name: getattr(run, name) for name in FACTS}
    meta["optimizer"] = [scalars(optimizer) for optimizer in run.optimizers]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"run": json.dumps(meta)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())  # else a machine that dies may keep the name and lose what stands in it
    os.replace(partial, path)


def tensors_of(run: Run) -> Iterator[tuple[str, Tensor]]:
    parts = {"network": run.network.state_dict(), "best": run.best or {}}
    if run.average is not None:
        parts["average"] = run.average.state_dict()
    for part, state in parts.items():
        yield from ((f"{part}.{name}", tensor) for name, tensor in state.items())
    for number, optimizer in enumerate(run.optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            found = {name: value for name, value in state.items() if isinstance(value, Tensor)}
            yield from ((f"optimizer.{number}.{index}.{name}", tensor) for name, tensor in found.items())
    yield from ((name, getattr(run, name)) for name in PER_ROW if getattr(run, name) is not None)
    yield "total", run.total
    yield "random.sampler", run.generator.get_state()
    yield "random.torch", torch.get_rng_state()
    if torch.cuda.is_available():
        yield "random.cuda", torch.cuda.get_rng_state()


def scalars(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """What an optimiser's state holds beside tensors, by weight."""
    state = optimizer.state_dict()["state"]
    return {
        str(index): {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        for index, values in state.items()
    }


def load_checkpoint(path: Path, run: Run) -> bool:
    """Put `run` where the checkpoint at `path` left off; False where there is none that can be read."""
    if not path.exists():
        return False
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads(file.metadata()["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError:  # a disk's fault: it costs the time, not the run
        path.unlink(missing_ok=True)  # another process may have found it first
        return False
    model = run.network.state_dict()
    run.network.load_state_dict(all_like(under(tensors, "network."), model))
    run.best = all_like(under(tensors, "best."), model) or None
    if run.average is not None:
        run.average.load_state_dict(all_like(under(tensors, "average."), model))
    for number, optimizer in enumerate(run.optimizers):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        state = {int(index): dict(values) for index, values in meta["optimizer"][number].items()}
        for name, tensor in under(tensors, f"optimizer.{number}.").items():
            index, key = name.split(".", 1)
            weight = weights[int(index)]
            state[int(index)][key] = like(tensor, weight) if tensor.shape == weight.shape else tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for name in PER_ROW:
        setattr(run, name, tensors.get(name))
    run.total.copy_(tensors["total"])
    run.generator.set_state(tensors["random.sampler"])
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    for name in FACTS:
        setattr(run, name, meta[name])
    return True


def all_like(tensors: dict[str, Tensor], models: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: like(tensor, models[name]) for name, tensor in tensors.items()}


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
