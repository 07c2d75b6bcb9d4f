"""A training batch in, the same with its columns changed at random, as each is declared, out.

Shapes: B rows, C channels, H height or bands, W width, frames or entries.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.training.augmentation import Augment, Entries, Numbers, Picture, Wave, units_of

UNKNOWN = 1  # the token that stands for a dropped one; 0 is padding, at the end alone
PARTS = 4  # of a batch that move as one: slices, where a gather a picture costs more


def augment(
    arrays: Sequence[Tensor], specs: Sequence[ArraySpec], chosen: Augment, generator: torch.Generator
) -> list[Tensor]:
    """The batch's arrays, each changed by the options of the columns that it is made of."""
    changed = {spec.name: array for spec, array in zip(specs, arrays, strict=True)}
    by_name = {spec.name: spec for spec in specs}
    for (name, column), options in chosen.items():
        changed[name] = CHANGES[type(options)](changed[name], by_name[name], column, options, generator)
    return list(changed.values())


def picture(image_BCHW: Tensor, spec: ArraySpec, name: str, options: Picture, generator: torch.Generator) -> Tensor:
    if options.flip:
        mirrored_B = chance(len(image_BCHW), generator, image_BCHW.device) < 0.5
        image_BCHW = torch.where(mirrored_B[:, None, None, None], image_BCHW.flip(3), image_BCHW)
    if options.shift:
        moved = [move(part, options.shift, options.shift, generator) for part in image_BCHW.chunk(PARTS)]
        image_BCHW = torch.cat(moved) if moved else image_BCHW
    if options.scale or options.rotate:
        image_BCHW = turn(image_BCHW, options, generator)
    if options.brightness or options.contrast:
        more_B, times_B = (2 * chance(len(image_BCHW), generator, image_BCHW.device) - 1 for _ in range(2))
        wide = (-1, 1, 1, 1)
        lit = image_BCHW.float() * (1 + options.contrast * times_B.view(wide))
        lit = lit + 255.0 * options.brightness * more_B.view(wide)
        image_BCHW = lit.round_().clamp_(0, 255).to(torch.uint8)
    if options.erase:
        grey = torch.tensor(spec.mean, device=image_BCHW.device).mul(255).round().to(torch.uint8)
        height, width = image_BCHW.shape[2:]
        down = stripe(len(image_BCHW), height, options.erase, generator, image_BCHW.device)[:, None, :, None]
        right = stripe(len(image_BCHW), width, options.erase, generator, image_BCHW.device)[:, None, None, :]
        image_BCHW = torch.where(down & right, grey.view(1, -1, 1, 1), image_BCHW)
    return image_BCHW


def wave(wave_BCHW: Tensor, spec: ArraySpec, name: str, options: Wave, generator: torch.Generator) -> Tensor:
    if options.shift:
        moved = [move(part, 0, options.shift, generator) for part in wave_BCHW.chunk(PARTS)]
        wave_BCHW = torch.cat(moved) if moved else wave_BCHW
    for axis, most in ((2, options.mask_bands), (3, options.mask_frames)):
        if most:
            length = int(torch.randint(0, most + 1, (), generator=generator))
            masked = stripe(len(wave_BCHW), wave_BCHW.shape[axis], length, generator, wave_BCHW.device)
            wave_BCHW = wave_BCHW.masked_fill(masked[:, None, :, None] if axis == 2 else masked[:, None, None, :], 0)
    return wave_BCHW


def entries(ids: Tensor, spec: ArraySpec, name: str, options: Entries, generator: torch.Generator) -> Tensor:
    """A dropped entry of a set, or of a category, is 0; a dropped token is unknown, and keeps its place."""
    if not options.drop:
        return ids
    dropped = (torch.rand(ids.shape, generator=generator) < options.drop).to(ids.device) & (ids > 0)
    return ids.masked_fill(dropped, UNKNOWN if spec.kind == "tokens" else 0)


