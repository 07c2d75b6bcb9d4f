"""Any mix of arrays in, a multi-layer perceptron over their concatenation out."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._layers import Concatenate, default_encoder, he_linear, output_linear

TARGETS = ("category", "number", "ranking")
SUITS = ("dense", "index", "set", "image")


class Options(Section):
    hidden: list[int] = Field(default=[64, 32])
    dropout: float = Field(default=0.1, ge=0, lt=1)
    set_width: int = Field(default=16, ge=1)


class Network(nn.Module):
    def __init__(self, specs: Sequence[ArraySpec], num_outputs: int, options: Options) -> None:
        super().__init__()
        self.inputs = Concatenate([default_encoder(spec, options.set_width) for spec in specs])
        layers: list[nn.Module] = []
        width = self.inputs.width
        for size in options.hidden:
            layers += [he_linear(width, size), nn.ReLU(), nn.Dropout(options.dropout)]
            width = size
        self.body = nn.Sequential(*layers)
        self.head = output_linear(width, num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        outputs_BC: Tensor = self.head(self.body(self.inputs(arrays)))
        return outputs_BC


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem.specs, problem.num_outputs, options)
