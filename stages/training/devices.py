"""A recipe in, the device that it runs on, made ready, out."""

import torch
from torch import nn

from stages.core.errors import TrainingError

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


def channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out as a GPU's tensor cores read them."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
