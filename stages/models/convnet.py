"""Pictures, and any other arrays, in; a plain convolutional network out.

A strided stem, then blocks of 3×3 convolutions with batch normalisation, halving the picture
between blocks; global average pooling; other arrays join before the last layer.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.models._layers import Pixels, default_encoder, output_linear

SUITS = ("dense", "index", "set", "image")


class Options(Section):
    """`channels` of the stem and of each block after it."""

    channels: list[int] = Field(default=[24, 48, 96], min_length=1)
    stem_kernel: int = Field(default=5, ge=1)
    stem_stride: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    set_width: int = Field(default=16, ge=1)


def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Picture(nn.Module):
    """uint8 [B, C, H, W] → [B, channels[-1]]"""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        first, *rest = options.channels
        layers: list[nn.Module] = [
            Pixels(spec),
            convolution(spec.shape[0], first, options.stem_kernel, options.stem_stride),
        ]
        for inputs, outputs in zip(options.channels, rest, strict=False):
            layers += [convolution(inputs, outputs, 3, 1), nn.MaxPool2d(2)]
        if rest:
            layers += [convolution(rest[-1], rest[-1], 3, 1)]
        self.body, self.width = nn.Sequential(*layers), options.channels[-1]

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.body(image_BCHW).mean((2, 3))


class Network(nn.Module):
    def __init__(self, specs: Sequence[ArraySpec], num_outputs: int, options: Options) -> None:
        super().__init__()
        encoders: list[nn.Module] = [
            Picture(spec, options) if spec.kind == "image" else default_encoder(spec, options.set_width)
            for spec in specs
        ]
        self.encoders = nn.ModuleList(encoders)
        self.dropout = nn.Dropout(options.dropout)
        self.head = output_linear(sum(int(encoder.width) for encoder in encoders), num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        encoded = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        return self.head(self.dropout(torch.cat(encoded, 1)))


def build(specs: Sequence[ArraySpec], num_outputs: int, options: Options) -> nn.Module:
    return Network(specs, num_outputs, options)
