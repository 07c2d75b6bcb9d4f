"""Each row's last loss in, the rows of the next epoch and their weights out (InfoBatch, Qin et al. 2024).

Of the rows with less loss than the mean a share is left out at random, other ones each epoch. Those
that stay weigh 1 / (1 - share): the expected gradient is that of all rows. Shapes: N rows.
"""

import math

import torch
from torch import Tensor

from stages.training.recipe import Recipe

WHOLE_SHARE = 0.125  # of the run, at its end: there no row is left out


def prunes(recipe: Recipe, epoch: int) -> bool:
    """Not in the first epoch, which learns the losses, nor in the last ones."""
    return recipe.prune > 0 and 0 < epoch < recipe.epochs * (1 - WHOLE_SHARE)


def unknown_losses(num_rows: int) -> Tensor:
    return torch.full((num_rows,), math.inf)


def shares_of(losses_N: Tensor, share: float, seed: int) -> Tensor:
    """float32 [N]: 0 of a row that is left out, otherwise its weight. A loss not known is not a small one."""
    known = losses_N[losses_N.isfinite()]
    if not len(known):
        return torch.ones(len(losses_N))
    easy_N = losses_N < known.mean()
    left_N = torch.rand(len(losses_N), generator=torch.Generator().manual_seed(seed)) < share
    return torch.where(easy_N, torch.where(left_N, 0.0, 1 / (1 - share)), 1.0)
