"""Arrays, each with its encoder, in; one vector a row, and from it the outputs, out.

Shapes: B rows, P parts (one an array), D common width, C outputs.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.models._dropout import Dropout
from stages.models._encoders import Pooling, encoder_of, total_width, width_of
from stages.models._initialise import Activation, activation, linear, output_linear

Combine = Literal["concat", "gated", "dot"]


class Options(Section):
    """What a network declares that takes any mix of arrays; parent of the networks' own options."""

    set_width: int = Field(default=16, ge=1)  # of a set's embedding
    token_width: int = Field(default=32, ge=1)  # of a token's embedding
    pooling: Pooling = "mean"  # of tokens, where the network does not read them in order
    combine: Combine = "concat"
    combine_width: int = Field(default=32, ge=1)  # of each part, where gated or dot
    hidden: list[int] = []  # layers between the combined parts and the outputs
    activation: Activation = "relu"
    dropout: float = Field(default=0.1, ge=0, lt=1)


def plain_encoder(spec: ArraySpec, options: Options) -> nn.Module:
    return encoder_of(spec, set_width=options.set_width, token_width=options.token_width, pooling=options.pooling)


class Concat(nn.Module):
    """Parts side by side."""

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.width = total_width(encoders)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), 1)


class Projected(nn.Module):
    """Parts of any widths → [B, P, D]: a linear layer for each."""

    def __init__(self, encoders: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(width_of(encoder), width, None) for encoder in encoders)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.stack([layer(part) for layer, part in zip(self.layers, parts, strict=True)], 1)


class Gated(nn.Module):
    """Each unit a mean of the parts, weighed by all parts together (gated multimodal unit, Arevalo et al. 2017)."""

    def __init__(self, encoders: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.projected, self.parts, self.width = Projected(encoders, width), len(encoders), width
        self.gate = output_linear(total_width(encoders), len(encoders) * width)  # starts as a plain mean

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        gate_BPD = self.gate(torch.cat(list(parts), 1)).unflatten(1, (self.parts, self.width)).softmax(1)
        mean: Tensor = (gate_BPD * torch.tanh(self.projected(parts))).sum(1)
        return mean


class Dot(nn.Module):
    """Parts, and the product of each pair of them / √D (DLRM, Naumov et al. 2019)."""

    first: Tensor
    second: Tensor

    def __init__(self, encoders: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.projected, self.scale = Projected(encoders, width), width**-0.5
        first, second = torch.triu_indices(len(encoders), len(encoders), 1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.width = len(encoders) * width + len(first)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        parts_BPD = self.projected(parts)
        products = (parts_BPD[:, self.first] * parts_BPD[:, self.second]).sum(2) * self.scale
        return torch.cat([parts_BPD.flatten(1), products], 1)


def combiner(encoders: Sequence[nn.Module], options: Options) -> nn.Module:
    """One part alone is taken as it is."""
    if options.combine == "concat" or len(encoders) < 2:
        return Concat(encoders)
    return (Gated if options.combine == "gated" else Dot)(encoders, options.combine_width)


class Combined(nn.Module):
    """Encoders, combiner, hidden layers and a last one: the shape of every network that encodes array by array."""

    def __init__(self, encoders: Sequence[nn.Module], num_outputs: int, options: Options) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.combine = combiner(encoders, options)
        layers: list[nn.Module] = []
        width = width_of(self.combine)
        for size in options.hidden:
            layers += [linear(width, size, options.activation), activation(options.activation)]
            layers.append(Dropout(options.dropout))
            width = size
        self.hidden = nn.Sequential(*layers or [Dropout(options.dropout)])
        self.head = output_linear(width, num_outputs)

    def forward(self, *arrays: Tensor) -> Tensor:
        parts = [encoder(array) for encoder, array in zip(self.encoders, arrays, strict=True)]
        outputs_BC: Tensor = self.head(self.hidden(self.combine(parts)))
        return outputs_BC
