"""Pictures, and any other arrays, in; a plain convolutional network out.

Patches of pixels become channels; blocks of 3×3 convolutions halve the picture between them; the
last layer reads the small map that is left place by place, joined by the other arrays. On a CPU
nearly all time goes into memory, hence channels last, and pooling before normalisation.
"""

import math
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.problem import Problem
from stages.models._combine import Combined, plain_encoder
from stages.models._combine import Options as Combining
from stages.models._encoders import KINDS, PICTURES, Pixels
from stages.models._initialise import activation, convolution
from stages.models._pictures import Average, Patches, side_of
from stages.models._views import Options as Seeing
from stages.models._views import with_views

NEEDS = ("image", "wave")
SUITS = KINDS
TARGETS = ("category", "number", "ranking")


class Options(Combining, Seeing):
    """`channels` of each block: one more for each doubling of the picture's side."""

    channels: list[int] = Field(default=[32, 64, 96], min_length=1)
    repeats: list[int] = []  # convolutions of each block, the last one of which halves; one each if not declared
    cover: bool = False  # halve odd sides upwards, so that no border is lost
    patch: int = Field(default=2, ge=1)  # side of the squares of pixels that become channels
    grid: int = Field(default=4, ge=1)  # a last map of more places a side than this is averaged
    padding: Literal["same", "valid"] = "same"  # valid: each convolution takes a pixel off each border
    normalise: bool = True  # batch normalisation in each block
    pool_last: bool = False  # halve the picture after the last block too

    @model_validator(mode="after")
    def _one_repeat_a_block(self) -> Self:
        if self.repeats and (len(self.repeats) != len(self.channels) or min(self.repeats) < 1):
            raise ValueError(f"repeats of one number from 1 a block, {len(self.channels)} in all")
        return self


def convolve(inputs: int, outputs: int, shrink: tuple[int, ...], options: Options) -> nn.Sequential:
    padding = 0 if options.padding == "valid" else 1
    layer = convolution(inputs, outputs, 3, padding=padding, bias=not options.normalise, name=options.activation)
    pool = nn.MaxPool2d(shrink, ceil_mode=options.cover) if max(shrink) > 1 else nn.Identity()
    norm = nn.BatchNorm2d(outputs) if options.normalise else nn.Identity()
    return nn.Sequential(layer, pool, norm, activation(options.activation))


class Picture(nn.Module):
    """uint8 [B, C, H, W] → [B, width]"""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        inputs = spec.shape[0] * options.patch**2
        sides = [side_of(side, options.patch) for side in spec.shape[1:]]
        layers: list[nn.Module] = [Pixels(spec), Patches(options.patch)]
        for place, outputs in enumerate(options.channels, start=1):
            repeats = options.repeats[place - 1] if options.repeats else 1
            for repeat in range(1, repeats + 1):
                sides = [side - 2 * (options.padding == "valid") for side in sides]
                if min(sides) < 1:
                    raise too_small(spec, options)
                halving = repeat == repeats and (place < len(options.channels) or options.pool_last)
                shrink = tuple(2 if halving and side > 1 else 1 for side in sides)
                layers.append(convolve(inputs, outputs, shrink, options))
                inputs, sides = outputs, [halved(side, by, options) for side, by in zip(sides, shrink, strict=True)]
        average = Average(sides, options.grid)
        self.body = nn.Sequential(*layers, average)
        self.width = inputs * math.prod(average.places)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        flat: Tensor = self.body(image_BCHW).permute(0, 2, 3, 1).flatten(1)  # channels last: no copy
        return flat


def halved(side: int, by: int, options: Options) -> int:
    return side_of(side, by) if options.cover else side // by


def too_small(spec: ArraySpec, options: Options) -> ContractError:
    return ContractError(
        f"convnet: {len(options.channels)} blocks with padding: valid leave nothing of {', '.join(spec.columns)}, "
        f"{spec.shape[1]}×{spec.shape[2]} pixels in patches of {options.patch}. Declare fewer channels, a smaller "
        "patch, or padding: same."
    )


def build(problem: Problem, options: Options) -> nn.Module:
    encoders = [
        Picture(spec, options) if spec.kind in PICTURES else plain_encoder(spec, options) for spec in problem.specs
    ]
    network = Combined(encoders, problem.num_outputs, options)
    return with_views(network, problem.specs, options)
