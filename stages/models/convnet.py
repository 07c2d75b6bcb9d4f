"""Pictures, and any other arrays, in; a plain convolutional network out.

Patches of pixels become channels; blocks of 3×3 convolutions halve the picture between them; the
last layer reads the small map that is left place by place, joined by the other arrays. On a CPU
nearly all time goes into memory, hence channels last, and pooling before normalisation.
"""

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_unshuffle

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._layers import Pixels, default_encoder, output_linear, width_of

NEEDS = ("image", "wave")
TARGETS = ("category", "number", "ranking")
SUITS = ("dense", "index", "set", "image")


class Options(Section):
    """`channels` of each block: one more for each doubling of the picture's side."""

    channels: list[int] = Field(default=[32, 64, 96], min_length=1)
    patch: int = Field(default=2, ge=1)  # side of the squares of pixels that become channels
    grid: int = Field(default=4, ge=1)  # a last map of more places a side than this is averaged
    dropout: float = Field(default=0.1, ge=0, lt=1)
    set_width: int = Field(default=16, ge=1)


class Patches(nn.Module):
    """[B, C, H, W] → [B, C·patch², ⌈H / patch⌉, ⌈W / patch⌉], channels last in memory."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, image_BCHW: Tensor) -> Tensor:
        height, width = image_BCHW.shape[2:]
        filled = pad(image_BCHW, (0, -width % self.patch, 0, -height % self.patch))
        return pixel_unshuffle(filled, self.patch).contiguous(memory_format=torch.channels_last)


def block(inputs: int, outputs: int, shrink: tuple[int, ...]) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    pool = nn.MaxPool2d(shrink) if max(shrink) > 1 else nn.Identity()
    return nn.Sequential(layer, pool, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Picture(nn.Module):
    """uint8 [B, C, H, W] → [B, width]"""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        inputs = spec.shape[0] * options.patch**2
        sides = [-(-side // options.patch) for side in spec.shape[1:]]
        layers: list[nn.Module] = [Pixels(spec), Patches(options.patch)]
        for place, outputs in enumerate(options.channels, start=1):
            halving = place < len(options.channels)
            shrink = tuple(2 if halving and side > 1 else 1 for side in sides)
            layers.append(block(inputs, outputs, shrink))
            inputs, sides = outputs, [side // by for side, by in zip(sides, shrink, strict=True)]
        average = (-(-sides[0] // options.grid), -(-sides[1] // options.grid))
        if max(average) > 1:
            layers.append(nn.AvgPool2d(average))
        self.body = nn.Sequential(*layers)
        self.width = inputs * math.prod(side // by for side, by in zip(sides, average, strict=True))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        flat: Tensor = self.body(image_BCHW).permute(0, 2, 3, 1).flatten(1)  # channels last: no copy
        return flat


class Network(nn.Module):
    def __init__(self, specs: Sequence[ArraySpec], num_outputs: int, options: Options) -> None:
        super().__init__()
        encoders: list[nn.Module] = [
            Picture(spec, options) if spec.kind == "image" else default_encoder(spec, options.set_width)
            for spec in specs
        ]
        self.encoders = nn.ModuleList(encoders)
        self.dropout = nn.Dropout(options.dropout)
        self.head = output_linear(sum(width_of(encoder) for encoder in encoders), num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        encoded = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        outputs_BC: Tensor = self.head(self.dropout(torch.cat(encoded, 1)))
        return outputs_BC


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem.specs, problem.num_outputs, options)
