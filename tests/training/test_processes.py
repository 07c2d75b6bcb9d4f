"""Several processes on one network: their losses are one process's, and one that is killed costs only time."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stages.core.files import read_json, write_json
from stages.core.tensors import write_tensors
from stages.training import launch
from stages.training.processes import TogetherNorm, World, bounds, together

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TOLERANCE = 1e-4  # relative, as the docstring of stages/training/processes.py says
NORMED = {"model": "convnet", "options": {"channels": [8, 12], "dropout": 0.0}}
PLAIN = {"model": "mlp", "options": {"hidden": [32, 16], "dropout": 0.0}}
MOVED = {"augment": {"f": {"flip": True, "shift": 1}}, "label_smoothing": 0.1}
CASES = {
    "copies": {**NORMED, "recipe": MOVED, "weights": True},
    "in parts": {**PLAIN, "recipe": {"accumulate": 3, "clip": 1.0, "ema": 0.9, "mixup": 0.2}, "weights": True},
    "a row is left": {**PLAIN, "recipe": {"batch_size": 15, "optimizer": "sgd", "momentum": 0.9, "l2": 0.01}},
    "shards": {**NORMED, "recipe": {"shard": True, **MOVED}, "weights": True},
    "shards in parts": {**PLAIN, "recipe": {"shard": True, "accumulate": 2, "clip": 1.0, "ema": 0.9, "l1": 0.001}},
    "shards of the best": {**PLAIN, "recipe": {"shard": True, "patience": 1, "optimizer": "adam"}},
}


def run(cases: dict, folder: Path, processes: int = 2) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.json").write_text(json.dumps(cases))
    script, out = HERE / "several.py", folder / "out.json"
    command = [sys.executable, "-W", "error", str(script), str(folder / "cases.json"), str(out), str(folder)]
    assert launch.launch(command, processes) == 0
    return json.loads(out.read_text())


@pytest.fixture(autouse=True)
def _our_code(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def same_losses(together: dict, alone: dict) -> None:
    assert [line["epoch"] for line in together["history"]] == [line["epoch"] for line in alone["history"]]
    for name in ("train_loss", "validation_loss"):
        ours, theirs = ([line[name] for line in found["history"]] for found in (together, alone))
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE)
    assert together["best_epoch"] == alone["best_epoch"]
    for name, weights in alone["weights"].items():
        np.testing.assert_allclose(together["weights"][name], weights, rtol=0, atol=2e-3, err_msg=name)


def test_two_processes_learn_as_one_does(tmp_path):
    found = run(CASES, tmp_path)
    assert found["together"]["held"] == {"copies": 90, "shards": 45}
    for name in CASES:
        same_losses(found["together"][name], found["alone"][name])


@pytest.mark.slow
def test_three_processes_learn_as_one_does(tmp_path):
    found = run(CASES, tmp_path, processes=3)
    for name in CASES:
        same_losses(found["together"][name], found["alone"][name])


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_whichever_process_is_killed_whenever_the_run_ends_in_the_same_bits(shard, tmp_path, capfd):
    recipe = {"shard": shard, "ema": 0.9, **MOVED}
    case = {"model": "convnet", "options": {"channels": [8, 12], "dropout": 0.2}, "recipe": recipe, "alone": False}
    whole = run({"case": case}, tmp_path / "whole")["together"]
    draw = random.Random(int(shard))
    for number, rank in enumerate((0, 1, draw.randrange(2))):
        kill = [rank, draw.randrange(1, 12)]
        assert run({"case": {**case, "kill": kill}}, tmp_path / str(number))["together"] == whole, kill
    told = capfd.readouterr().err
    assert told.count("a process was ended by signal 9; all 2 start again from the last checkpoint") == 3


def test_a_batch_is_shared_whole_and_evenly():
    for num_rows in (4, 5, 15, 16, 17):
        shares = [bounds(num_rows, World(rank, 2)) for rank in range(2)]
        assert [row for share in shares for row in range(num_rows)[share]] == list(range(num_rows))
        assert abs(len(range(num_rows)[shares[0]]) - len(range(num_rows)[shares[1]])) <= 1
    assert [bounds(3, World(rank, 2)) for rank in range(2)] == [slice(0, 3)] * 2


@pytest.mark.parametrize(("norm", "shape"), [(nn.BatchNorm1d, (9, 4)), (nn.BatchNorm2d, (6, 4, 3, 5))])
def test_batch_normalisation_over_processes_is_torch_s_own_in_one(norm, shape):
    torch.manual_seed(0)
    ours, theirs = together(norm(4), torch.device("cpu")), norm(4)
    assert isinstance(ours, TogetherNorm)
    for values in torch.randn(3, *shape) * 3 + 7:
        inputs = [values.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(array) for layer, array in zip((ours, theirs), inputs, strict=True)]
        torch.testing.assert_close(*outputs)
        for output in outputs:
            output.square().sum().backward(inputs=None)
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)


def test_batch_normalisation_over_processes_takes_bfloat16_and_counts_in_float32():
    torch.manual_seed(0)
    ours, theirs = together(nn.BatchNorm1d(4), torch.device("cpu")), nn.BatchNorm1d(4)
    values = (torch.randn(301, 4) * 3 + 7).bfloat16()
    outputs = [layer(values) for layer in (ours, theirs)]
    assert outputs[0].dtype == outputs[1].dtype == torch.bfloat16
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


PARAMS = """
shop:
  columns: {{a: {{type: number}}, f: {{type: image, height: 9, width: 7}}, y: {{type: category}}}}
  examples: {{target: {{column: y}}}}
  train: {{model: {model}, options: {options}, device: cpu, batch_size: 16, {recipe}}}
