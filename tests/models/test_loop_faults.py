"""What the loop says, marks and refuses: scores, budgets, weights of 0, runs that are lost."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from stages.contract.loader import choose
from stages.core.errors import TrainingError
from stages.core.tensors import map_tensors, write_tensors
from stages.training import Recipe, live, loop
from stages.training.live import Pulse
from stages.training.run import Run


@pytest.fixture(autouse=True)
def _without_graph(monkeypatch):
    monkeypatch.setattr(loop, "export", lambda network, specs, sample: onnx.ModelProto())


@pytest.fixture
def train(problem, splits, options):
    def start(name="mlp", build=None, rows=None, report=None, watch=None, **recipe):
        recipe = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "device": "cpu", "seed": 3, **recipe}
        return loop.train(
            name, build or choose("models", name, "").build, options(name), problem(name, 3), rows or splits(3),
            recipe=Recipe(**recipe), report=report, watch=watch,
        )  # fmt: skip

    return start


def weights_of(fitted):
    return {key: array.tobytes() for key, array in fitted.weights.items()}


def test_each_epoch_tells_losses_score_speed_and_time_left(train):
    said, seen = [], []
    fitted = train(report=said.append, watch=seen.append)
    assert len(said) == len(seen) == 3
    assert seen == fitted.history
    assert list(seen[0]) == ["epoch", "train_loss", "validation_loss", "score"]
    pattern = (
        r"epoch 1 of 3: train loss \d\.\d{4}, validation loss \d\.\d{4}, accuracy 0\.\d{4}; [\d,]+ rows/s, \d+ s left"
    )
    assert __import__("re").fullmatch(pattern, said[0])
    assert said[-1].endswith(", 0 s left")


def test_the_score_is_that_of_the_kept_model_on_validation(train, splits):
    fitted, held = train("bag", epochs=1), splits(3)["validation"]
    right = fitted.predict(held).argmax(1) == held["target"]
    assert fitted.history[-1]["score"] == pytest.approx(right.mean())


def test_where_scoring_would_take_long_it_is_left_out(train, monkeypatch):
    monkeypatch.setattr(live, "CHEAP_VALUES", 40 * 3 - 1)
    assert "score" not in train().history[0]


def test_within_a_long_epoch_it_says_how_far_it_is(train, monkeypatch):
    monkeypatch.setattr(live, "LINE_SECONDS", 0.0)
    said = []
    train(epochs=1, report=said.append)
    assert said[1].startswith("epoch 1 of 1, 52%: train loss ")
    assert "rows/s" in said[1]


def test_a_budget_ends_the_run_and_its_schedule_by_the_clock(train, monkeypatch):
    clock = iter(np.arange(0, 1e6, 0.5))
    monkeypatch.setattr(live.time, "monotonic", lambda: float(next(clock)))
    rates, plain = [], loop.step

    def step(learner, optimizers, rate):
        rates.append(rate)
        plain(learner, optimizers, rate)

    monkeypatch.setattr(loop, "step", step)
    fitted = train(epochs=1000, budget_seconds=10.0)
    assert 1 <= len(fitted.history) < 10
    assert max(rates) == pytest.approx(0.02, rel=0.1)
    assert rates[-1] < 0.002, "one cycle is whole"
    assert fitted.depends_on == ("time",)


def test_an_epoch_that_a_budget_left_no_batch_of_is_none(train, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    plain = loop.predict

    def predict(*given, **others):
        clock[0] += 100.0
        return plain(*given, **others)

    monkeypatch.setattr(loop, "predict", predict)
    fitted = train(epochs=3, budget_seconds=50.0, patience=2)
    assert [line["epoch"] for line in fitted.history] == [1.0]
    assert fitted.history[0]["train_loss"] > 0
    assert fitted.best_epoch == 1


def test_a_budget_too_small_for_a_step_names_the_cure(train):
    with pytest.raises(
        TrainingError, match=r"train\.budget_seconds \(1e-09\) was over before the first step\. Raise it"
    ):
        train(budget_seconds=1e-9)


def test_a_result_that_rests_on_parameters_alone_says_so(train):
    assert train(epochs=1).depends_on == ()


def test_a_result_that_rests_on_how_much_memory_there_is_says_so(train, splits, tmp_path):
    write_tensors(tmp_path / "train.safetensors", dict(splits(3)["train"]))
    rows = {"train": map_tensors(tmp_path / "train.safetensors")}
    assert train(rows=rows, epochs=1).depends_on == ("memory",)
    assert train(rows=rows, epochs=1, memory_limit=1000).depends_on == ()


def test_batches_whose_rows_weigh_nothing_change_nothing(train, splits):
    rows = {"train": {**splits(3)["train"], "weight": np.zeros(61, np.float32)}}
    trained = train(rows=rows)
    torch.manual_seed(3)
    assert [line["train_loss"] for line in trained.history] == [0.0] * 3
    again = train(rows=rows, epochs=1, learning_rate=1.0)
    assert weights_of(trained) == weights_of(again)


def test_a_weight_of_two_is_the_row_twice(train, splits):
    """In one batch of all, without dropout, up to rounding."""
    rows, module = splits(3)["train"], choose("models", "bag", "")
    doubled = {name: np.concatenate([array, array[:20]]) for name, array in rows.items()}
    weight = np.where(np.arange(61) < 20, 2, 1).astype(np.float32)

    def build(problem, options):
        return module.build(problem, module.Options())

    def losses(arrays):
        fitted = train(
            "bag", lambda problem, _: module.build(problem, module.Options()), {"train": arrays}, batch_size=99
        )
        return [line["train_loss"] for line in fitted.history]

    np.testing.assert_allclose(losses({**rows, "weight": weight}), losses(doubled), rtol=1e-5)


class Normed(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = nn.BatchNorm1d(3) if norm else nn.Identity()
        self.last, self.seen = nn.Linear(3, 3), []

    def forward(self, dense, *others):
        if self.training:
            self.seen.append(len(dense))
        return self.last(self.norm(dense))


@pytest.mark.parametrize(("norm", "batches"), [(True, [16, 16, 16]), (False, [16, 16, 16, 1])])
def test_a_last_row_alone_is_skipped_only_where_batch_normalisation_cannot_take_it(norm, batches, train, splits):
    made = []

    def build(problem, options):
        made.append(Normed(norm))
        return made[0]

    train(build=build, rows=splits(3, num_rows=49), epochs=1)
    assert made[0].seen == batches


class Exploding(nn.Module):
    """Its loss grows a hundredfold a step."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 3)
        self.steps = 0

    def forward(self, dense, *others):
        self.steps += self.training
        return self.last(dense) * (10.0**self.steps)


