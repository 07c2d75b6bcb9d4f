"""The one training loop: killed and resumed, stopped early, blown up."""

import json

import numpy as np
import onnx
import pytest
import torch

from stages.contract.loader import choose
from stages.core.errors import ContractError, TrainingError
from stages.core.tensors import read_tensors
from stages.training import Recipe, live, loop, options_of
from stages.training.fitted import write_fitted
from stages.training.optimise import rate_at

EPOCHS = 4
MOVED = {"f": {"flip": True, "shift": 1}}


@pytest.fixture(autouse=True)
def _checkpoint_after_every_epoch(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)


@pytest.fixture(autouse=True)
def _without_graph(monkeypatch):
    """Drawing the graph takes a second, and test_every_model sees to it."""
    monkeypatch.setattr(loop, "export", lambda network, specs, sample: onnx.ModelProto())


@pytest.fixture
def train(problem, splits, options):
    """Trains on 61 rows of 3 classes: 3 batches of 16, and one of 13."""

    def start(name="mlp", checkpoint=None, report=None, rows=None, **recipe):
        recipe = {"epochs": EPOCHS, "batch_size": 16, "learning_rate": 0.02, "device": "cpu", "seed": 3, **recipe}
        return loop.train(
            name, choose("models", name, "").build, options(name), problem(name, 3), rows or splits(3),
            recipe=Recipe(**recipe), checkpoint=checkpoint, report=report,
        )  # fmt: skip

    return start


class Killed(BaseException):
    """What SIGKILL would do: nothing after it runs."""


def killed_after(epochs):
    left = iter(range(epochs - 1))

    def report(text):
        if next(left, None) is None:
            raise Killed

    return report


def everything(fitted):
    weights = {key: array.tobytes() for key, array in fitted.weights.items()}
    return weights, list(fitted.history), fitted.best_epoch


@pytest.mark.parametrize("name", ["bag", "convnet", "mlp"])
@pytest.mark.parametrize("epochs", range(1, EPOCHS + 1))
def test_a_run_killed_after_any_epoch_ends_in_the_same_bits(name, epochs, train, tmp_path):
    whole = train(name, augment=MOVED if name == "convnet" else {})
    with pytest.raises(Killed):
        train(name, tmp_path / "run.safetensors", killed_after(epochs), augment=MOVED if name == "convnet" else {})
    torch.manual_seed(999)  # another process has another state
    resumed = train(name, tmp_path / "run.safetensors", augment=MOVED if name == "convnet" else {})
    assert everything(resumed) == everything(whole)
    assert [line["epoch"] for line in resumed.history] == [1, 2, 3, 4]


def test_a_run_killed_twice_under_patience_ends_in_the_same_bits(train, tmp_path):
    recipe = {"epochs": 12, "patience": 3, "learning_rate": 0.2, "schedule": "constant"}
    whole = train(**recipe)
    for epochs in (2, 1):
        with pytest.raises(Killed):
            train(checkpoint=tmp_path / "run.safetensors", report=killed_after(epochs), **recipe)
    assert everything(train(checkpoint=tmp_path / "run.safetensors", **recipe)) == everything(whole)


def test_another_seed_gives_other_weights(train):
    assert everything(train(epochs=1))[0] != everything(train(epochs=1, seed=4))[0]


def test_training_lowers_the_loss(train):
    losses = [line["train_loss"] for line in train("bag", epochs=15).history]
    assert losses[-1] < 0.7 * losses[0]


def test_the_epoch_with_the_least_validation_loss_is_kept(train):
    recipe = {"learning_rate": 0.2, "schedule": "constant"}
    stopped = train(epochs=30, patience=3, **recipe)
    losses = [line["validation_loss"] for line in stopped.history]
    assert stopped.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == stopped.best_epoch + 3 < 30
    assert everything(stopped)[0] == everything(train(epochs=stopped.best_epoch, **recipe))[0]


def test_without_patience_the_last_epoch_is_kept(train):
    assert train(learning_rate=0.2).best_epoch == EPOCHS


def test_a_loss_that_is_no_number_names_the_learning_rate(train):
    with pytest.raises(
        TrainingError, match=r"loss became (nan|inf) in epoch \d\. Lower train\.learning_rate \(now 1e\+30\)"
    ):
        train(learning_rate=1e30, schedule="constant")


def test_a_gpu_that_is_not_there_is_named(train):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainingError, match=r"train\.device is cuda, and torch sees no GPU here"):
        train(device="cuda")


def test_learning_rate_rises_for_a_quarter_and_falls_after():
    recipe = Recipe(learning_rate=1.0)
    rates = [rate_at(progress, recipe) for progress in (0, 0.125, 0.25, 0.625, 1)]
    np.testing.assert_allclose(rates, [0.04, 0.52, 1.0, 0.5005, 0.001])
    assert rate_at(0.7, Recipe(learning_rate=0.3, schedule="constant")) == 0.3


def test_a_fitted_model_is_written_as_open_files(train, tmp_path):
    fitted = train("mlp", epochs=1)
    write_fitted(tmp_path, fitted)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.csv", "model.json", "network.onnx", "weights.safetensors",
    ]  # fmt: skip
    assert json.loads((tmp_path / "model.json").read_text()) == {
        "model": "mlp", "parameters": fitted.num_parameters, "best_epoch": 1, "depends_on": [],
    }  # fmt: skip
    header, line = (tmp_path / "history.csv").read_text().splitlines()
    assert header == "epoch,train_loss,validation_loss,score"
    assert line.startswith("1,")
    read = read_tensors(tmp_path / "weights.safetensors")
    assert {key: array.tolist() for key, array in read.items()} == {
        key: array.tolist() for key, array in fitted.weights.items()
    }


def test_options_of_an_unknown_model_name_the_ones_there_are():
    with pytest.raises(
        ContractError, match=r"shop\.train\.model is 'boostng'; expected one of bag, boosting.*Did you mean 'boosting'"
    ):
        options_of("boostng", {}, "shop.train")
    with pytest.raises(ContractError, match=r"shop\.train\.options\.width is 0; expected greater than or equal to 1"):
        options_of("bag", {"width": 0}, "shop.train")


def test_a_run_that_leaves_rows_out_and_is_killed_within_an_epoch_ends_in_the_same_bits(train, tmp_path, monkeypatch):
    recipe = {"prune": 0.5, "epochs": 6, "batch_size": 4}
    whole = train("convnet", **recipe)
    assert everything(whole) != everything(train("convnet", **{**recipe, "prune": 0.0}))
    monkeypatch.setattr(live, "LINE_SECONDS", -1.0)  # a line, and a checkpoint, after every batch
    for lines in (7, 22, 41):
        with pytest.raises(Killed):
            train("convnet", tmp_path / "run.safetensors", killed_after(lines), **recipe)
        torch.manual_seed(999)
    assert everything(train("convnet", tmp_path / "run.safetensors", **recipe)) == everything(whole)
