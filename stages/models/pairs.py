"""A history of items in, the scores of all items out: one learnt number for each pair of an item held and one next.

The softmax twin of `ridge`, trained by the loop: multinomial logistic regression of next on past items, and a bias an
item. Plain gradient descent with momentum suits it, at a learning rate of 10 to 50: the table starts at 0, so that
pairs seen often are learnt first, and few epochs are its penalty. AdamW steps as far for a pair seen once.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.problem import Problem
from stages.models import _items
from stages.models._held import held, held_mean

TARGETS = _items.TARGETS
SUITS = _items.SUITS


class Options(Section):
    """`hide` is the share of each history that a training step does not see."""

    hide: float = Field(default=0.0, ge=0, lt=1)


class Network(nn.Module):
    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__()
        history = _items.history_of(problem)
        self.place, self.hide = problem.specs.index(history), options.hide
        self.table = nn.Parameter(torch.zeros(history.size, problem.num_outputs))
        self.bias = nn.Parameter(torch.zeros(problem.num_outputs))

    def forward(self, *arrays: Tensor) -> Tensor:
        held_BW = held(arrays[self.place], self.hide, self.training)
        return held_mean(self.table, held_BW) + self.bias


def build(problem: Problem, options: Options) -> nn.Module:
    _items.check_square(problem, "pairs")
    return Network(problem, options)
