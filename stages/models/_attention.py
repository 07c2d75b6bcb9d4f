"""Tokens in, the same after layers in which each has looked at all others out.

Shapes: B rows, T tokens, E width, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from stages.models._dropout import Dropout
from stages.models._initialise import linear


class Attention(nn.Module):
    """[B, T, E] → the same; no token looks at padding (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = linear(width, 3 * width, None)
        self.outputs = branch_end(width, width, depth)

    def forward(self, tokens_BTE: Tensor, live_BT: Tensor) -> Tensor:
        parts = self.inputs(tokens_BTE).chunk(3, -1)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed_BHTD = scaled_dot_product_attention(query, key, value, attn_mask=live_BT[:, None, None, :])
        mixed: Tensor = self.outputs(mixed_BHTD.transpose(1, 2).flatten(2))
        return mixed


def branch_end(inputs: int, outputs: int, depth: int) -> nn.Linear:
    """The last layer of a branch: smaller the deeper the network, so that sums of branches do not grow (GPT-2)."""
    layer = linear(inputs, outputs, None)
    with torch.no_grad():
        layer.weight /= (2 * depth) ** 0.5
    return layer


class Layer(nn.Module):
    """Pre-norm: attention and a gelu layer, each beside a shortcut (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, *, expand: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, depth)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = Dropout(dropout)
        self.forth = nn.Sequential(
            linear(width, expand * width, "gelu"), nn.GELU(), branch_end(expand * width, width, depth)
        )

    def forward(self, tokens_BTE: Tensor, live_BT: Tensor) -> Tensor:
        tokens_BTE = tokens_BTE + self.dropout(self.attention(self.norms[0](tokens_BTE), live_BT))
        changed: Tensor = tokens_BTE + self.dropout(self.forth(self.norms[1](tokens_BTE)))
        return changed
