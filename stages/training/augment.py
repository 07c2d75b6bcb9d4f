"""A training batch in, the same with its pictures mirrored and moved at random out."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from stages.core.arrays import ArraySpec
from stages.training import Recipe


def augment(
    batch: list[Tensor], specs: tuple[ArraySpec, ...], recipe: Recipe, generator: torch.Generator
) -> list[Tensor]:
    """Only what the recipe allows: a mirrored shoe is a shoe, a mirrored "2" is no number."""
    if not (recipe.flip or recipe.shift):
        return batch
    return [
        picture(array, recipe, generator) if spec.kind == "image" else array
        for spec, array in zip(specs, batch, strict=True)
    ]


def picture(image_BCHW: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    if recipe.flip:
        mirrored_B = (torch.rand(len(image_BCHW), generator=generator) < 0.5).to(image_BCHW.device)
        image_BCHW = torch.where(mirrored_B[:, None, None, None], image_BCHW.flip(3), image_BCHW)
    if recipe.shift:
        # one move for each of four parts of the batch: slices, where a gather a picture costs more
        parts = [move(part, recipe.shift, generator) for part in image_BCHW.chunk(4)]
        image_BCHW = torch.cat(parts)
    return image_BCHW


def move(image_BCHW: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move all pictures by one random offset, filling with 0."""
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
    height, width = image_BCHW.shape[2:]
    return pad(image_BCHW, (most, most, most, most))[:, :, down : down + height, right : right + width]