def numbers(dense_BD: Tensor, spec: ArraySpec, name: str, options: Numbers, generator: torch.Generator) -> Tensor:
    if not options.noise or spec.kind != "dense":
        return dense_BD
    added = torch.randn(dense_BD.shape, generator=generator).to(dense_BD.device) * options.noise
    mine = torch.zeros(dense_BD.shape[1], device=dense_BD.device)
    mine[units_of(spec, name)] = 1.0
    return dense_BD + added * mine


CHANGES: dict[type[Section], Callable[[Tensor, ArraySpec, str, Any, torch.Generator], Tensor]] = {
    Picture: picture, Wave: wave, Entries: entries, Numbers: numbers,
}  # fmt: skip


def chance(size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """float [size], uniform in 0 … 1; drawn on the CPU, so that every device sees the same."""
    return torch.rand(size, generator=generator).to(device)


def stripe(rows: int, size: int, length: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """bool [rows, size]: a run of `length` places a row, whose middle may stand anywhere, cut at the ends."""
    middle_B1 = (torch.rand(rows, 1, generator=generator) * size).to(device)
    places = torch.arange(size, device=device) + 0.5
    return (places - middle_B1).abs() <= length / 2


def move(image_BCHW: Tensor, most_down: int, most_right: int, generator: torch.Generator) -> Tensor:
    """Move all pictures by one random offset, filling with 0."""
    down = int(torch.randint(0, 2 * most_down + 1, (), generator=generator))
    right = int(torch.randint(0, 2 * most_right + 1, (), generator=generator))
    height, width = image_BCHW.shape[2:]
    padded = pad(image_BCHW, (most_right, most_right, most_down, most_down))
    return padded[:, :, down : down + height, right : right + width]


def turn(image_BCHW: Tensor, options: Picture, generator: torch.Generator) -> Tensor:
    """Each picture grown or shrunk and turned about its middle; bilinear, 0 outside."""
    size_B, angle_B = (2 * chance(len(image_BCHW), generator, image_BCHW.device) - 1 for _ in range(2))
    size_B, angle_B = 1 / (1 + options.scale * size_B), torch.deg2rad(options.rotate * angle_B)
    zero_B, tall = torch.zeros_like(size_B), image_BCHW.shape[2] / image_BCHW.shape[3]
    sine_B, cosine_B = angle_B.sin() * size_B, angle_B.cos() * size_B
    rows = [torch.stack([cosine_B, -sine_B * tall, zero_B], 1), torch.stack([sine_B / tall, cosine_B, zero_B], 1)]
    grid = affine_grid(torch.stack(rows, 1), list(image_BCHW.shape), align_corners=False)
    turned = grid_sample(image_BCHW.float(), grid, align_corners=False)
    return turned.round_().clamp_(0, 255).to(torch.uint8)


def mix(
    arrays: Sequence[Tensor], specs: Sequence[ArraySpec], alpha: float, generator: torch.Generator
) -> tuple[list[Tensor], Tensor, float]:
    """Mixup (Zhang et al. 2018): every row blended with a partner; returns the partners' places and the row's share.

    Numbers and pictures are blended; a category is taken from the partner as often as its share.
    """
    draw = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    share = float(draw.beta(alpha, alpha))
    device = arrays[0].device
    partner_B = torch.randperm(len(arrays[0]), generator=generator).to(device)
    mixed = []
    for spec, array in zip(specs, arrays, strict=True):
        if spec.kind == "index":
            own_B = chance(len(array), generator, device) < share
            mixed.append(torch.where(own_B, array, array[partner_B]))
        elif spec.kind in ("set", "tokens"):
            raise ContractError(
                f"train.mixup blends numbers, pictures and categories; {', '.join(spec.columns)} is of the kind "
                f"{spec.kind}. Leave mixup at 0"
            )
        else:
            mixed.append(array.float().lerp(array[partner_B].float(), 1 - share))
    return mixed, partner_B, share
