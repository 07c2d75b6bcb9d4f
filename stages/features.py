"""Labelled splits in; `encode.onnx` and the tensors that it makes of train and validation, out.

States are fitted on the training rows alone. The tensors are made by running the very graph that
serves, so training and serving cannot differ.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.contract import Contract
from stages.core import cli
from stages.core.files import write_json
from stages.core.tensors import write_tensors
from stages.training.features import Features, arrays_of, fit_features, options

Section = Features


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.features`."""
    options(contract)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("features", "train", "validation", "verdict", argv=argv) as job:
        cli.require_passed(job["verdict"])
        train = read_split(job["train"])
        fitted = fit_features(train, job.contract)
        encoder = fitted.encoder
        (job.out / "encode.onnx").write_bytes(encoder.model.SerializeToString(deterministic=True))
        specs = [spec.to_json() for spec in encoder.specs]
        items = {"items": fitted.items.to_json()} if fitted.items.specs else {}
        found = {"specs": specs, "target": fitted.target, "state": encoder.state, **items}
        write_json(job.out / "features.json", found)
        sizes = {}
        for name, table in (("train", train), ("validation", read_split(job["validation"]))):
            write_tensors(job.out / f"{name}.safetensors", arrays_of(table, fitted, job.contract))
            sizes[name] = table.num_rows
        arrays = ", ".join(f"{spec.kind} {'×'.join(map(str, spec.shape)) or spec.size}" for spec in encoder.specs)
        job.say(f"{sizes['train']:,} train and {sizes['validation']:,} validation rows → {arrays}")


def read_split(path: Path) -> pa.Table:
    with path.open("rb") as file:
        return pq.read_table(file)


if __name__ == "__main__":
    main()
