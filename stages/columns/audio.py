"""Sounds: files or samples in, int16 of one declared rate and length out; a log-mel spectrogram as a wave array.

The spectrogram is drawn into the graph: a convolution with sines and cosines is a third to a quarter of what
ONNX's STFT takes.
"""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from serving.prepare import to_array
from stages.columns._mel import DECIBELS_A_STEP, FLOOR_DECIBELS, MIDDLE, Mel
from stages.columns._parse import Cleaned, parse_distinct
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.graph import FLOAT, UINT8, Graph, run

SAMPLE_BYTES = 2
PRESENT_DECIBELS = 40.0  # below its loudest a frame is a pause, which says nothing of a recording's level
DEPTH_DECIBELS = 60.0  # below its loudest value nothing of a normalised recording is told apart
BATCH_ROWS = 64  # the convolution keeps [rows, 2 · bins, frames] of float32


class Column(BaseColumn):
    """Sounds are decoded, made mono, resampled to `rate` Hz and cut to `seconds`; a shorter one is followed by
    silence, or by itself (`fill: repeat`). `trim` first cuts off what is 40 dB below the loudest at either end.
    """

    type: Literal["audio"]
    rate: int = Field(ge=4_000, le=48_000)
    seconds: float = Field(gt=0, le=60)
    trim: bool = False
    fill: Literal["silence", "repeat"] = "silence"


class Features(Section):
    """`bands` of equal width in mel between `low_hz` and `high_hz` (half of the rate), one frame each `hop_ms`.

    `normalize: recording` takes each recording's mean level from every band: what a microphone, a line or the
    distance do to the whole of it.
    """

    bands: int = Field(default=40, ge=1, le=256)
    window_ms: float = Field(default=25.0, gt=0, le=200)
    hop_ms: float = Field(default=10.0, gt=0, le=200)
    low_hz: float = Field(default=60.0, ge=0)
    high_hz: float | None = Field(default=None, gt=0)
    normalize: Literal["none", "recording"] = "none"

    @model_validator(mode="after")
    def some_width(self) -> "Features":
        if self.high_hz is not None and self.high_hz <= self.low_hz:
            raise ValueError("a high_hz above low_hz")
        return self


def num_bytes(column: Column) -> int:
    return SAMPLE_BYTES * round(column.rate * column.seconds)


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    """A fixed-size binary column holds samples (cleaned before); any other, sound files."""
    if not pa.types.is_fixed_size_binary(values.type):
        return parse_distinct(
            column.describe(name), values, pa.binary(num_bytes(column)), lambda samples: samples.tobytes()
        )
    wrong_size = values.type.byte_width != num_bytes(column)
    absent = np.asarray(values.is_null())
    broken = {
        "audio": ~absent if wrong_size else np.zeros_like(absent),
        "required": absent if column.required else np.zeros_like(absent),
    }
    sound = pa.nulls(len(values), pa.binary(num_bytes(column))) if wrong_size else values
    return Cleaned(sound, {rule: mask for rule, mask in broken.items() if mask.any()})


def expectations(column: Column) -> list[dict[str, Any]]:
    bounds = {"min_value": num_bytes(column), "max_value": num_bytes(column)}
    return [{"type": "expect_column_values_to_be_between", "kwargs": bounds}]


def visible(column: Column, values: pa.Array) -> pa.Array:
    """What expectations see of a sound: its number of bytes, since samples are no table value."""
    return pc.binary_length(values)


