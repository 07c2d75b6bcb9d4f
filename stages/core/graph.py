"""Operators in, an ONNX graph out: the one builder that columns, models and targets draw with.

Only operators that a stock onnxruntime loads with nothing registered. Values are tensor names.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.compose import add_prefix, merge_models

OPSET, ML_OPSET, MICROSOFT_OPSET, IR_VERSION = 20, 4, 1, 10
FLOAT, DOUBLE, INT64, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL
UINT8, STRING, UINT32, INT16 = TensorProto.UINT8, TensorProto.STRING, TensorProto.UINT32, TensorProto.INT16
DTYPES = {"float32": FLOAT, "float64": DOUBLE, "int64": INT64, "int16": INT16, "uint8": UINT8, "string": STRING}
END = 2**31


class Graph:
    """A graph under construction. Calling it appends an operator and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.value_info: list[onnx.ValueInfoProto] = []
        self.count = 0

    def __call__(self, operator: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        self.count += 1
        stem = f"/{operator}_{self.count}"  # no column is named like that
        names = [stem] if outputs == 1 else [f"{stem}_{i}" for i in range(outputs)]
        if domain == "com.microsoft":
            # onnx knows no contrib schema: without a type here its shape inference kills the process
            element = UINT32 if operator == "MurmurHash3" else STRING
            self.value_info.append(helper.make_tensor_value_info(names[0], element, [None, None]))
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=stem, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], list(shape)))
        return name

    def output(self, value: str, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"output_{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], list(shape)))

    def constant(self, value: Any, dtype: str | None = None) -> str:
        self.count += 1
        name = f"/constant_{self.count}"
        array = np.asarray(value, dtype=object if dtype == "string" else dtype)
        if array.dtype.kind in "OU":
            words = [str(word).encode() for word in array.ravel()]
            self.constants.append(helper.make_tensor(name, STRING, array.shape, words))
        else:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, "int64")

    def cast(self, value: str, to: int) -> str:
        return str(self("Cast", value, to=to))

    def slice(self, value: str, start: int, end: int, axis: int) -> str:
        return str(self("Slice", value, self.integers(start), self.integers(end), self.integers(axis)))

    def column(self, value: str) -> str:
        """[N] → [N, 1]"""
        return str(self("Unsqueeze", value, self.integers(1)))

    def build(self, name: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, self.constants, value_info=self.value_info
        )
        opsets = [("", OPSET), ("ai.onnx.ml", ML_OPSET), ("com.microsoft", MICROSOFT_OPSET)]
        imports = [helper.make_opsetid(*opset) for opset in opsets]
        model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=imports, producer_name="ingot")
        onnx.checker.check_model(model)
        return model


def join(
    first: onnx.ModelProto, second: onnx.ModelProto, prefix: str, *, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Feed outputs of `first` into the equally named inputs of `second`, whose insides get `prefix`.

    Of the outputs of `first` only those named in `keep` stay outputs.
    """
    first, second = onnx.ModelProto.FromString(first.SerializeToString()), strip(second)
    taken = {value.name for value in second.graph.input}
    second = add_prefix(second, prefix, rename_outputs=False)
    unify_opsets(first, second)
    pairs = [(value.name, prefix + value.name) for value in first.graph.output if value.name in taken]
    merged = merge_models(first, second, io_map=pairs, outputs=[value.name for value in second.graph.output])
    merged.graph.output.extend(value for value in first.graph.output if value.name in keep)
    merged.ir_version = IR_VERSION
    versions = {opset.domain: opset.version for opset in merged.opset_import}
    del merged.opset_import[:]  # merge_models leaves duplicates, and the quantiser then fails
    merged.opset_import.extend(helper.make_opsetid(*opset) for opset in sorted(versions.items()))
    onnx.checker.check_model(merged, full_check=True)
    return merged


def unify_opsets(first: onnx.ModelProto, second: onnx.ModelProto) -> None:
    """Give both models the same opset table; merge_models insists on it."""
    for model, other in ((first, second), (second, first)):
        model.ir_version = IR_VERSION
        present = {opset.domain for opset in model.opset_import}
        model.opset_import.extend(opset for opset in other.opset_import if opset.domain not in present)


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without what the torch exporter leaves: source paths, stale shapes, doc strings,
    domains that no node is of."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    used = {node.domain for node in model.graph.node} | {""}
    imports = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]  # the quantizer names every domain that onnxruntime knows
    model.opset_import.extend(imports)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    return model


def session(model: onnx.ModelProto | bytes, *, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU. One thread: the same sums in the same order everywhere."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(
    model: onnx.ModelProto | bytes, arrays: dict[str, np.ndarray], *, batch_size: int = 256
) -> dict[str, np.ndarray]:
    """Run a graph over [N, …] arrays in batches; outputs are joined again, padded to equal width."""
    running = session(model)
    wanted = {value.name: value.type for value in running.get_inputs()}
    names = [value.name for value in running.get_outputs()]
    num_rows = len(next(iter(arrays.values())))
    parts: list[list[np.ndarray]] = []
    for start in range(0, max(num_rows, 1), batch_size):
        batch = {name: as_type(arrays[name][start : start + batch_size], kind) for name, kind in wanted.items()}
        parts.append(running.run(names, batch))
    return {name: concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def as_type(array: np.ndarray, kind: str) -> np.ndarray:
    """Indexes are kept as 32-bit integers on disk; graphs take 64-bit ones."""
    return array.astype(np.int64) if kind == "tensor(int64)" else array


def concatenate(parts: list[np.ndarray]) -> np.ndarray:
    """Join along rows; batches of `set` and `tokens` differ in width and are padded with 0 at the end."""
    if parts[0].ndim != 2 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    joined = np.zeros((sum(map(len, parts)), max(part.shape[1] for part in parts)), parts[0].dtype)
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return joined
