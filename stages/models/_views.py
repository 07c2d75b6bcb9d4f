"""A network of pictures in, the same out, that predicts from several views of each picture at once.

More work in a prediction and none in training, for the errors that the views do not share.
"""

from collections.abc import Iterator, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError


class Options(Section):
    """What is seen besides the picture as it is, in use alone."""

    mirror: bool = False  # the picture and its mirror image count alike
    jitter: int = Field(default=0, ge=0)  # moved so many pixels each way: together as much as unmoved


class Views(nn.Module):
    """In training the network as it is; in use the mean of its outputs for all views."""

    def __init__(self, network: nn.Module, specs: Sequence[ArraySpec], options: Options) -> None:
        super().__init__()
        self.network, self.pictures, self.options = network, [spec.kind == "image" for spec in specs], options
        self.shares = [share for _, _, share in views(options)]

    @property
    def plain(self) -> nn.Module:
        """The same without views, for what has to be fast."""
        return self.network

    def forward(self, *arrays: Tensor) -> Tensor:
        outputs_BC: Tensor
        if self.training:
            outputs_BC = self.network(*arrays)
            return outputs_BC
        seen = [
            torch.cat([view(array, flip, move) if picture else array for flip, move, _ in views(self.options)])
            for array, picture in zip(arrays, self.pictures, strict=True)
        ]
        outputs_VBC = self.network(*seen).unflatten(0, (len(self.shares), len(arrays[0])))
        outputs_BC = (outputs_VBC * outputs_VBC.new_tensor(self.shares).view(-1, 1, 1)).sum(0)
        return outputs_BC


def views(options: Options) -> Iterator[tuple[bool, tuple[int, int], float]]:
    """Whether it is flipped, how far it is moved right and down, and its share of the mean."""
    sides, by = (False, True) if options.mirror else (False,), options.jitter
    moves = [(0, 0), *([(by, 0), (-by, 0), (0, by), (0, -by)] if by else [])]
    for flip in sides:
        for move in moves:
            share = 1.0 if not by else 0.5 if move == (0, 0) else 0.125
            yield flip, move, share / len(sides)


def view(image_BCHW: Tensor, flip: bool, move: tuple[int, int]) -> Tensor:
    """What comes in from outside are the border's own pixels."""
    found = image_BCHW.flip(3) if flip else image_BCHW
    for axis, by in zip((3, 2), move, strict=True):
        if by:
            size = found.shape[axis]
            found = found.index_select(axis, (torch.arange(size, device=found.device) - by).clamp(0, size - 1))
    return found


def with_views(network: nn.Module, specs: Sequence[ArraySpec], options: Options) -> nn.Module:
    """Raises ContractError where views are declared and nothing is a picture: all would be the same."""
    if not (options.mirror or options.jitter):
        return network
    if all(spec.kind != "image" for spec in specs):
        raise ContractError(
            "train.options: mirror and jitter are views of pictures, and no input column is of the type image. "
            "Leave them out"
        )
    return Views(network, specs, options)
