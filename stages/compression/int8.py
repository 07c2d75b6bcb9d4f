"""A float network in, the same with 8-bit weights out, by onnxruntime's quantizer.

Networks with convolutions are quantized statically (scales from training rows): onnxruntime runs
dynamically quantized convolutions an order of magnitude slower. All others dynamically.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from stages.core.graph import as_type, session, strip

CALIBRATION_ROWS = 512
BATCH_ROWS = 128


def int8(network: bytes, train: Mapping[str, np.ndarray]) -> bytes:
    model = onnx.ModelProto.FromString(network)
    convolutional = any(node.op_type == "Conv" for node in model.graph.node)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(network)
        with quiet():
            (quantize_static if convolutional else quantize_dynamic)(source, target, train)
        quantized = strip(onnx.load(target))
    return bytes(quantized.SerializeToString(deterministic=True))


@contextmanager
def quiet() -> Iterator[None]:
    """The quantizer gives its advice on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def quantize_dynamic(source: Path, target: Path, train: Mapping[str, np.ndarray]) -> None:
    from onnxruntime import quantization

    kinds = ["MatMul", "Gemm", "Gather"]
    quantization.quantize_dynamic(source, target, op_types_to_quantize=kinds, weight_type=quantization.QuantType.QInt8)


def quantize_static(source: Path, target: Path, train: Mapping[str, np.ndarray]) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared, target, Rows(train, source.read_bytes()),
        quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip


class Rows:
    """The first training rows, batch by batch, as onnxruntime's calibration wants them."""

    def __init__(self, train: Mapping[str, np.ndarray], network: bytes) -> None:
        kinds = {value.name: value.type for value in session(network).get_inputs()}
        self.batches: Iterator[dict[str, Any]] = iter(
            {name: as_type(train[name][start : start + BATCH_ROWS], kinds[name]) for name in kinds}
            for start in range(0, min(CALIBRATION_ROWS, len(train["target"])), BATCH_ROWS)
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self.batches, None)

    def __len__(self) -> int:
        return CALIBRATION_ROWS // BATCH_ROWS

    def set_range(self, start_index: int, end_index: int) -> None:
        """Part of onnxruntime's interface; all rows are always used."""
