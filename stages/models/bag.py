"""Sets of hashed n-grams, tokens, and any other arrays, in; a linear layer over summed embeddings out.

Joulin et al. 2016, "Bag of tricks for efficient text classification" (fastText).
"""

from pydantic import Field
from torch import nn

from stages.contract.section import Section
from stages.core.problem import Problem
from stages.models._combine import Combined
from stages.models._combine import Options as Combining
from stages.models._encoders import KINDS, encoder_of

SUITS = KINDS
TARGETS = ("category", "number", "ranking")


class Options(Section):
    width: int = Field(default=16, ge=1)  # of an embedding
    dropout: float = Field(default=0.0, ge=0, lt=1)


def build(problem: Problem, options: Options) -> nn.Module:
    encoders = [encoder_of(spec, set_width=options.width, token_width=options.width) for spec in problem.specs]
    return Combined(encoders, problem.num_outputs, Combining(dropout=options.dropout))
