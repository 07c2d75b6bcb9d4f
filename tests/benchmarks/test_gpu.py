"""The benchmark for GPUs runs where next to nothing is installed, and says so where there is no GPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.devices import PEAKS, Peak, peak_of

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def bare(*arguments: str) -> str:
    command = [sys.executable, str(HERE / "bare_machine.py"), "benchmarks.gpu", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_ends_well():
    assert bare() == "not measured: torch sees no GPU here\n"


def test_a_small_run_on_a_cpu_gives_both_tables():
    told = bare("--device=cpu", "--small", "--eager", "--rounds=3", "--seconds=0.01", "--peak-tflops", "0.2", "0.1")
    assert told.startswith("## The loop on CPU\n")
    rows = re.findall(r"^\| (float32|bfloat16) \| eager \| ([\d,]+) \| ([\d,]+) \| (\S+ \[.*?\]) \|.*%", told, re.M)
    assert [row[0] for row in rows] == ["float32", "bfloat16"] * 2
    assert "not measured" not in told


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", Peak(989.4, 494.7)),
        ("NVIDIA H100 PCIe", Peak(756.5, 378.0)),
        ("NVIDIA H200", Peak(989.4, 494.7)),
        ("NVIDIA A100-SXM4-80GB", Peak(312.0, 156.0)),
        ("NVIDIA L4", Peak(121.0, 60.0)),
        ("NVIDIA L40S", Peak(362.0, 183.0)),
        ("Tesla T4", Peak(None, 8.1)),
        ("NVIDIA A10G", None),
        ("CPU", None),
    ],
)
def test_a_device_s_peak_is_found_by_its_name(name, peak):
    assert peak_of(name) == peak
    assert peak is None or peak in PEAKS.values()
