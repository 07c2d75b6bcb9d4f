"""Sequences, pictures and waves read step by step, and any other arrays, in; a GRU's or LSTM's answer out.

Tokens are steps by their order; a picture or a wave is read from left to right, a column of pixels
or a frame's bands at a time.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._combine import Combined, plain_encoder
from stages.models._combine import Options as Combining
from stages.models._encoders import KINDS, PICTURES, AttentionPool, Pixels
from stages.models._recurrent import Cell, Recurrent

NEEDS = ("tokens", *PICTURES)
SUITS = KINDS
TARGETS = ("category", "number", "ranking")


class Options(Combining):
    cell: Cell = "gru"
    width: int = Field(default=64, ge=1)  # states of each direction
    layers: int = Field(default=1, ge=1)
    directions: int = Field(default=1, ge=1, le=2)  # 2: backwards too
    read: Literal["last", "mean", "attention"] = "last"  # of the states: where each direction ends, or over all steps


class Read(nn.Module):
    """States [B, T, H] → [B, H]"""

    def __init__(self, width: int, options: Options) -> None:
        super().__init__()
        self.options, self.width = options, width
        self.attention = AttentionPool(width) if options.read == "attention" else None

    def forward(self, states_BTH: Tensor, live_BT: Tensor) -> Tensor:
        if self.attention is not None:
            pooled: Tensor = self.attention(states_BTH, live_BT)
            return pooled
        if self.options.read == "mean":
            return states_BTH.sum(1) / live_BT.sum(1, keepdim=True).clamp(min=1)
        size = self.options.width
        place_BT = torch.arange(live_BT.shape[1], device=live_BT.device) == live_BT.sum(1, keepdim=True) - 1
        last_BH = (states_BTH * place_BT.unsqueeze(-1)).sum(1)  # a gather fails where a sequence is empty
        if self.options.directions == 1:
            return last_BH
        return torch.cat([last_BH[:, :size], states_BTH[:, :1, size:].sum(1)], 1)  # backwards ends at the first step


class Reader(nn.Module):
    """A sequence, a picture or a wave → [B, width]"""

    def __init__(self, spec: ArraySpec, options: Options) -> None:
        super().__init__()
        self.first: nn.Module
        if spec.kind in PICTURES:
            self.first, inputs = Pixels(spec), spec.shape[0] * spec.shape[1]
        else:
            self.first, inputs = nn.Embedding(spec.size, options.token_width), options.token_width
            nn.init.normal_(self.first.weight, std=options.token_width**-0.5)
        self.body = Recurrent(
            inputs, options.width, options.cell, layers=options.layers, directions=options.directions,
            dropout=options.dropout,
        )  # fmt: skip
        self.read, self.width = Read(self.body.width, options), self.body.width

    def forward(self, array: Tensor) -> Tensor:
        steps = self.first(array)
        if array.ndim == 4:
            steps_BTD = steps.permute(0, 3, 1, 2).flatten(2)
            live_BT = torch.ones_like(steps_BTD[:, :, 0], dtype=torch.bool)
        else:
            steps_BTD, live_BT = steps, array > 0
        read: Tensor = self.read(self.body(steps_BTD, live_BT), live_BT)
        return read


def build(problem: Problem, options: Options) -> nn.Module:
    encoders = [Reader(spec, options) if spec.kind in NEEDS else plain_encoder(spec, options) for spec in problem.specs]
    return Combined(encoders, problem.num_outputs, options)
