"""An array's spec in, the torch module that encodes it as [B, width] out: one for each kind.

Each encoder has `width`. Shapes: B rows, E embedding width, C channels, H height, W width of a
picture, a set or a sequence.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag

from stages.core.arrays import ArraySpec

KINDS = ("dense", "index", "set", "tokens", "image", "wave")
PICTURES = ("image", "wave")  # uint8 [B, C, H, W]
Pooling = Literal["mean", "attention"]


class Dense(nn.Module):
    """float [B, D] → the same."""

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.width = spec.size

    def forward(self, dense_BD: Tensor) -> Tensor:
        return dense_BD


class Index(nn.Module):
    """int [B] → [B, E]; the width follows the vocabulary (1.6 · size^0.56, at most 32)."""

    def __init__(self, spec: ArraySpec, width: int | None = None) -> None:
        super().__init__()
        self.width = width or min(32, max(2, round(1.6 * spec.size**0.56)))
        self.table = nn.Embedding(spec.size, self.width)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, index_B: Tensor) -> Tensor:
        encoded: Tensor = self.table(index_B)
        return encoded


class Set(nn.Module):
    """int [B, W], 0 is padding → [B, E]: the sum of embeddings / √count."""

    def __init__(self, spec: ArraySpec, width: int) -> None:
        super().__init__()
        self.width = width
        self.table = nn.Embedding(spec.size, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, ids_BW: Tensor) -> Tensor:
        scaled: Tensor = summed(self.table.weight, ids_BW) / count(ids_BW).sqrt()
        return scaled


class Tokens(nn.Module):
    """int [B, W], 0 is padding → [B, E]: the mean of embeddings, plain or weighted by attention.

    Attention: softmax over the live ids of a learnt score of each embedding (Yang et al. 2016).
    """

    def __init__(self, spec: ArraySpec, width: int, pooling: Pooling = "mean") -> None:
        super().__init__()
        self.width = width
        self.table = nn.Embedding(spec.size, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        self.pool = AttentionPool(width) if pooling == "attention" else None

    def forward(self, ids_BW: Tensor) -> Tensor:
        if self.pool is None:
            mean: Tensor = summed(self.table.weight, ids_BW) / count(ids_BW)
            return mean
        pooled: Tensor = self.pool(self.table(ids_BW), ids_BW > 0)
        return pooled


class AttentionPool(nn.Module):
    """[B, W, E] and which of it is live → [B, E]; 0 where nothing is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)  # a bias would fall out of the softmax
        nn.init.xavier_normal_(self.inner.weight)
        nn.init.xavier_normal_(self.score.weight)

    def forward(self, steps_BWE: Tensor, live_BW: Tensor) -> Tensor:
        score_BW1 = self.score(torch.tanh(self.inner(steps_BWE)))
        live_BW1 = live_BW.unsqueeze(-1)
        share_BW1 = torch.softmax(score_BW1.masked_fill(~live_BW1, -1e9), 1) * live_BW1
        return (share_BW1 * steps_BWE).sum(1)


def summed(table: Tensor, ids_BW: Tensor) -> Tensor:
    """Sum of the rows of a table, [B, E]; row 0 is padding and counts nothing."""
    if torch.compiler.is_exporting():
        return (embedding(ids_BW, table) * (ids_BW > 0).unsqueeze(-1)).sum(1)
    # the same sum without [B, W, E] in memory: a fifth of the time
    return embedding_bag(ids_BW, table, mode="sum", padding_idx=0)


def count(ids_BW: Tensor) -> Tensor:
    """Live ids of each row, at least 1: [B, 1]"""
    return (ids_BW > 0).sum(1, keepdim=True).clamp(min=1)


class Pixels(nn.Module):
    """uint8 [B, C, H, W] → float [B, C, H, W], each channel standardised."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.shape = spec.shape
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return (image_BCHW.float() / 255.0 - self.mean) / self.std


class Flat(nn.Module):
    """uint8 [B, C, H, W] → standardised float [B, C·H·W]."""

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__()
        self.pixels, self.width = Pixels(spec), spec.size

    def forward(self, image_BCHW: Tensor) -> Tensor:
        flat: Tensor = self.pixels(image_BCHW).flatten(1)
        return flat


def width_of(encoder: nn.Module) -> int:
    """How many units an encoder gives."""
    width: Any = encoder.width
    return int(width)


def total_width(encoders: Sequence[nn.Module]) -> int:
    return sum(width_of(encoder) for encoder in encoders)


def encoder_of(spec: ArraySpec, *, set_width: int, token_width: int, pooling: Pooling = "mean") -> nn.Module:
    """The plain encoder of any kind; a model replaces it for the kinds that it knows more of."""
    if spec.kind == "set":
        return Set(spec, set_width)
    if spec.kind == "tokens":
        return Tokens(spec, token_width, pooling)
    plain: dict[str, type[nn.Module]] = {"dense": Dense, "index": Index, "image": Flat, "wave": Flat}
    return plain[spec.kind](spec)
