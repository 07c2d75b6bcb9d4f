"""Convolutions a block, and what of odd sides is kept."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from stages.core.arrays import ArraySpec
from stages.models import convnet

SPEC = ArraySpec("x", "image", ("f",), 28 * 28, (1, 28, 28), (0.3,), (0.4,))


def sides_of(**options):
    """Of the map that each convolution reads."""
    found = []
    network = convnet.Picture(SPEC, convnet.Options(channels=[4, 6, 8], **options)).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, _: found.append((layer.in_channels, given[0].shape[2])))
    flat = network(torch.zeros(2, *SPEC.shape, dtype=torch.uint8))
    assert flat.shape == (2, network.width)
    return found, network.width


def test_a_block_of_several_convolutions_halves_after_its_last():
    assert sides_of(repeats=[1, 2, 1]) == ([(4, 14), (4, 7), (6, 7), (6, 3)], 8 * 3 * 3)


def test_odd_sides_are_halved_upwards_where_the_border_counts():
    assert sides_of(cover=True) == ([(4, 14), (4, 7), (6, 4)], 8 * 4 * 4)


@pytest.mark.parametrize("repeats", [[1], [1, 0, 1], [1, 1, 1, 1]])
def test_repeats_that_do_not_match_the_blocks_are_refused(repeats):
    with pytest.raises(ValidationError, match="repeats of one number from 1 a block, 3 in all"):
        convnet.Options(channels=[4, 6, 8], repeats=repeats)
