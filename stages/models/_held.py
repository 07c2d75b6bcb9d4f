"""Numbers of held items, and a table with a row a number, in; the sum of the rows of what is held out.

Shapes: B rows, W width of a history, I numbers of the table, E its width.
"""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from stages.models._items import FIRST


def held(ids_BW: Tensor, hide: float, training: bool) -> Tensor:
    """The numbers of known items, 0 for all others; in training without the share `hide` of them, drawn at random."""
    live_BW = ids_BW >= FIRST
    if training and hide:
        live_BW = live_BW & (torch.rand(ids_BW.shape, device=ids_BW.device) >= hide)
    return ids_BW * live_BW


def held_mean(table_IE: Tensor, held_BW: Tensor) -> Tensor:
    """The sum of the rows of what is held / √count, [B, E]. Neither way holds [B, W, E] in memory."""
    if torch.compiler.is_exporting():
        counts_BI = torch.zeros(held_BW.shape[0], table_IE.shape[0], device=table_IE.device)
        counts_BI = counts_BI.scatter_add(1, held_BW, torch.ones_like(held_BW, dtype=counts_BI.dtype))
        known_BI = torch.cat([torch.zeros_like(counts_BI[:, :FIRST]), counts_BI[:, FIRST:]], 1)
        summed_BE = known_BI @ table_IE  # the whole table: a slice of it would not be quantized
    else:
        summed_BE = embedding_bag(held_BW, table_IE, mode="sum", padding_idx=0)
    mean_BE: Tensor = summed_BE / (held_BW > 0).sum(1, keepdim=True).clamp(min=1).sqrt()
    return mean_BE
