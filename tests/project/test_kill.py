"""A stage killed in the middle: nothing that looks finished is left, and the work goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

CODE = "import stages.training.loop as loop; loop.CHECKPOINT_SECONDS = 0.0\nfrom stages.train import main; main()"


def command(project: Path, out: str) -> list[str]:
    features = project / "data" / "features" / "tickets"
    paths = {"train": "train.safetensors", "validation": "validation.safetensors", "features": "features.json"}
    inputs = [word for name, path in paths.items() for word in (f"--{name}", str(features / path))]
    return [
        sys.executable,
        "-c",
        CODE,
        "--pipeline",
        "tickets",
        *inputs,
        "--out",
        out,
        "--params",
        str(project / "long.yaml"),
    ]


@pytest.fixture
def long_training(built: Path) -> Path:
    """The built project, with a params file whose training takes seconds."""
    text = (
        (built / "params.yaml")
        .read_text()
        .replace("{model: mlp, epochs: 5}", "{model: mlp, epochs: 24, batch_size: 32}")
    )
    assert "epochs: 24" in text
    (built / "long.yaml").write_text(text)
    return built


def epochs_kept(store: Path) -> int:
    """Whole epochs in the checkpoint, 0 where there is none."""
    for path in store.rglob("run.safetensors"):
        with safe_open(path, "np") as file:
            return int(json.loads(file.metadata()["run"])["epoch"])
    return 0


def test_a_killed_training_goes_on_to_the_same_weights(long_training: Path, tmp_path: Path) -> None:
    project = long_training
    environment = {**os.environ, "INGOT_STORE": str(tmp_path / "whole"), "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command(project, "whole"), cwd=tmp_path, env=environment, check=True, capture_output=True)
    environment |= {"INGOT_STORE": str(tmp_path / "store"), "INGOT_PROGRESS": "lines"}
    child = subprocess.Popen(
        command(project, "killed"), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while epochs_kept(tmp_path / "store") < 1 and time.monotonic() < deadline:
        assert child.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "killed").exists()
    assert list((tmp_path / "store").rglob("run.safetensors")), "the checkpoint outlives the process"
    again = subprocess.run(
        command(project, "killed_out"), cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert "24 epochs" in again.stdout
    assert 0 < again.stderr.count(": epoch ") < 24, "it went on; it did not begin again"
    for name in ("weights.safetensors", "network.onnx", "history.csv"):
        assert (tmp_path / "killed_out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "store").rglob("run.safetensors")), "a finished training forgets its checkpoint"


def test_a_killed_stage_leaves_only_what_its_next_run_removes(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen(
        command_of_clean(built, out), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / ".out.partial").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not out.exists()
    again = subprocess.run(command_of_clean(built, out), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in out.iterdir()) == ["rejects.parquet", "report.json", "table"]
    assert not (tmp_path / ".out.partial").exists()


def command_of_clean(project: Path, out: Path) -> list[str]:
    records = project / "data" / "records" / "retail"
    return [
        sys.executable,
        "-m",
        "stages.clean",
        "--pipeline",
        "retail",
        "--records",
        str(records),
        "--sources",
        str(project / "sources" / "retail"),
        "--out",
        str(out),
        "--params",
        str(project / "params.yaml"),
    ]
