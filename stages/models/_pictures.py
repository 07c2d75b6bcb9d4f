"""Layers that several networks of pictures share.

Shapes: B rows, C channels, H height, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_unshuffle

from stages.models._initialise import linear


def side_of(side: int, by: int) -> int:
    """How many squares of side `by` cover `side` pixels."""
    return -(-side // by)


class Patches(nn.Module):
    """[B, C, H, W] → [B, C·patch², ⌈H / patch⌉, ⌈W / patch⌉], channels last in memory."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, image_BCHW: Tensor) -> Tensor:
        height, width = image_BCHW.shape[2:]
        if self.patch > 1:
            filled = pad(image_BCHW, (0, -width % self.patch, 0, -height % self.patch))
            image_BCHW = pixel_unshuffle(filled, self.patch)
        return image_BCHW.contiguous(memory_format=torch.channels_last)


class Add(nn.Module):
    """The sum of two maps, in a form that onnxruntime takes for 0 rows too.

    It keeps maps in blocks of 16 channels. Where it must fill one up, or cannot follow the shape of a map that
    enters, it reshapes before it adds, and a reshape refuses 0 rows.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.blocked = inputs % 16 == outputs % 16 == 0

    def forward(self, first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
        if self.blocked or not torch.compiler.is_exporting():
            return first_BCHW + second_BCHW
        return (first_BCHW.flatten(2) + second_BCHW.flatten(2)).reshape(first_BCHW.shape)


class Average(nn.Module):
    """[B, C, H, W] → [B, C, h, w]: means of squares, so that at most `grid` places a side are left."""

    def __init__(self, sides: Sequence[int], grid: int) -> None:
        super().__init__()
        by = [side_of(side, grid) for side in sides]
        self.places = [side // step for side, step in zip(sides, by, strict=True)]
        self.pool = nn.AvgPool2d((by[0], by[1])) if max(by) > 1 else nn.Identity()

    def forward(self, map_BCHW: Tensor) -> Tensor:
        averaged: Tensor = self.pool(map_BCHW)
        return averaged


class Squeeze(nn.Module):
    """[B, C, H, W] → the same, each channel scaled by what the whole map shows (Hu et al. 2018)."""

    def __init__(self, channels: int, by: int = 8) -> None:
        super().__init__()
        inner = max(4, channels // by)
        self.scale = nn.Sequential(
            linear(channels, inner, "relu"), nn.ReLU(inplace=True), linear(inner, channels, "sigmoid"), nn.Sigmoid()
        )

    def forward(self, map_BCHW: Tensor) -> Tensor:
        scale_BC: Tensor = self.scale(map_BCHW.mean((2, 3)))
        return map_BCHW * scale_BC[:, :, None, None]
