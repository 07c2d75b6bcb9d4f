"""A run killed between any two batches goes on to the same weights, whatever the recipe keeps beside them."""

import numpy as np
import onnx
import pytest
import torch

from stages.contract.loader import choose
from stages.core.tensors import map_tensors, write_tensors
from stages.training import Recipe, batches, loop
from stages.training.checkpoint import load_checkpoint
from stages.training.live import Pulse

BATCHES = 4  # 61 rows in batches of 16
RECIPES = {
    "adamw": {},
    "an average, mixup and parts": {"ema": 0.9, "mixup": 0.3, "accumulate": 3},
    "momentum on a plateau, kept by patience": {
        "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "plateau", "patience": 2,
        "learning_rate": 0.3, "l1": 0.001, "clip": 0.5,
    },
    "adam and cosine": {"optimizer": "adam", "l2": 0.01, "schedule": "cosine", "label_smoothing": 0.1},
    "muon": {"optimizer": "muon", "augment": {"a": {"noise": 0.1}, "d": {"drop": 0.2}}},
}  # fmt: skip


class Killed(BaseException):
    """What SIGKILL would do: nothing after it runs."""


@pytest.fixture(autouse=True)
def _without_graph(monkeypatch):
    monkeypatch.setattr(loop, "export", lambda network, specs, sample: onnx.ModelProto())


@pytest.fixture
def train(problem, splits, options):
    def start(checkpoint=None, rows=None, epochs=3, **recipe):
        recipe = {"epochs": epochs, "batch_size": 16, "learning_rate": 0.02, "device": "cpu", "seed": 3, **recipe}
        sets_aside = {"mixup": [spec for spec in problem("mlp", 3).specs if spec.kind != "set"]}
        found = problem("mlp", 3)
        if recipe.get("mixup"):
            found = type(found)(tuple(sets_aside["mixup"]), found.target, found.state)
        return loop.train(
            "mlp", choose("models", "mlp", "").build, options("mlp"), found, rows or splits(3),
            recipe=Recipe(**recipe), checkpoint=checkpoint,
        )  # fmt: skip

    return start


@pytest.fixture
def kill_after(monkeypatch):
    """Kill the run after so many batches of this process; a checkpoint is written after every batch before."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    plain = Pulse.__call__

    def arm(num_batches):
        left = iter(range(num_batches))

        def call(self, num_rows):
            plain(self, num_rows)
            if next(left, None) is None:
                raise Killed

        monkeypatch.setattr(Pulse, "__call__", call)

    def disarm():
        monkeypatch.setattr(Pulse, "__call__", plain)

    arm.disarm = disarm
    return arm


def everything(fitted):
    weights = {key: array.tobytes() for key, array in fitted.weights.items()}
    return weights, list(fitted.history), fitted.best_epoch


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_killed_after_every_third_batch_ends_in_the_same_bits(recipe, train, kill_after, tmp_path):
    whole, path = train(**recipe), tmp_path / "run.safetensors"
    kills = 0
    while True:
        torch.manual_seed(kills)  # another process has another state
        kill_after(2)
        try:
            resumed = train(path, **recipe)
        except Killed:
            kills += 1
            assert kills < 20, "it goes on"
        else:
            break
    assert kills >= 3
    assert everything(resumed) == everything(whole)
    assert [line["epoch"] for line in resumed.history] == list(range(1, len(whole.history) + 1))


@pytest.mark.parametrize("num_batches", [1, BATCHES, BATCHES + 1, 3 * BATCHES - 1])
def test_a_run_from_a_mapped_file_goes_on_too(num_batches, train, kill_after, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BYTES", 1 << 10)
    rows = {}
    for name, arrays in splits(3).items():
        write_tensors(tmp_path / f"{name}.safetensors", dict(arrays))
        rows[name] = map_tensors(tmp_path / f"{name}.safetensors")
    whole = train(rows=rows, memory_limit=4096)
    kill_after(num_batches)
    with pytest.raises(Killed):
        train(tmp_path / "run.safetensors", rows=rows, memory_limit=4096)
    kill_after.disarm()
    assert everything(train(tmp_path / "run.safetensors", rows=rows, memory_limit=4096)) == everything(whole)
    assert everything(train())[0] != everything(whole)[0], "blocks are shuffled in another way"


def test_a_run_that_had_ended_gives_its_result_again(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    first = train(tmp_path / "run.safetensors")
    monkeypatch.setattr(loop, "train_epoch", None)
    assert everything(train(tmp_path / "run.safetensors")) == everything(first)


def test_a_checkpoint_that_cannot_be_read_costs_time_alone(train, tmp_path):
    path, whole = tmp_path / "run.safetensors", train()
    path.write_bytes(b"\x10\x00")
    assert everything(train(path)) == everything(whole)


def test_half_a_checkpoint_is_none(train, kill_after, tmp_path):
    path, whole = tmp_path / "run.safetensors", train()
    kill_after(5)
    with pytest.raises(Killed):
        train(path)
    kill_after.disarm()
    before = path.read_bytes()
    path.with_suffix(".partial").write_bytes(before[:100])  # killed while it wrote the next
    assert everything(train(path)) == everything(whole)


def test_no_checkpoint_loads_nothing(tmp_path):
    assert load_checkpoint(tmp_path / "run.safetensors", None) is False


def test_nothing_beside_the_checkpoint_is_left(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    train(tmp_path / "deep" / "run.safetensors")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run.safetensors"]
    assert np.isfinite((tmp_path / "deep" / "run.safetensors").stat().st_size)
