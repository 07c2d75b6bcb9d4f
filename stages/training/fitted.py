"""A fitted model in, its files out, and back."""

from pathlib import Path

from stages.core.files import write_json, write_text
from stages.core.tensors import write_tensors
from stages.training import Fitted


def write_fitted(folder: Path, fitted: Fitted) -> None:
    """`network.onnx`, `weights.safetensors`, `model.json` and, of the loop, `history.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.onnx").write_bytes(fitted.network.SerializeToString(deterministic=True))
    write_tensors(folder / "weights.safetensors", dict(fitted.weights))
    facts = {"model": fitted.model, "parameters": fitted.num_parameters, "best_epoch": fitted.best_epoch}
    facts["depends_on"] = list(fitted.depends_on)
    write_json(folder / "model.json", facts)
    names = list(fitted.history[0]) if fitted.history else ["epoch", "train_loss", "validation_loss"]
    lines = [",".join(f"{line[name]:.9g}" for name in names) for line in fitted.history]
    write_text(folder / "history.csv", "\n".join([",".join(names), *lines]) + "\n")
