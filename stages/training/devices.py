"""A recipe in, the device that it runs on, made ready, out."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from stages.core.errors import TrainingError

SHORT_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # those that were measured, or are of the same kernels
KEPT_BYTES = 31 * 2**20  # glibc learns from blocks below 32 MiB


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one. Raises TrainingError where a named device is absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("train.device is cuda, and torch sees no GPU here. Use device: auto, or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def set_up(threads: int, device: torch.device) -> None:
    """Make torch deterministic on a CPU, and spare it two costs: filling new memory, and getting it anew each batch."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu", warn_only=True)
    # no kernel used here reads what it did not write
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type == "cpu":
        torch.empty(KEPT_BYTES, dtype=torch.uint8)  # freed at once: from then on glibc keeps what is freed
    else:  # what a GPU gives is marked as its own, so it may choose its kernels
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")


def short_type(precision: str, device: torch.device) -> torch.dtype | None:
    """What convolutions and matrix products are computed in, where that is not float32.

    A processor without the instructions emulates bfloat16, at a fraction of float32's speed: float32 there.
    """
    if precision == "float32" or (precision == "auto" and device.type == "cpu"):
        return None
    return torch.bfloat16 if device.type != "cpu" or processor_is_short() else None


def shortened(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Convolutions and matrix products within are computed in `dtype`."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def processor_is_short() -> bool:
    """Whether this processor multiplies in bfloat16 itself (AVX512-BF16, AMX)."""
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name, False) for name in SHORT_INSTRUCTIONS)


def channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out as a GPU's tensor cores, and a CPU's bfloat16 kernels, read them."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
