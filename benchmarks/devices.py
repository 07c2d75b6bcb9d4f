"""A GPU's name in, what it could do at best out: its maker's figure, what a large product reaches, and its clocks."""

import shutil
import subprocess
import time
from typing import NamedTuple

import torch


class Peak(NamedTuple):
    """Dense TFLOP/s: bfloat16 on tensor cores, and float32 as torch's precision "high" computes it (TF32 if it can)."""

    bfloat16: float | None
    float32: float


# By a part of the name that torch gives, the most special first. Makers print figures with sparsity: these are half.
# NVIDIA's datasheets and whitepapers: H100/H200 (Hopper tuning, H100 SXM, PCIe and NVL, H200), A100, A30, A10, L4,
# L40S, T4 (which has no bfloat16), V100, B200 (Blackwell).
PEAKS = {
    "B200": Peak(2250.0, 1125.0),
    "H200": Peak(989.4, 494.7),
    "H100 NVL": Peak(835.5, 417.5),
    "H100 PCIe": Peak(756.5, 378.0),
    "H100": Peak(989.4, 494.7),
    "A100": Peak(312.0, 156.0),
    "A30": Peak(165.0, 82.0),
    "A10": Peak(125.0, 62.5),
    "L40S": Peak(362.0, 183.0),
    "L4": Peak(121.0, 60.0),
    "T4": Peak(None, 8.1),
    "V100": Peak(None, 15.7),
}
WARM_UP, PRODUCTS = 5, 20


def peak_of(name: str) -> Peak | None:
    """The maker's figures, or None for a device that the table does not know."""
    words = f" {name.replace('-', ' ')} "
    return next((peak for part, peak in PEAKS.items() if f" {part} " in words), None)


def ceiling(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """TFLOP/s of a large square product of random numbers: what this very device gives, as it is found."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    for _ in range(WARM_UP):
        left @ right
    settle(device)
    start = time.perf_counter()
    for _ in range(PRODUCTS):
        left @ right
    settle(device)
    return 2 * side**3 * PRODUCTS / (time.perf_counter() - start) / 1e12


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def clocks() -> str:
    """What nvidia-smi reads of the first GPU: its clock now, the highest, and the power limit. It sets nothing."""
    if shutil.which("nvidia-smi") is None:
        return "clocks not readable"
    fields = "clocks.sm,clocks.max.sm,power.limit,temperature.gpu"
    command = ["nvidia-smi", "--id=0", f"--query-gpu={fields}", "--format=csv,noheader"]
    read = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    values = read.stdout.strip().split(", ")
    if read.returncode or len(values) != 4:
        return "clocks not readable"
    return f"SM clock {values[0]} of {values[1]}, power limit {values[2]}, {values[3]} °C, after the last round"