def test_a_loss_that_diverges_names_the_cure(train):
    with pytest.raises(
        TrainingError,
        match=r"the loss diverged: .* in epoch \d, from .* at the start\. Lower train\.learning_rate \(now 1e-09\), or "
        r"set train\.clip",
    ):
        train(build=lambda problem, options: Exploding(), learning_rate=1e-9)


class Late(nn.Module):
    """The gradient of its last step is no number; no loss ever shows it."""

    def __init__(self):
        super().__init__()
        self.last, self.steps = nn.Linear(3, 3), 0

    def forward(self, dense, *others):
        self.steps += self.training
        outputs = self.last(dense)
        if self.training and self.steps == 4:
            outputs.register_hook(lambda gradient: gradient * float("nan"))
        return outputs


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_rows_is_named(split, train, splits):
    rows = splits(3)
    rows[split] = {name: array[:0] for name, array in rows[split].items()}
    with pytest.raises(
        TrainingError, match=rf"the {split} split has no rows\. Declare more of them in examples\.split"
    ):
        train(rows=rows)


def test_no_rows_have_no_outputs_of_as_many_columns(train, splits):
    none = {name: array[:0] for name, array in splits(3)["validation"].items()}
    assert train(epochs=1).predict(none).shape == (0, 3)


def test_a_last_step_that_breaks_the_weights_is_found(train, splits):
    with pytest.raises(TrainingError, match=r"no finite numbers in last\.(weight|bias)\. Lower train\.learning_rate"):
        train(build=lambda problem, options: Late(), rows={"train": splits(3)["train"]}, epochs=1)


def test_a_broken_run_is_never_saved():
    run = Run(nn.Linear(2, 2), [], torch.Generator(), total=torch.tensor(float("nan")), weight=1.0)
    saved = []
    pulse = Pulse(run, Recipe(), 10, None, lambda: saved.append(run))
    with pytest.raises(TrainingError, match="became nan"):
        pulse.keep()
    assert saved == []


def test_rows_that_were_left_out_do_not_count_as_learnt(monkeypatch):
    """100 rows, of which the second epoch leaves 60 out: two of its four batches of 10 are half of it."""
    run = Run(nn.Linear(2, 2), [], torch.Generator(), epoch=1, position=0)
    now = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    pulse = Pulse(run, Recipe(epochs=3, batch_size=10), 100, None, None)
    pulse.live = 40
    for _ in range(2):
        now[0] += 1.0
        run.position += 1
        pulse(10)
    assert pulse.epochs() == 1.5
    assert pulse.speed() == "10 rows/s, 6 s left"  # half an epoch in 2 s, and one and a half to come


def test_memory_that_a_gpu_lacks_is_made_up_for_by_parts(train, problem, options):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside, self.tried = choose("models", "mlp", "").build(problem("mlp", 3), options("mlp")), []

        def forward(self, *arrays):
            if self.training:
                self.tried.append(len(arrays[0]))
                if len(arrays[0]) > 8:
                    raise torch.OutOfMemoryError("CUDA out of memory")
            return self.inside(*arrays)

    made = []

    def build(problem, options):
        made.append(Small())
        return made[0]

    fitted = train(build=build, epochs=2)
    assert len(fitted.history) == 2
    assert made[0].tried == [16, *[8] * 6, 7, 6, *[8] * 6, 7, 6]
