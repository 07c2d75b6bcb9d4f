"""Sets of hashed n-grams, and any other arrays, in; a linear layer over summed embeddings out.

Joulin et al. 2016, "Bag of tricks for efficient text classification" (fastText).
"""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._layers import Concatenate, default_encoder, output_linear

TARGETS = ("category", "number", "ranking")
SUITS = ("dense", "index", "set", "image")


class Options(Section):
    width: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Network(nn.Module):
    def __init__(self, specs: Sequence[ArraySpec], num_outputs: int, options: Options) -> None:
        super().__init__()
        self.inputs = Concatenate([default_encoder(spec, options.width) for spec in specs])
        self.dropout = nn.Dropout(options.dropout)
        self.head = output_linear(self.inputs.width, num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        outputs_BC: Tensor = self.head(self.dropout(self.inputs(arrays)))
        return outputs_BC


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem.specs, problem.num_outputs, options)
