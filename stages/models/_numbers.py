"""Numbers in, what a network of tables can read more of out.

Shapes: B rows, D numbers, K frequencies, E embedding width.
"""

import math

import torch
from torch import Tensor, nn

from stages.core.arrays import ArraySpec
from stages.models._initialise import Activation, activation


class Periodic(nn.Module):
    """float [B, D] → [B, D·(E + 1)]: each number, and relu(linear(sin, cos)) of it (PLR, Gorishniy et al. 2022).

    The number itself stays beside its embedding, as in RealMLP (Holzmüller et al. 2024).
    """

    def __init__(self, spec: ArraySpec, *, frequencies: int, scale: float, width: int) -> None:
        super().__init__()
        self.width = spec.size * (width + 1)
        self.frequencies = nn.Parameter(torch.randn(spec.size, frequencies) * scale)
        self.weight = nn.Parameter(torch.randn(spec.size, 2 * frequencies, width) * (1 / frequencies) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(spec.size, width))

    def forward(self, numbers_BD: Tensor) -> Tensor:
        angles_BDK = 2 * math.pi * numbers_BD.unsqueeze(-1) * self.frequencies
        waves_BDK = torch.cat([angles_BDK.cos(), angles_BDK.sin()], -1)
        # as a batched product onnxruntime would divide by 0 rows, and die
        embedded_BDE = torch.relu(torch.einsum("bdk,dke->bde", waves_BDK, self.weight) + self.bias)
        return torch.cat([numbers_BD, embedded_BDE.flatten(1)], 1)


class Scale(nn.Module):
    """[B, D] → the same, each unit by a learnt factor: a soft choice of inputs (RealMLP)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(width))

    def forward(self, units_BD: Tensor) -> Tensor:
        return units_BD * self.factors


class Bent(nn.Module):
    """x + α (f(x) - x): each unit learns how much of its activation it takes (RealMLP); α starts at 1."""

    def __init__(self, width: int, name: Activation) -> None:
        super().__init__()
        self.function = activation(name, inplace=False)
        self.share = nn.Parameter(torch.ones(width))

    def forward(self, units: Tensor) -> Tensor:
        bent: Tensor = units + self.share * (self.function(units) - units)
        return bent
