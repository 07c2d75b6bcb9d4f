"""An encoder, a network and a decision in, one graph from raw values to the decision out."""

from collections.abc import Mapping
from typing import Any

import onnx

from stages.core.graph import join


def assemble(
    encode: onnx.ModelProto, network: bytes, decide: onnx.ModelProto, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """`model.onnx`. Names inside say where a node comes from: "net/" the network, "decide/" the decision."""
    wanted = {value.name for value in decide.graph.input} - {"outputs"}  # a ranking masks what its history holds
    raw = join(encode, onnx.ModelProto.FromString(network), "net/", keep=wanted)
    whole = join(raw, decide, "decide/")
    whole.graph.name = "model"
    whole.producer_name, whole.producer_version = "ingot", ""
    for key in sorted(metadata):
        entry = whole.metadata_props.add()
        entry.key, entry.value = key, metadata[key]
    return whole


def to_bytes(model: onnx.ModelProto) -> bytes:
    content: Any = model.SerializeToString(deterministic=True)
    return bytes(content)