"""


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """The command of `train` on 61 rows; everything that it leaves lies in tmp_path."""
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    monkeypatch.syspath_prepend(str(HERE))
    several = __import__("several")
    splits = {name: several.rows(num, 1) for name, num in {"train": 61, "validation": 40}.items()}
    for name, arrays in splits.items():
        write_tensors(tmp_path / f"{name}.safetensors", arrays)
    write_json(tmp_path / "features.json", {"specs": [s.to_json() for s in several.SPECS], "target": several.STATE})

    def command(recipe, model="mlp", options="{dropout: 0.0}"):
        (tmp_path / "params.yaml").write_text(PARAMS.format(model=model, options=options, recipe=recipe))
        inputs = {name: tmp_path / f"{name}.safetensors" for name in splits} | {"features": tmp_path / "features.json"}
        paths = [f"--{name}={path}" for name, path in inputs.items()]
        others = [f"--params={tmp_path / 'params.yaml'}", f"--status={tmp_path / 'run'}", f"--out={tmp_path / 'out'}"]
        return ["-m", "stages.train", "--pipeline=shop", *paths, *others]

    return command


def result(folder: Path) -> list[bytes]:
    return [(folder / "out" / name).read_bytes() for name in ("weights.safetensors", "history.csv", "network.onnx")]


def workers_of(parent: int) -> list[int]:
    """Process ids, by rank."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ranks = {
        pid: (Path(f"/proc/{pid}/environ").read_bytes().split(b"\0RANK=")[1:] or [b"9"])[0][:1] for pid in children
    }
    return [int(pid) for pid in sorted(children, key=lambda pid: ranks[pid])]


@pytest.mark.slow
def test_the_stage_starts_its_processes_and_outlives_their_end(stage, tmp_path, capfd):
    command = [sys.executable, *stage("processes: 2, epochs: 2000")]
    subprocess.run(command, check=True, cwd=ROOT)
    whole = result(tmp_path)
    with subprocess.Popen(command, cwd=ROOT) as running:
        wait_for(lambda: list((tmp_path / "store").rglob("run.safetensors")), running)
        os.kill(workers_of(running.pid)[0], signal.SIGKILL)
        assert running.wait() == 0
    assert result(tmp_path) == whole
    told = capfd.readouterr().err
    assert told.count("start again") == 1
    assert "Traceback" not in told
    assert read_json(tmp_path / "run/shop.train.json")["summary"].startswith("61 rows → mlp, ")
    assert not list((tmp_path / "store").rglob("run.safetensors"))


def wait_for(found, running, seconds=120):
    end = time.monotonic() + seconds
    while not found():
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_workers_die_with_the_stage_that_started_them(stage, tmp_path):
    with subprocess.Popen([sys.executable, *stage("processes: 2, epochs: 100000")], cwd=ROOT) as running:
        wait_for(lambda: list((tmp_path / "store").rglob("run.safetensors")), running)
        workers = workers_of(running.pid)
        running.kill()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.05)


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]


@pytest.mark.slow
@pytest.mark.parametrize("outer", [[], TORCHRUN])
def test_an_error_is_told_once_and_ends_all_at_once(outer, stage, tmp_path):
    recipe = "learning_rate: 1.0e+30, schedule: constant" + ("" if outer else ", processes: 2")
    began = time.monotonic()
    done = subprocess.run([sys.executable, *outer, *stage(recipe)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == (1 if outer else 6)  # torchrun's own
    assert done.stderr.count("TrainingError: the loss became") == 1
    assert "start again" not in done.stderr
    assert read_json(tmp_path / "run/shop.train.json")["error"] == "TrainingError"
    assert not (tmp_path / "out").exists()
    assert time.monotonic() - began < 120


@pytest.mark.slow
def test_under_torchrun_the_stage_joins(stage, tmp_path):
    subprocess.run([sys.executable, *TORCHRUN, *stage("epochs: 2")], cwd=ROOT, check=True)
    first = (tmp_path / "out/history.csv").read_text().splitlines()[1:]
    subprocess.run([sys.executable, *stage("epochs: 2")], cwd=ROOT, check=True)
    second = (tmp_path / "out/history.csv").read_text().splitlines()[1:]
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(*([float(v) for v in line.split(",")] for line in (ours, theirs)), rtol=TOLERANCE)


def test_what_one_process_fits_is_not_asked_of_two(stage, tmp_path):
    done = subprocess.run(
        [sys.executable, *stage("processes: 2", "prior", "{}")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "shop.train.processes is 2, and prior is fitted by one process. Leave it at 1" in done.stderr