def array(column: Column, values: pa.Array) -> np.ndarray:
    """int16 [N, samples]; silence where missing."""
    width = num_bytes(column) // SAMPLE_BYTES
    if values.null_count == 0 and len(values):
        start = values.offset * width
        samples = np.frombuffer(values.buffers()[1], np.int16)[start : start + len(values) * width]
        return samples.reshape(-1, width)
    rows = [None if raw is None else np.frombuffer(raw, np.int16) for raw in values.to_pylist()]
    return to_array(column.describe(""), rows)


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "int16", ["N", num_bytes(column) // SAMPLE_BYTES]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    """Mean and standard deviation of the training spectrograms / 255, from exact counts; missing ones count as none."""
    samples = array(column, values.drop_null())
    state: dict[str, Any] = {"rate": column.rate, "samples": samples.shape[1]}
    graph = Graph()
    graph.input("sound", *input_shape(column))
    graph.output(spectrogram(graph, "sound", features, state), "wave", "uint8", ["N", *mel(features, state).shape])
    model = graph.build("wave")
    counts = np.zeros(256)
    for start in range(0, len(samples), BATCH_ROWS):
        wave = run(model, {"sound": samples[start : start + BATCH_ROWS]})["wave"]
        counts += np.bincount(wave.ravel(), minlength=256)
    levels, total = np.arange(256) / 255, max(counts.sum(), 1.0)
    mean = float((counts * levels).sum() / total)
    several = np.count_nonzero(counts) > 1  # of one level the rounded spread is 1e-17, not 0
    spread = float(np.sqrt((counts * (levels - mean) ** 2).sum() / total)) if several else 1.0
    return {**state, "mean": [mean], "std": [spread]}


def mel(features: Features, state: dict[str, Any]) -> Mel:
    """Raises ContractError where the sound is too short for one window, or the bands lie above what it can hold."""
    rate, samples = state["rate"], state["samples"]
    window, hop = (max(round(ms / 1000 * rate), 1) for ms in (features.window_ms, features.hop_ms))
    high = rate / 2 if features.high_hz is None else features.high_hz
    if samples < window:
        raise ContractError(
            f"an audio column has {samples:,} samples and features.window_ms takes {window:,}. Shorten the window, or "
            "raise the column's seconds"
        )
    if not features.low_hz < high <= rate / 2:
        raise ContractError(
            f"bands of an audio column lie between {features.low_hz:g} and {high:g} Hz; at {rate:,} samples a second "
            f"they must lie below {rate / 2:g}. Mend features.low_hz and features.high_hz, or raise the column's rate"
        )
    return Mel(rate, samples, window, hop, features.bands, features.low_hz, high)


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    shape = mel(features, state).shape
    value = spectrogram(graph, name, features, state)
    mean, std = tuple(state["mean"]), tuple(state["std"])
    return [ArraySpec(value, "wave", (name,), int(np.prod(shape)), shape, mean, std)]


def spectrogram(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> str:
    """int16 [N, samples] → uint8 [N, 1, bands, frames] in steps of half a decibel."""
    scale = mel(features, state)
    sound = graph("Unsqueeze", graph.cast(name, FLOAT), graph.integers(1))
    basis = graph.constant(scale.basis()[:, None, :], "float32")  # sines after cosines
    waves = graph("Mul", *[graph("Conv", sound, basis, strides=[scale.hop])] * 2)
    cosines, sines = (graph.slice(waves, start, start + scale.bins, 1) for start in (0, scale.bins))
    triangles = graph.constant(scale.bands_by_bins()[:, :, None], "float32")
    power = graph("Conv", graph("Add", cosines, sines), triangles)  # MatMul fails on no rows
    least = graph.constant(10 ** (FLOOR_DECIBELS / 10), "float32")
    decibels = graph("Mul", graph("Log", graph("Max", power, least)), graph.constant(10 / np.log(10), "float32"))
    if features.normalize == "recording":
        zero, level = MIDDLE, normalised(graph, decibels)
    else:
        zero, level = -FLOOR_DECIBELS / DECIBELS_A_STEP, decibels
    steps = graph(
        "Add", graph("Div", level, graph.constant(DECIBELS_A_STEP, "float32")), graph.constant(zero, "float32")
    )
    bounded = graph("Clip", graph("Round", steps), graph.constant(0.0, "float32"), graph.constant(255.0, "float32"))
    return str(graph("Unsqueeze", graph.cast(bounded, UINT8), graph.integers(1)))


def normalised(graph: Graph, decibels: str) -> str:
    """Each band less its mean over the frames that are no pause; a pause is at most DEPTH_DECIBELS down."""
    loudest = graph("ReduceMax", decibels, graph.integers(1, 2), keepdims=1)
    decibels = graph("Max", decibels, graph("Sub", loudest, graph.constant(DEPTH_DECIBELS, "float32")))
    of_frame = graph("ReduceMax", decibels, graph.integers(1), keepdims=1)
    bar = graph("Sub", loudest, graph.constant(PRESENT_DECIBELS, "float32"))
    present = graph.cast(graph("GreaterOrEqual", of_frame, bar), FLOAT)
    total = graph("ReduceSum", graph("Mul", decibels, present), graph.integers(2), keepdims=1)
    count = graph("ReduceSum", present, graph.integers(2), keepdims=1)  # the loudest frame is always present
    return str(graph("Sub", decibels, graph("Div", total, count)))
