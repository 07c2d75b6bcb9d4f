"""`stages.train` killed by SIGKILL at random moments: it goes on, and ends with the same bytes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAIN = {
    "model": "mlp", "options": {"hidden": [16]}, "epochs": 8, "batch_size": 16, "learning_rate": 0.01, "ema": 0.9,
    "mixup": 0.2, "augment": {"units": {"noise": 0.1}}, "device": "cpu", "seed": 5,
}  # fmt: skip


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_moments_ends_in_the_same_bytes(
    kills: int, features: Callable[..., list[str]], tmp_path: Path
) -> None:
    arguments = features(TRAIN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INGOT_STORE": str(tmp_path / "store")}
    command = [sys.executable, str(Path(__file__).parent / "kill_often.py"), str(kills), "11", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"] == kills
    assert found["gone_on"] >= kills // 4, "most lives found a checkpoint"
    assert not list((tmp_path / "store").rglob("run.safetensors")), "a finished training forgets its checkpoint"
