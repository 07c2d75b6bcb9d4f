"""A history of items, and any other arrays, in; the scores of all items out: the factors of a row times those of items.

Two towers: a row's factor is the sum of what its arrays are encoded to, through hidden layers; an item's is learnt.
Without `hidden` this is a matrix factorization whose rows are made of the items they hold (Paterek 2007, "asymmetric
SVD"), so a new row needs no factor of its own. With `hidden: [tanh]` widths it is the denoising autoencoder of Wu et
al. 2016 and Liang et al. 2018, here trained to name the next items instead of the ones given.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models import _items
from stages.models._encoders import KINDS, encoder_of, width_of
from stages.models._held import held, held_mean
from stages.models._initialise import linear, output_linear

TARGETS = _items.TARGETS
SUITS = KINDS


class Options(Section):
    """`hide` is the share of each history that a training step does not see: so the rest learns to speak for it."""

    width: int = Field(default=256, ge=1)
    hidden: list[int] = []
    activation: bool = True  # tanh of the row's factor, and of each hidden layer
    hide: float = Field(default=0.5, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class History(nn.Module):
    """int [B, W] → [B, E]: the sum of the held items' embeddings / √count; padding and unknown items add nothing."""

    def __init__(self, spec: ArraySpec, width: int, hide: float) -> None:
        super().__init__()
        self.width, self.hide = width, hide
        self.table = nn.Embedding(spec.size, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, ids_BW: Tensor) -> Tensor:
        return held_mean(self.table.weight, held(ids_BW, self.hide, self.training))


class Network(nn.Module):
    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__()
        width = options.width
        history = _items.history_of(problem)
        encoders = [tower_of(spec, history, options) for spec in problem.specs]
        self.encoders = nn.ModuleList(encoders)
        self.bias = nn.Parameter(torch.zeros(width))
        layers: list[nn.Module] = []
        for size in options.hidden:
            layers += [*activation(options), nn.Dropout(options.dropout), linear(width, size, "tanh")]
            width = size
        self.body = nn.Sequential(*layers, *activation(options), nn.Dropout(options.dropout))
        self.items = output_linear(width, problem.num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        parts = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        scores_BI: Tensor = self.items(self.body(self.bias + sum(parts[1:], parts[0])))
        return scores_BI


def activation(options: Options) -> list[nn.Module]:
    return [nn.Tanh()] if options.activation else []


def tower_of(spec: ArraySpec, history: ArraySpec, options: Options) -> nn.Module:
    """An array's share of the row's factor, [B, width]."""
    if spec == history:
        return History(spec, options.width, options.hide)
    encoder = encoder_of(spec, set_width=options.width, token_width=options.width)
    return nn.Sequential(encoder, linear(width_of(encoder), options.width, "tanh"))


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem, options)
