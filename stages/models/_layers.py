"""Torch layers that several models share: one encoder for each kind of array.

Shapes: B rows, E embedding width, C channels, H height, W width or set width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from stages.core.arrays import ArraySpec


class Index(nn.Module):
    """int [B] → [B, E]; the width follows the vocabulary (1.6 · size^0.56, at most 32)."""

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.width = min(32, max(2, round(1.6 * spec.size**0.56)))
        self.table = nn.Embedding(spec.size, self.width)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, index_B: Tensor) -> Tensor:
        encoded: Tensor = self.table(index_B)
        return encoded


class Set(nn.Module):
    """int [B, W], 0 is padding → [B, E]: the sum of embeddings / √count."""

    def __init__(self, spec: ArraySpec, width: int) -> None:
        super().__init__()
        self.width = width
        self.table = nn.Embedding(spec.size, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, ids_BW: Tensor) -> Tensor:
        live_BW = ids_BW > 0
        if torch.compiler.is_exporting():
            summed_BE = (self.table(ids_BW) * live_BW.unsqueeze(-1)).sum(1)
        else:  # the same sum without [B, W, E] in memory: a fifth of the time
            summed_BE = embedding_bag(ids_BW, self.table.weight, mode="sum", padding_idx=0)
        scaled: Tensor = summed_BE / live_BW.sum(1, keepdim=True).clamp(min=1).sqrt()
        return scaled


class Pixels(nn.Module):
    """uint8 [B, C, H, W] → float [B, C, H, W], each channel standardised."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.shape = spec.shape
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return (image_BCHW.float() / 255.0 - self.mean) / self.std


class Flat(nn.Module):
    """uint8 [B, C, H, W] → standardised float [B, C·H·W]."""

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.pixels, self.width = Pixels(spec), spec.size

    def forward(self, image_BCHW: Tensor) -> Tensor:
        flat: Tensor = self.pixels(image_BCHW).flatten(1)
        return flat


class Dense(nn.Module):
    """float [B, D] → the same."""

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.width = spec.size

    def forward(self, dense_BD: Tensor) -> Tensor:
        return dense_BD


class Concatenate(nn.Module):
    """One encoder for each array, side by side: arrays in the order of their specs → [B, width]."""

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.width = sum(width_of(encoder) for encoder in encoders)

    def forward(self, arrays: Sequence[Tensor]) -> Tensor:
        return torch.cat([encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)], 1)


def width_of(encoder: nn.Module) -> int:
    """How many units an encoder gives; each encoder has `width`."""
    width: Any = encoder.width
    return int(width)


def default_encoder(spec: ArraySpec, set_width: int) -> nn.Module:
    if spec.kind == "set":
        return Set(spec, set_width)
    return {"dense": Dense, "index": Index, "image": Flat}[spec.kind](spec)


def he_linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer before a ReLU, initialised as He et al. (2015)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def output_linear(inputs: int, outputs: int) -> nn.Linear:
    """A last layer, started small so that the first predictions are near uniform."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer
