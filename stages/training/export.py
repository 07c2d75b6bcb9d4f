"""A torch module in, its ONNX graph from encoded arrays to `outputs` [N, C] out."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.core.arrays import ArraySpec


def export(network: nn.Module, specs: Sequence[ArraySpec], sample: Mapping[str, np.ndarray]) -> Any:
    """`sample` holds a few rows of every array, at least 2: a batch of 1 would be taken as fixed."""
    from stages.core.graph import OPSET, strip  # the loop trains where there is no onnx

    rows = [widen(spec, sample[spec.name]) for spec in specs]
    fold: Any = getattr(network, "fold", None)
    network = fold() if fold else network  # what never changes is computed once
    dynamic = torch.export.Dim.DYNAMIC
    shapes = tuple({0: dynamic, 1: dynamic} if spec.kind in ("set", "tokens") else {0: dynamic} for spec in specs)
    quiet = io.StringIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            network.eval(), tuple(rows), dynamo=True, dynamic_shapes=(shapes,), opset_version=OPSET,
            input_names=[spec.name for spec in specs], output_names=["outputs"], verbose=False,
        )  # fmt: skip
    assert program is not None
    return strip(program.model_proto)


def widen(spec: ArraySpec, rows: np.ndarray) -> torch.Tensor:
    """Rows as the serving graph gives them: int64 indexes, at least 2 rows, sets and tokens of width 4 or more."""
    array = np.asarray(rows)
    if len(array) < 2:
        array = (
            np.concatenate([array, array, array])[:2] if len(array) else np.zeros((2, *array.shape[1:]), array.dtype)
        )
    if spec.kind in ("set", "tokens") and array.shape[1] < 4:
        array = np.pad(array, ((0, 0), (0, 4 - array.shape[1])))
    return torch.from_numpy(np.ascontiguousarray(array.astype(spec.dtype)))
