"""A layer's sizes and a number of members in, one layer that serves them all out.

TabM (Gorishniy et al. 2025): members share each weight matrix and differ in the factors of its
inputs and outputs (BatchEnsemble, Wen et al. 2020), in biases, and in the last layer. In training
each member has its own loss: the network then returns [B, K, C], and the loop averages the losses.
Shapes: B rows, K members, D units, C outputs.
"""

import torch
from torch import Tensor, nn

from stages.models._initialise import Activation, linear


class Repeat(nn.Module):
    """[B, D] → [B, K, D], each member with its own signs: what makes them differ from the start."""

    def __init__(self, width: int, members: int) -> None:
        super().__init__()
        self.shape = (members, width)
        signs = torch.randint(0, 2, (members * width,)) * 2.0 - 1.0
        self.factors = nn.Parameter(signs)  # flat: the loop shrinks no vectors

    def forward(self, units_BD: Tensor) -> Tensor:
        return units_BD.unsqueeze(1) * self.factors.reshape(self.shape)


class MemberLinear(nn.Module):
    """[B, K, D] → [B, K, E]"""

    def __init__(self, inputs: int, outputs: int, name: Activation | None, members: int) -> None:
        super().__init__()
        self.shape = (members, outputs)
        self.shared = linear(inputs, outputs, name, bias=False)
        self.factors = nn.Parameter(torch.ones(members * outputs))
        self.bias = nn.Parameter(torch.zeros(members * outputs))

    def forward(self, units_BKD: Tensor) -> Tensor:
        mixed_BKE: Tensor = self.shared(units_BKD)
        return mixed_BKE * self.factors.reshape(self.shape) + self.bias.reshape(self.shape)


class MemberHeads(nn.Module):
    """[B, K, D] → [B, K, C]: a last layer for each member."""

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.shape = (members, outputs)
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs) * 0.01)
        self.bias = nn.Parameter(torch.zeros(members * outputs))

    def forward(self, units_BKD: Tensor) -> Tensor:
        # as a batched product onnxruntime would divide by 0 rows, and die
        outputs_BKC = torch.einsum("bkd,kdc->bkc", units_BKD, self.weight)
        return outputs_BKC + self.bias.reshape(self.shape)
