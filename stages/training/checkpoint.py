"""A run in, a file that a killed process goes on from out. Tensors and JSON, no pickle."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def save_checkpoint(path: Path, run: Any) -> None:
    """Write weights, best weights, optimizer, random states and history, whole or not at all."""
    tensors = {f"network.{name}": tensor for name, tensor in run.network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in run.best.items()}
    for index, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    tensors["random.sampler"] = run.generator.get_state()
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    meta = {"epoch": run.epoch, "best_epoch": run.best_epoch, "best_loss": run.best_loss, "history": run.history}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()},
        partial,
        {"run": json.dumps(meta)},
    )
    os.replace(partial, path)


def load_checkpoint(path: Path, run: Any) -> None:
    """Put `run` where the checkpoint at `path` left off; do nothing where there is none."""
    if not path.exists():
        return
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    run.network.load_state_dict({name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network.")})
    run.best = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("best.")}
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    run.optimizer.load_state_dict({**run.optimizer.state_dict(), "state": state})
    run.generator.set_state(tensors["random.sampler"])
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    run.epoch, run.best_epoch, run.best_loss = meta["epoch"], meta["best_epoch"], meta["best_loss"]
    run.history = meta["history"]
