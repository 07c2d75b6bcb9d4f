"""The graph builder: joining, stripping, and running in batches."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.core.arrays import ArraySpec
from stages.core.graph import Graph, join, run, strip

HERE = bytes(Path(__file__).resolve().parents[2])  # the work tree, which no graph may name


def times(factor, name, given="x", dtype="float32"):
    graph = Graph()
    value = graph("Mul", graph.input(given, dtype, ["N"]), graph.constant(factor, dtype))
    graph.output(value, name, dtype, ["N"])
    return graph.build("times")


def test_graphs_are_joined_by_the_names_of_outputs_and_inputs():
    joined = join(times(2, "y"), times(3, "z", given="y"), "net/")
    assert run(joined, {"x": np.array([1, 2], np.float32)}) == {"z": pytest.approx([6, 12])}
    assert [value.name for value in joined.graph.input] == ["x"]
    assert {node.name for node in joined.graph.node} == {"/Mul_2", "output_y", "net//Mul_2", "net/output_z"}


def test_joining_leaves_both_parts_as_they_were():
    first, second = times(2, "y"), times(3, "z", given="y")
    before = first.SerializeToString(deterministic=True), second.SerializeToString(deterministic=True)
    join(first, second, "net/")
    assert (first.SerializeToString(deterministic=True), second.SerializeToString(deterministic=True)) == before


def test_stripping_takes_out_what_tools_leave_and_keeps_the_result():
    model = times(2, "y")
    model.doc_string = model.graph.node[0].doc_string = "/home/me/model.py"
    entry = model.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", 'File "/somewhere/x.py"'
    stripped = strip(model)
    assert b"/home" not in stripped.SerializeToString()
    assert HERE not in stripped.SerializeToString()
    assert [opset.domain for opset in stripped.opset_import] == [""]
    assert model.doc_string == "/home/me/model.py"
    assert run(stripped, {"x": np.ones(1, np.float32)})["y"].tolist() == [2]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batches_change_nothing(batch_size):
    rows = np.arange(7, dtype=np.float32)
    assert run(times(2, "y"), {"x": rows}, batch_size=batch_size)["y"].tolist() == (rows * 2).tolist()


def test_sets_of_batches_of_different_width_are_padded_at_the_end():
    graph = Graph()
    words = graph("StringSplit", graph.input("x", "string", ["N"]), delimiter=" ", outputs=2)[0]
    live = graph("Not", graph("Equal", words, graph.constant("", "string")))
    graph.output(graph.cast(live, onnx.TensorProto.INT64), "y", "int64", ["N", "W"])
    found = run(graph.build("split"), {"x": np.array(["a", "b c d", "e f"], object)}, batch_size=1)["y"]
    assert found.tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]


def test_indexes_kept_as_32_bits_are_widened_for_the_graph():
    assert run(times(2, "y", dtype="int64"), {"x": np.array([3], np.int32)})["y"].tolist() == [6]


def test_words_of_any_script_stand_in_a_graph():
    graph = Graph()
    graph.output(
        graph("Concat", graph.input("x", "string", ["N"]), graph.constant(["é", "日本"], "string"), axis=0),
        "y",
        "string",
        ["M"],
    )
    assert run(graph.build("words"), {"x": np.array(["a"], object)})["y"].tolist() == ["a", "é", "日本"]


@pytest.mark.parametrize(
    ("spec", "dtype", "dims"),
    [
        (ArraySpec("d", "dense", ("a", "b"), 2), "float32", ["N", 2]),
        (ArraySpec("i", "index", ("a",), 9), "int64", ["N"]),
        (ArraySpec("s", "set", ("a",), 65), "int64", ["N", "s.width"]),
        (ArraySpec("t", "tokens", ("a",), 65), "int64", ["N", "t.width"]),
        (ArraySpec("p", "image", ("a",), 12, (3, 2, 2), (0.5, 0, 1), (0.25, 1, 2)), "uint8", ["N", 3, 2, 2]),
    ],
)
def test_a_spec_tells_type_and_shape_and_survives_json(spec, dtype, dims):
    import json

    assert (spec.dtype, spec.dims) == (dtype, dims)
    assert ArraySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
