"""History for the user's own tools, and the tool that finds a learning rate."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from stages import train
from stages.core.errors import TrainingError
from stages.training import Recipe, Train, devices, find_rate
from stages.training.tracking import tracking

LINES = [{"epoch": 1.0, "train_loss": 0.7, "score": 0.5}, {"epoch": 2.0, "train_loss": 0.4, "score": 0.75}]
RECIPE = {"model": "mlp", "options": {"hidden": [8]}, "epochs": 2, "batch_size": 64, "device": "cpu"}


def test_without_being_asked_nothing_is_tracked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tracking("shop", {"INGOT_TRACK": "0", "INGOT_TENSORBOARD": ""}) as watch:
        watch(LINES[0])
    assert list(tmp_path.iterdir()) == []
    assert "dvclive" not in sys.modules


@pytest.mark.parametrize("environment", [{"INGOT_TRACK": "1"}, {"DVC_EXP_BASELINE_REV": "0" * 40}])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dvclive_keeps_each_epochs_history_outside_the_outs(environment, tmp_path, monkeypatch):
    pytest.importorskip("dvclive")
    monkeypatch.chdir(tmp_path)
    with tracking("shop", environment) as watch:
        for line in LINES:
            watch(line)
    folder = tmp_path / "data" / ".run" / "dvclive" / "shop"
    assert (folder / "plots" / "metrics" / "train_loss.tsv").read_text().split() == [
        "step", "train_loss", "1", "0.7", "2", "0.4",
    ]  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text())["score"] == 0.75
    assert not (tmp_path / "dvc.yaml").exists()


@pytest.mark.parametrize(("resume", "epochs"), [(True, ["1", "2"]), (False, ["2"])])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_that_goes_on_keeps_the_lines_of_the_killed_one_and_a_new_one_does_not(
    resume, epochs, tmp_path, monkeypatch
):
    pytest.importorskip("dvclive")
    monkeypatch.chdir(tmp_path)
    for lines, goes_on in ((LINES[:1], False), (LINES if resume else LINES[1:], resume)):
        with tracking("shop", {"INGOT_TRACK": "1"}, resume=goes_on) as watch:
            for line in lines:  # the first one is told again: the checkpoint was older
                watch(line)
    table = (tmp_path / "data/.run/dvclive/shop/plots/metrics/train_loss.tsv").read_text().splitlines()
    assert [line.split()[0] for line in table[1:]] == epochs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_candidate_of_auto_is_tracked_under_its_name_while_it_is_fitted(features, tmp_path, monkeypatch):
    pytest.importorskip("dvclive")
    arguments = [*features({"model": "auto", "candidates": {"mlp": RECIPE, "linear": {}}}), "--out"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("INGOT_TRACK", "1")
    table = tmp_path / "data/.run/dvclive/shop/mlp/plots/metrics/train_loss.tsv"
    for name in ("first", "second"):  # the second finds it in the store
        train.main([*arguments, str(tmp_path / name)])
        assert [line.split()[0] for line in table.read_text().splitlines()] == ["step", "1", "2"]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_its_events(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracking("shop", {"INGOT_TENSORBOARD": str(tmp_path)}) as watch:
        for line in LINES:
            watch(line)
    events = EventAccumulator(str(tmp_path / "shop"))
    events.Reload()
    assert [(event.step, round(event.value, 6)) for event in events.Scalars("train_loss")] == [(1, 0.7), (2, 0.4)]


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(
            TrainingError, match=r"tensorboard is not installed\. Install it: pip install -e '\.\[tensorboard\]'"
        ),
        tracking("shop", {"INGOT_TENSORBOARD": str(tmp_path)}),
    ):
        pass


def test_the_stage_reads_splits_that_do_not_fit_from_their_file(features, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    train.main([*features({**RECIPE, "memory_limit": 4096}), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert re.search(r"400 rows → mlp, \d+ parameters, 2 epochs \(kept 2\): train loss .*roc auc 0\.[\d]+; ", said)
    assert json.loads((tmp_path / "out" / "model.json").read_text())["depends_on"] == []


def test_a_learning_rate_is_suggested_where_the_loss_falls(features, tmp_path, capsys):
    arguments = features(RECIPE)
    find_rate.main(
        ["--pipeline", "shop", "--features", str(tmp_path), "--params", arguments[-3], "--status", arguments[-1]]
    )
    said = capsys.readouterr().out
    found = re.search(r"try train\.learning_rate: (\S+) \(now 0\.002\)", said)
    assert found is not None
    assert 1e-4 < float(found[1]) < 1
    plot = ElementTree.parse(tmp_path / "run" / "shop.rates.svg")
    points = next(iter(plot.iter("{http://www.w3.org/2000/svg}polyline"))).attrib["points"].split()
    assert 40 < len(points) <= find_rate.STEPS


def test_the_curve_ends_where_the_loss_blows_up_and_the_suggestion_is_below_its_edge():
    curve = [(1e-6, 1.0), (1e-4, 0.9), (1e-2, 0.5), (1.0, 1.5)]
    assert find_rate.suggestion(curve) == 0.001
    assert find_rate.table(curve).splitlines() == ["learning rate  loss", "       1e-06  1.0000"]


def search(num_rows=33, value=None):
    """33 rows in batches of 16: the last has one."""
    from stages.core.arrays import ArraySpec
    from stages.core.problem import Problem
    from stages.targets import category

    def build(problem, options):
        return torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))

    draw = np.random.default_rng(0)
    arrays = {"x": draw.normal(size=(num_rows, 2)).astype(np.float32), "target": draw.integers(0, 2, num_rows)}
    if value is not None:
        arrays["x"][:] = value
    state = {"type": "category", "column": "y", "classes": ["n", "y"], "positive": 1, "counts": [1, 1]}
    problem = Problem((ArraySpec("x", "dense", ("a", "b"), 2),), category, state)
    return find_rate.search(build, None, problem, arrays, Recipe(batch_size=16, device="cpu"))


def test_a_last_row_alone_is_skipped_where_batch_normalisation_cannot_take_it():
    assert len(search()) > 40


def test_a_loss_that_is_no_number_from_the_start_is_told():
    with pytest.raises(TrainingError, match=r"at the lowest rate \(1e-06\) no batch had a loss that is a number"):
        search(value=np.nan)


@pytest.mark.parametrize(
    ("recipe", "code", "message"),
    [
        ({"model": "boosting"}, 2, "shop.train.model is 'boosting', which is not fitted by a learning rate"),
        (
            {"model": "auto", "candidates": {"mlp": {}}},
            2,
            "shop.train.model is auto; name one model to seek a rate for",
        ),
        ({"model": "mlp"}, 1, "features.json does not exist. Run `dvc repro features@shop` first."),
    ],
)
def test_a_rate_that_cannot_be_sought_says_why(recipe, code, message, features, tmp_path, capsys):
    arguments = features(recipe)
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "empty" if code == 1 else tmp_path
    with pytest.raises(SystemExit) as ended:
        find_rate.main(
            ["--pipeline", "shop", "--features", str(folder), "--params", arguments[-3], "--status", arguments[-1]]
        )
    assert ended.value.code == code
    assert message in capsys.readouterr().err


def test_two_processes_do_not_fill_one_key_of_the_store_at_once(tmp_path):
    import subprocess

    code = (
        "import sys, time\nfrom pathlib import Path\nfrom stages.core.store import Store\n"
        "with Store(Path(sys.argv[1])).put('folds', 'k') as folder:\n"
        "    (folder / 'a').write_text(sys.argv[2])\n    time.sleep(0.5)\n    (folder / 'b').write_text(sys.argv[2])\n"
    )
    root = Path(__file__).parents[2]
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=root) for name in "xy"]
    assert [run.wait(120) for run in runs] == [0, 0]
    kept = tmp_path / "folds" / "k"
    assert (kept / "a").read_text() == (kept / "b").read_text()


def test_what_a_model_with_a_fit_of_its_own_does_not_use_is_said(features, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    used = {"model": "linear", "seed": 3, "threads": 1}
    train.main([*features({**used, "epochs": 9, "clip": 1.0}), "--out", str(tmp_path / "out")])
    assert "linear has a fit of its own, which does not use clip, epochs" in capsys.readouterr().err
    train.main([*features(used), "--out", str(tmp_path / "out")])
    assert "fit of its own" not in capsys.readouterr().err


def test_a_processor_without_bfloat16_is_told_of(monkeypatch):
    for able in (True, False):
        monkeypatch.setattr(devices, "processor_is_short", lambda able=able: able)
        asked = train.notes(Train.model_validate({"model": "mlp", "precision": "bfloat16", "device": "cpu"}))
        assert [note[:10] for note in asked] == ([] if able else ["in float32"])
        assert not list(train.notes(Train.model_validate({"model": "mlp", "device": "cpu"})))
