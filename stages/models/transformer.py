"""Any mix of arrays, each as one token or many, in; a transformer's answer out.

Tokens are words, patches of a picture (Dosovitskiy et al. 2021), frames of a wave, numbers one by
one (Gorishniy et al. 2021) or together, and one for each other array.
Shapes: B rows, T tokens, E width.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pad

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._attention import Layer
from stages.models._dropout import Dropout
from stages.models._encoders import KINDS, PICTURES, Dense, Index, Pixels, Set, width_of
from stages.models._initialise import linear, output_linear
from stages.models._pictures import side_of

SUITS = KINDS
TARGETS = ("category", "number", "ranking")
POSITION_STD = 0.02


class Options(Section):
    width: int = Field(default=64, ge=1)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    expand: int = Field(default=2, ge=1)  # inner width of a layer, in widths
    dropout: float = Field(default=0.1, ge=0, lt=1)
    max_length: int = Field(default=512, ge=1)  # of a text the first tokens are read, of a history the newest
    patch: int = Field(default=4, ge=1)  # side of the squares of a picture that become tokens
    frames: int = Field(default=4, ge=1)  # of a wave that become one token, with all their bands
    numbers: Literal["together", "each"] = "together"  # one token for all dense units, or one for each
    read: Literal["class", "mean"] = "class"  # the answer comes of an own token, or of the mean of all others

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width (here {self.width}) to be a multiple of heads (here {self.heads})")
        return self


class Words(nn.Module):
    """int [B, W] → [B, T, E], with learnt positions, where T is W or max_length."""

    def __init__(self, spec: ArraySpec, options: Options, *, newest: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(spec.size, options.width)
        self.positions = nn.Embedding(options.max_length, options.width)
        nn.init.normal_(self.table.weight, std=1.0 / options.width**0.5)
        nn.init.normal_(self.positions.weight, std=POSITION_STD)
        self.max_length, self.newest = options.max_length, newest

    def forward(self, ids_BW: Tensor) -> tuple[Tensor, Tensor]:
        ids_BT = ids_BW[:, : self.max_length]
        place_T = torch.arange(ids_BT.shape[1], device=ids_BW.device)
        if self.newest:
            start_B1 = ((ids_BW > 0).sum(1, keepdim=True) - self.max_length).clamp(min=0)
            ids_BT = pad(ids_BW, (0, 1)).gather(1, start_B1 + place_T)  # padded: a gather fails where W is 0
        return self.table(ids_BT) + self.positions(place_T), ids_BT > 0


class Patched(nn.Module):
    """uint8 [B, C, H, W] → [B, T, E]: squares of a picture or frames of a wave, with learnt positions."""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        channels, *sides = spec.shape
        self.patch = (sides[0], options.frames) if spec.kind == "wave" else (options.patch, options.patch)
        self.grid = [side_of(side, by) for side, by in zip(sides, self.patch, strict=True)]
        self.fill = [by * many - side for side, by, many in zip(sides, self.patch, self.grid, strict=True)]
        self.pixels = Pixels(spec)
        self.project = linear(channels * self.patch[0] * self.patch[1], options.width, None)
        self.positions = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], options.width) * POSITION_STD)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        filled = pad(self.pixels(image_BCHW), (0, self.fill[1], 0, self.fill[0]))
        (high, wide), (down, right) = self.grid, self.patch
        squares = filled.reshape(-1, filled.shape[1], high, down, wide, right).permute(0, 2, 4, 1, 3, 5)
        tokens_BTE = self.project(squares.flatten(3).flatten(1, 2)) + self.positions
        return tokens_BTE, torch.ones_like(tokens_BTE[:, :, 0], dtype=torch.bool)


class Numbers(nn.Module):
    """float [B, D] → [B, D, E]: a line through the embedding space for each number."""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.randn(spec.size, options.width) / options.width**0.5)
        self.start = nn.Parameter(torch.randn(spec.size, options.width) / options.width**0.5)

    def forward(self, dense_BD: Tensor) -> tuple[Tensor, Tensor]:
        return dense_BD.unsqueeze(-1) * self.slope + self.start, torch.ones_like(dense_BD, dtype=torch.bool)


class Single(nn.Module):
    """Any other array → one token, [B, 1, E]."""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        kinds: dict[str, nn.Module] = {
            "dense": Dense(spec),
            "index": Index(spec, options.width),
            "set": Set(spec, options.width),
        }
        self.encoder = kinds[spec.kind]
        self.project = linear(width_of(self.encoder), options.width, None)

    def forward(self, array: Tensor) -> tuple[Tensor, Tensor]:
        token_B1E = self.project(self.encoder(array)).unsqueeze(1)
        return token_B1E, torch.ones_like(token_B1E[:, :, 0], dtype=torch.bool)


def tokens_of(spec: ArraySpec, problem: Problem, options: Options) -> nn.Module:
    if spec.kind in PICTURES:
        return Patched(spec, options)
    if spec.kind == "tokens":
        return Words(spec, options, newest=spec.name == problem.state.get("array"))  # a ranking's own history
    each = spec.kind == "dense" and options.numbers == "each"
    return Numbers(spec, options) if each else Single(spec, options)


class Network(nn.Module):
    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(tokens_of(spec, problem, options) for spec in problem.specs)
        self.own = nn.Parameter(torch.randn(options.width) * POSITION_STD)  # always live: no row is without tokens
        self.kinds = nn.Parameter(torch.randn(len(problem.specs), options.width) * POSITION_STD)
        self.layers = nn.ModuleList(
            Layer(options.width, options.heads, expand=options.expand, depth=options.depth, dropout=options.dropout)
            for _ in range(options.depth)
        )
        self.norm, self.dropout, self.read = nn.LayerNorm(options.width), Dropout(options.dropout), options.read
        self.head = output_linear(options.width, problem.num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        own_B1E = self.own.expand(len(arrays[0]), 1, -1)
        tokens, live = [own_B1E], [torch.ones_like(own_B1E[:, :, 0], dtype=torch.bool)]
        for encoder, array, kind_E in zip(self.encoders, arrays, self.kinds, strict=True):
            found_BTE, live_BT = encoder(array)
            tokens.append(found_BTE + kind_E)
            live.append(live_BT)
        tokens_BTE, live_BT = self.dropout(torch.cat(tokens, 1)), torch.cat(live, 1)
        for layer in self.layers:
            tokens_BTE = layer(tokens_BTE, live_BT)
        outputs_BC: Tensor = self.head(self.pooled(self.norm(tokens_BTE), live_BT))
        return outputs_BC

    def pooled(self, tokens_BTE: Tensor, live_BT: Tensor) -> Tensor:
        if self.read == "class":
            return tokens_BTE[:, 0]
        live_BT1 = live_BT[:, 1:].unsqueeze(-1)
        return (tokens_BTE[:, 1:] * live_BT1).sum(1) / live_BT1.sum(1).clamp(min=1)


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem, options)
