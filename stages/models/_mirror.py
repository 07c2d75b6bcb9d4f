"""A network of pictures in, the same out, that predicts from each picture and its mirror image at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stages.core.arrays import ArraySpec


class Mirrored(nn.Module):
    """In training the network as it is; in use the mean of its outputs for the pictures and for their mirror images.

    Twice the work of a prediction, for the errors that the two do not share.
    """

    def __init__(self, network: nn.Module, specs: Sequence[ArraySpec]) -> None:
        super().__init__()
        self.network, self.pictures = network, [spec.kind == "image" for spec in specs]

    def forward(self, *arrays: Tensor) -> Tensor:
        outputs_BC: Tensor
        if self.training:
            outputs_BC = self.network(*arrays)
            return outputs_BC
        both = [
            torch.cat([array, array.flip(3) if picture else array])
            for array, picture in zip(arrays, self.pictures, strict=True)
        ]
        both_BC = self.network(*both)
        outputs_BC = both_BC.unflatten(0, (2, len(arrays[0]))).mean(0)
        return outputs_BC
