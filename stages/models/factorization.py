"""A history of items, and any other arrays, in; the scores of all items out: the factors of a row times those of items.

Two towers: a row's factor is the sum of what its arrays are encoded to, through hidden layers; an item's is learnt.
Without `hidden` this is a matrix factorization whose rows are made of the items they hold (Paterek 2007, "asymmetric
SVD"), so a new row needs no factor of its own. With `hidden: [tanh]` widths it is the denoising autoencoder of Wu et
al. 2016 and Liang et al. 2018, here trained to name the next items instead of the ones given.

Where items have columns, an item's factor, held and next, is its own plus what its columns are encoded to: an item of
few rows borrows from those like it (Vasile et al. 2016, "Meta-Prod2Vec"). The graph holds the sums, and no columns.
"""

import copy

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear as product
from torch.nn.functional import pad

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.problem import Catalogue, Problem
from stages.models import _items
from stages.models._dropout import Dropout
from stages.models._encoders import KINDS, encoder_of, width_of
from stages.models._held import held, held_mean
from stages.models._initialise import linear, output_linear
from stages.models._items import FIRST

TARGETS = _items.TARGETS
SUITS = KINDS


class Options(Section):
    """`hide` is the share of each history that a training step does not see: so the rest learns to speak for it."""

    width: int = Field(default=256, ge=1)
    hidden: list[int] = []
    activation: bool = True  # tanh of the row's factor, and of each hidden layer
    hide: float = Field(default=0.5, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Described(nn.Module):
    """→ [I, E]: what the columns of each item of the catalogue say of its factor."""

    def __init__(self, items: Catalogue, width: int, std: float) -> None:
        super().__init__()
        encoders = [encoder_of(spec, set_width=width, token_width=width) for spec in items.specs]
        self.encoders, self.names = nn.ModuleList(encoders), [f"array_{i}" for i in range(len(encoders))]
        for name, spec in zip(self.names, items.specs, strict=True):
            self.register_buffer(name, torch.from_numpy(items.arrays[spec.name]), persistent=False)
        self.out = nn.Linear(sum(map(width_of, encoders)), width, bias=False)
        nn.init.normal_(self.out.weight, std=std)

    def forward(self) -> Tensor:
        arrays = [getattr(self, name) for name in self.names]
        parts = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        factors_IE: Tensor = self.out(torch.cat(parts, 1))
        return factors_IE


class History(nn.Module):
    """int [B, W] → [B, E]: the sum of the held items' embeddings / √count; padding and unknown items add nothing."""

    def __init__(self, spec: ArraySpec, items: Catalogue, options: Options) -> None:
        super().__init__()
        self.width, self.hide = options.width, options.hide
        self.table = nn.Embedding(spec.size, self.width)
        nn.init.normal_(self.table.weight, std=self.width**-0.5)
        self.described = Described(items, self.width, self.width**-0.5) if items.specs else None

    def factors(self) -> Tensor:
        """[size, E]"""
        if self.described is None:
            return self.table.weight
        return self.table.weight + pad(self.described(), (0, 0, FIRST, 0))

    def forward(self, ids_BW: Tensor) -> Tensor:
        return held_mean(self.factors(), held(ids_BW, self.hide, self.training))


class Network(nn.Module):
    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__()
        width = options.width
        history = _items.history_of(problem)
        encoders = [
            History(spec, problem.items, options) if spec == history else tower_of(spec, options)
            for spec in problem.specs
        ]
        self.encoders = nn.ModuleList(encoders)
        self.bias = nn.Parameter(torch.zeros(width))
        layers: list[nn.Module] = []
        for size in options.hidden:
            layers += [*activation(options), Dropout(options.dropout), linear(width, size, "tanh")]
            width = size
        self.body = nn.Sequential(*layers, *activation(options), Dropout(options.dropout))
        self.items = output_linear(width, problem.num_outputs)
        self.described = Described(problem.items, width, 0.01) if problem.items.specs else None

    def factors(self) -> Tensor:
        """[I, E]: of each item as a next one."""
        return self.items.weight if self.described is None else self.items.weight + self.described()

    def forward(self, *arrays: Tensor) -> Tensor:
        parts = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        row_BE = self.body(self.bias + sum(parts[1:], parts[0]))
        scores_BI: Tensor = product(row_BE, self.factors(), self.items.bias)
        return scores_BI

    def fold(self) -> nn.Module:
        """The same scores from the items' summed factors alone: what is drawn."""
        if self.described is None:
            return self
        folded = copy.deepcopy(self)
        folded.items.weight.data, folded.described = self.factors().detach(), None
        for encoder in folded.encoders:
            if isinstance(encoder, History):
                encoder.table.weight.data, encoder.described = encoder.factors().detach(), None
        return folded


def activation(options: Options) -> list[nn.Module]:
    return [nn.Tanh()] if options.activation else []


def tower_of(spec: ArraySpec, options: Options) -> nn.Module:
    """An array's share of the row's factor, [B, width]."""
    encoder = encoder_of(spec, set_width=options.width, token_width=options.width)
    return nn.Sequential(encoder, linear(width_of(encoder), options.width, "tanh"))


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem, options)
