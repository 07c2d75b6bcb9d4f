"""Any mix of arrays in, a multi-layer perceptron over their combination out.

For tables: residual blocks (Gorishniy et al. 2021), periodic embeddings of numbers (2022), an
ensemble in one network (TabM, 2025), and from RealMLP (Holzmüller et al. 2024) a scaling layer and
activations that learn their bend.
"""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.models._combine import Options as Combining
from stages.models._combine import combiner, plain_encoder
from stages.models._dropout import Dropout
from stages.models._encoders import KINDS, width_of
from stages.models._ensemble import MemberHeads, MemberLinear, Repeat
from stages.models._initialise import Activation, activation, linear, output_linear
from stages.models._numbers import Bent, Periodic, Scale

SUITS = KINDS
TARGETS = ("category", "number", "ranking")


class Options(Combining):
    hidden: list[int] = [64, 32]
    residual: bool = False  # each hidden layer becomes a block beside a shortcut
    normalise: Literal["none", "batch", "layer"] = "none"
    numbers: Literal["plain", "periodic"] = "plain"
    number_width: int = Field(default=8, ge=1)  # of a number's embedding
    frequencies: int = Field(default=16, ge=1)
    frequency_scale: float = Field(default=0.1, gt=0)  # deviation of the first frequencies: higher is less smooth
    scale: bool = False  # a learnt factor for each unit that enters
    bend: bool = False  # each unit learns how much of its activation it takes
    ensemble: int = Field(default=1, ge=1)  # members that share the weight matrices

    @model_validator(mode="after")
    def _norm_of_members(self) -> Self:
        if self.ensemble > 1 and self.normalise == "batch":
            raise ValueError("normalise: layer, or none, where ensemble is above 1")
        return self


def layer_of(inputs: int, outputs: int, name: Activation | None, options: Options) -> nn.Module:
    if options.ensemble > 1:
        return MemberLinear(inputs, outputs, name, options.ensemble)
    return linear(inputs, outputs, name)


def norm_of(width: int, options: Options) -> list[nn.Module]:
    if options.normalise == "none":
        return []
    return [nn.BatchNorm1d(width) if options.normalise == "batch" else nn.LayerNorm(width)]


def bent(width: int, options: Options) -> nn.Module:
    return Bent(width, options.activation) if options.bend else activation(options.activation)


def plain(inputs: int, outputs: int, options: Options) -> nn.Sequential:
    return nn.Sequential(
        layer_of(inputs, outputs, options.activation, options),
        *norm_of(outputs, options),
        bent(outputs, options),
        Dropout(options.dropout),
    )


class Residual(nn.Module):
    """Norm, linear, activation, dropout, linear, beside a shortcut; the last layer starts at 0."""

    def __init__(self, inputs: int, outputs: int, options: Options) -> None:
        super().__init__()
        self.shortcut = layer_of(inputs, outputs, None, options) if inputs != outputs else nn.Identity()
        last = layer_of(outputs, outputs, None, options)
        nn.init.zeros_(last.shared.weight if isinstance(last, MemberLinear) else last.weight)  # type: ignore[arg-type]
        self.body = nn.Sequential(
            *norm_of(outputs, options),
            layer_of(outputs, outputs, options.activation, options),
            bent(outputs, options),
            Dropout(options.dropout),
            last,
        )

    def forward(self, units: Tensor) -> Tensor:
        straight = self.shortcut(units)
        joined: Tensor = straight + self.body(straight)
        return joined


class Network(nn.Module):
    """In training an ensemble of K gives [B, K, C], a loss each; afterwards their mean [B, C]."""

    def __init__(self, problem: Problem, options: Options) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoder_of(spec, options) for spec in problem.specs)
        self.combine = combiner(list(self.encoders), options)
        width, many = width_of(self.combine), options.ensemble > 1
        layers: list[nn.Module] = [Scale(width)] if options.scale else []
        layers += [Repeat(width, options.ensemble)] if many else []
        for size in options.hidden:
            layers.append(Residual(width, size, options) if options.residual else plain(width, size, options))
            width = size
        if options.residual:
            layers += [*norm_of(width, options), bent(width, options)]
        self.body, self.many, num_outputs = nn.Sequential(*layers), many, problem.num_outputs
        self.head = MemberHeads(width, num_outputs, options.ensemble) if many else output_linear(width, num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        parts = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        outputs: Tensor = self.head(self.body(self.combine(parts)))
        return outputs.mean(1) if self.many and not self.training else outputs


def encoder_of(spec: ArraySpec, options: Options) -> nn.Module:
    if spec.kind == "dense" and options.numbers == "periodic":
        return Periodic(
            spec, frequencies=options.frequencies, scale=options.frequency_scale, width=options.number_width
        )
    return plain_encoder(spec, options)


def build(problem: Problem, options: Options) -> nn.Module:
    return Network(problem, options)
