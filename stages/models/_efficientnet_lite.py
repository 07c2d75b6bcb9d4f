"""Pictures [B, 3, S, S] of pixels standardised as it learnt them in, 1,280 features a picture out.

EfficientNet-Lite0 (Tan & Le 2019; Lite: Liu 2020, without squeeze and with relu6), with the names of
the published weights. Padding is TensorFlow's: at a stride of 2 more on the right and below.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

FEATURES = 1280
MEAN, STD = 127.0, 128.0  # of pixels 0 … 255
STAGES = (  # blocks, side of the convolution, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Same(nn.Conv2d):
    """A convolution whose output has ⌈side / stride⌉ places a side."""

    def forward(self, input: Tensor) -> Tensor:
        borders: list[int] = []
        for axis in (3, 2):
            side, step, kernel = input.shape[axis], self.stride[0], self.kernel_size[0]
            total = max((-(-side // step) - 1) * step + kernel - side, 0)
            borders += [total // 2, total - total // 2]
        if borders == [self.kernel_size[0] // 2] * 4:
            return nn.functional.conv2d(input, self.weight, None, self.stride, borders[0], groups=self.groups)
        return super().forward(pad(input, borders))


def convolution(inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1) -> Same:
    return Same(inputs, outputs, side, stride, groups=groups, bias=False)


class Block(nn.Module):
    """Expand, filter each channel, project; beside a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, *, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner, self.shortcut = inputs * expansion, stride == 1 and inputs == outputs
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = convolution(inputs, inner, 1), norm(inner)
        self._depthwise_conv, self._bn1 = convolution(inner, inner, side, stride, inner), norm(inner)
        self._project_conv, self._bn2 = convolution(inner, outputs, 1), norm(outputs)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        inner = relu6(self._bn0(self._expand_conv(map_BCHW))) if self.expands else map_BCHW
        inner = relu6(self._bn1(self._depthwise_conv(inner)))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return map_BCHW + projected if self.shortcut else projected


class EfficientNetLite0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), norm(32)
        blocks, inputs = [], 32
        for repeats, side, stride, expansion, outputs in STAGES:
            for number in range(repeats):
                step = stride if number == 0 else 1
                blocks.append(Block(inputs, outputs, side=side, stride=step, expansion=expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = convolution(inputs, FEATURES, 1), norm(FEATURES)

    def last(self) -> list[nn.Module]:
        """The last block, and what follows it."""
        return [self._blocks[-1], self._conv_head, self._bn1]

    def forward(self, picture_B3HW: Tensor) -> Tensor:
        found = relu6(self._bn0(self._conv_stem(picture_B3HW.contiguous(memory_format=torch.channels_last))))
        for block in self._blocks:
            found = block(found)
        features_BF: Tensor = relu6(self._bn1(self._conv_head(found))).mean((2, 3))
        return features_BF
