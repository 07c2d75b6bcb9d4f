"""Pictures, and any other arrays, in; a residual network out (He et al. 2016).

Each stage after the first halves the picture; its shortcut averages 2×2 pixels before a 1×1
convolution (He, T. et al. 2019, ResNet-D). The last norm of a block starts at 0: each block is at
first the identity. Options: squeeze and excitation (Hu et al. 2018), stochastic depth (Huang et
al. 2016).
"""

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._combine import Combined, plain_encoder
from stages.models._combine import Options as Combining
from stages.models._encoders import KINDS, PICTURES, Pixels
from stages.models._initialise import Activation, activation, convolution
from stages.models._pictures import Add, Average, Patches, Squeeze, side_of
from stages.models._views import Options as Seeing
from stages.models._views import with_views

NEEDS = ("image", "wave")
SUITS = KINDS
TARGETS = ("category", "number", "ranking")


class Options(Combining, Seeing):
    """`channels` of each stage: one more for each doubling of the picture's side."""

    channels: list[int] = Field(default=[32, 64, 128], min_length=1)
    blocks: int = Field(default=2, ge=1)  # in each stage
    patch: int = Field(default=1, ge=1)  # side of the squares of pixels that become channels
    stride: int = Field(default=1, ge=1, le=4)  # of the first convolution
    grid: int = Field(default=1, ge=1)  # the last map is averaged to so many places a side
    squeeze: bool = False  # weigh channels by what the whole picture shows
    drop_block: float = Field(default=0.0, ge=0, lt=1)  # chance that the last block is left out; earlier ones less


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: tuple[int, int], drop: float, squeeze: bool, name: Activation
    ) -> None:  # fmt: skip
        super().__init__()
        self.drop, last = drop, nn.BatchNorm2d(outputs)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(
            convolution(inputs, outputs, 3, stride=stride, name=name),
            nn.BatchNorm2d(outputs),
            activation(name),
            convolution(outputs, outputs, 3, name=name),
            last,
            *([Squeeze(outputs)] if squeeze else []),
        )
        layers: list[nn.Module] = []
        if max(stride) > 1:
            layers.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if max(stride) > 1 or inputs != outputs:
            layers += [convolution(inputs, outputs, 1, name=None), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*layers)
        self.add, self.activation = Add(inputs, outputs), activation(name)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        change_BCHW = self.body(map_BCHW)
        if self.training and self.drop:
            kept_B = torch.rand(len(change_BCHW), 1, 1, 1, device=change_BCHW.device) >= self.drop
            change_BCHW = change_BCHW * (kept_B / (1 - self.drop))
        joined: Tensor = self.activation(self.add(self.shortcut(map_BCHW), change_BCHW))
        return joined


class Picture(nn.Module):
    """uint8 [B, C, H, W] → [B, width]"""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        inputs = spec.shape[0] * options.patch**2
        sides = [side_of(side_of(side, options.patch), options.stride) for side in spec.shape[1:]]
        width, name = options.channels[0], options.activation
        layers: list[nn.Module] = [Pixels(spec), Patches(options.patch)]
        layers.append(convolution(inputs, width, 3, stride=options.stride, name=name))
        layers += [nn.BatchNorm2d(width), activation(name)]
        total = len(options.channels) * options.blocks
        for number in range(total):
            outputs = options.channels[number // options.blocks]
            first = number and number % options.blocks == 0
            stride = (2 if first and sides[0] > 1 else 1, 2 if first and sides[1] > 1 else 1)
            drop = options.drop_block * (number + 1) / total
            layers.append(Block(width, outputs, stride=stride, drop=drop, squeeze=options.squeeze, name=name))
            width, sides = outputs, [side_of(side, by) for side, by in zip(sides, stride, strict=True)]
        average = Average(sides, options.grid)
        self.body = nn.Sequential(*layers, average)
        self.width = width * math.prod(average.places)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        flat: Tensor = self.body(image_BCHW).flatten(1)
        return flat


def build(problem: Problem, options: Options) -> nn.Module:
    encoders = [
        Picture(spec, options) if spec.kind in PICTURES else plain_encoder(spec, options) for spec in problem.specs
    ]
    network = Combined(encoders, problem.num_outputs, options)
    return with_views(network, problem.specs, options)
