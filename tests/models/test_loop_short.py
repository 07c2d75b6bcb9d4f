"""The loop in bfloat16."""

import numpy as np
import onnx
import pytest
import torch

from stages.contract.loader import choose
from stages.training import Recipe, devices, loop

RECIPE = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "device": "cpu", "seed": 3}


@pytest.fixture
def train(problem, splits, options, monkeypatch):
    monkeypatch.setattr(loop, "export", lambda network, specs, sample: onnx.ModelProto())

    def start(able, **recipe):
        monkeypatch.setattr(devices, "processor_is_short", lambda: able)
        return loop.train(
            "convnet", choose("models", "convnet", "").build, options("convnet"), problem("convnet", 3), splits(3),
            recipe=Recipe(**RECIPE, **recipe),
        )  # fmt: skip

    return start


def bits(fitted):
    return {name: array.tobytes() for name, array in fitted.weights.items()}


def test_it_learns_as_float32_does_and_keeps_weights_in_float32(train):
    short, long = train(True, precision="bfloat16"), train(True)
    assert {array.dtype for array in short.weights.values() if array.dtype.kind == "f"} == {np.dtype(np.float32)}
    assert bits(short) != bits(long)
    assert short.history[-1]["train_loss"] == pytest.approx(long.history[-1]["train_loss"], abs=0.05)
    assert short.history[-1]["validation_loss"] == pytest.approx(long.history[-1]["validation_loss"], abs=0.05)


def test_the_same_run_again_ends_in_the_same_bits(train):
    assert bits(train(True, precision="bfloat16")) == bits(train(True, precision="bfloat16"))


def test_a_processor_without_it_trains_in_float32(train):
    assert bits(train(False, precision="bfloat16")) == bits(train(False))


def test_what_rests_on_the_processor_says_so(train):
    assert train(True, precision="bfloat16").depends_on == ("device",)
    assert train(True).depends_on == ()


@pytest.mark.parametrize(("precision", "last"), [("bfloat16", True), ("auto", False)])
def test_convolutions_lie_channels_last_where_that_pays(precision, last, problem, options, monkeypatch):
    monkeypatch.setattr(devices, "processor_is_short", lambda: True)
    build = choose("models", "convnet", "").build
    run = loop.start(build, options("convnet"), problem("convnet", 3), Recipe(precision=precision), torch.device("cpu"))
    (weight, *_) = [weight for weight in run.network.parameters() if weight.ndim == 4 and min(weight.shape[:2]) > 1]
    assert weight.is_contiguous(memory_format=torch.channels_last) is last
