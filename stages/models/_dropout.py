"""Dropout (Srivastava et al. 2014) that costs a CPU little: torch's draws its mask one number after another."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

LEVELS = 1 << 16  # of an int16: four masks come of each 64 random bits


class Dropout(nn.Module):
    """In training each unit is 0 with the chance `p`, to the nearest of 65,536 levels, and scaled up otherwise."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, units: Tensor) -> Tensor:
        if not self.training or not self.p:
            return units
        if units.device.type != "cpu":
            return dropout(units, self.p)
        size = units.numel()
        draws = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:size]
        kept = draws.ge_(round(self.p * LEVELS) - LEVELS // 2).to(units.dtype).mul_(1 / (1 - self.p))
        return units * kept.view(units.shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"
