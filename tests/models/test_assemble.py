"""Encoder, network and decision joined into one graph; and its smaller forms."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest

from stages.columns import Encoder, feature_options, fit, inputs
from stages.compression.assemble import assemble, to_bytes
from stages.compression.int8 import int8
from stages.compression.latency import latency_ms
from stages.contract.decide import Decide
from stages.contract.loader import declare
from stages.core.graph import run
from stages.targets import category

HERE = bytes(Path(__file__).resolve().parents[2])  # the work tree, which no graph may name

DECLARED = {  # encoded, they have the names, kinds and sizes of the specs in conftest.py
    "a": {"type": "number"},
    "b": {"type": "boolean"},
    "c": {"type": "number"},
    "d": {"type": "category"},
    "e": {"type": "text"},
    "f": {"type": "image", "height": 9, "width": 7, "channels": 1},
}
VALUE = {
    "contact": {"class 0": -4.0, "class 1": 5.0, "class 2": 0.0},
    "skip": {"class 0": 0.0, "class 1": 0.0, "class 2": 0.1},
}
ENDING = category.nodes(
    {"classes": ["class 0", "class 1", "class 2"]},
    {"temperature": 1.37},
    Decide(currency="GBP", value=VALUE),
    "shop.decide",
)
MODELS = ["bag", "boosting", "convnet", "linear", "mlp", "prior"]


def table_of(num_rows: int, seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    texts = np.array(["red blue", "blue green!", "", "win $ now", "日本 tower"])
    pixels = generator.integers(0, 255, (num_rows, 63), np.uint8)
    return pa.table(
        {
            "a": pa.array(generator.normal(size=num_rows)),
            "b": pa.array(generator.random(num_rows) < 0.5),
            "c": pa.array(generator.normal(size=num_rows) * 100),
            "d": pa.array([f"{i % 4}" for i in range(num_rows)], pa.string()),
            "e": pa.array([str(texts[i]) for i in generator.integers(0, 5, num_rows)], pa.string()),
            "f": pa.array([bytes(row) for row in pixels], pa.binary(63)),
        }
    )


@pytest.fixture(params=MODELS)
def built(request, fitted, problem):
    """The columns that a model can take, their encoder, and the model's network."""
    taken = {name for spec in problem(request.param, 3).specs for name in spec.columns}
    columns = {name: declare(f"t.{name}", raw) for name, raw in DECLARED.items() if name in taken}
    options = feature_options(columns, {}, {"e": {"buckets": 1024}} if "e" in taken else {}, "t")
    encoder = fit(columns, options, table_of(64, 1).select(list(columns)))
    assert [(s.name, s.size) for s in encoder.specs] == [(s.name, s.size) for s in problem(request.param, 3).specs]
    return columns, encoder, fitted(request.param, 3).network.SerializeToString()


def raw_rows(columns: dict[str, Any], num_rows: int) -> dict[str, np.ndarray]:
    return inputs(columns, table_of(num_rows, 2).select(list(columns)))


def whole(encoder: Encoder, network: bytes) -> onnx.ModelProto:
    return assemble(encoder.model, network, ENDING, {"pipeline": "shop", "candidate": "fp32", "target": "buys"})


@pytest.mark.parametrize("num_rows", [0, 1, 17])
def test_one_graph_equals_its_three_parts_in_a_row_bit_for_bit(built, num_rows):
    columns, encoder, network = built
    raw = raw_rows(columns, num_rows)
    apart = run(ENDING, {"outputs": run(network, run(encoder.model, raw))["outputs"]})
    joined = run(to_bytes(whole(encoder, network)), raw)
    assert sorted(joined) == ["decision", "expected_value", "probabilities"]
    for name, array in apart.items():
        assert array.dtype == joined[name].dtype
        np.testing.assert_array_equal(joined[name], array)


def test_the_whole_graph_is_sound_and_says_what_it_is(built):
    columns, encoder, network = built
    model = onnx.ModelProto.FromString(to_bytes(whole(encoder, network)))
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "pipeline": "shop", "candidate": "fp32", "target": "buys",
    }  # fmt: skip
    assert (model.graph.name, model.producer_name, model.producer_version) == ("model", "ingot", "")
    assert [value.name for value in model.graph.input] == list(columns)
    assert len({opset.domain for opset in model.opset_import}) == len(model.opset_import)


def test_names_inside_tell_encoder_network_and_decision_apart(built):
    _, encoder, network = built
    names = [node.name for node in whole(encoder, network).graph.node]
    assert sum(name.startswith("net/") for name in names) == len(onnx.ModelProto.FromString(network).graph.node)
    assert sum(name.startswith("decide/") for name in names) == len(ENDING.graph.node)
    assert sum(not name.startswith(("net/", "decide/")) for name in names) == len(encoder.model.graph.node)


def test_assembling_twice_gives_the_same_bytes_and_leaves_the_parts_alone(built):
    _, encoder, network = built
    before = encoder.model.SerializeToString(deterministic=True)
    assert to_bytes(whole(encoder, network)) == to_bytes(whole(encoder, network))
    assert encoder.model.SerializeToString(deterministic=True) == before


@pytest.mark.filterwarnings("ignore")  # the quantizer's own
@pytest.mark.parametrize("built", ["bag", "convnet", "mlp"], indirect=True)
def test_int8_is_smaller_and_close_and_has_no_paths(built, splits):
    columns, encoder, network = built
    small = int8(network, splits(3)["train"])
    assert len(small) < 0.7 * len(network)
    for trace in (b"site-packages", HERE, b"stages/", b"/tmp"):
        assert trace not in small
    assert int8(network, splits(3)["train"]) == small
    model = whole(encoder, small)
    onnx.checker.check_model(model, full_check=True)
    before, after = (run(each, splits(3)["validation"])["outputs"] for each in (network, small))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95
    assert np.abs(after - before).mean() < 0.2 * before.std()
    for num_rows in (0, 1):
        assert run(to_bytes(model), raw_rows(columns, num_rows))["probabilities"].shape == (num_rows, 3)


@pytest.mark.parametrize("built", ["prior"], indirect=True)
def test_latency_is_measured_for_one_row_and_a_batch(built):
    columns, encoder, network = built
    found = latency_ms(to_bytes(whole(encoder, network)), raw_rows(columns, 64))
    assert sorted(found) == ["batch_of_64", "one_row"]
    assert all(value > 0 for value in found.values())
