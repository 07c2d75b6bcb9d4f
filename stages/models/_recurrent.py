"""Steps of a sequence and which of them are live in, a recurrent layer's state at each out.

torch's packed sequences do not export, so torch runs over the padding and what comes after the end
is set to 0; a sequence is read backwards by turning its live part round. The graph has ONNX's own
GRU or LSTM with the lengths. Shapes: B rows, T steps, D units, H states, G gates.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from stages.models._dropout import Dropout
from stages.models._initialise import first_recurrent_weights

Cell = Literal["gru", "lstm"]
ORDER = {"gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}  # of ONNX's gates among torch's: z r h, and i o f c


class Direction(nn.Module):
    """[B, T, D] → [B, T, H], read from one end; 0 after a sequence's end."""

    def __init__(self, inputs: int, size: int, cell: Cell, *, backwards: bool) -> None:
        super().__init__()
        self.kind, self.backwards, self.size = cell, backwards, size
        self.layer: nn.RNNBase = (nn.GRU if cell == "gru" else nn.LSTM)(inputs, size, batch_first=True)
        first_recurrent_weights(self.layer)

    def forward(self, steps_BTD: Tensor, live_BT: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return self.drawn(steps_BTD, live_BT)
        if self.backwards:
            steps_BTD = turned(steps_BTD, live_BT)
        states_BTH: Tensor = self.layer(steps_BTD)[0]
        if self.backwards:
            states_BTH = turned(states_BTH, live_BT)
        return states_BTH * live_BT.unsqueeze(-1)

    def gates(self, name: str) -> Tensor:
        """A parameter with its gates in ONNX's order."""
        parameter: Tensor = getattr(self.layer, f"{name}_l0")
        gates_G = parameter.reshape(-1, self.size, *parameter.shape[1:])
        return gates_G[ORDER[self.kind]].flatten(0, 1)

    def drawn(self, steps_BTD: Tensor, live_BT: Tensor) -> Tensor:
        """The same as one ONNX operator; onnxruntime dies of 0 rows or steps, so it is then given one of zeros."""
        batch, length, _ = steps_BTD.shape
        steps_TBD = steps_BTD.transpose(0, 1)
        true_TB = draw("Shape", [steps_TBD], {"start": 0, "end": 2}, [2], torch.int64)
        lacking = torch.cat([torch.zeros_like(true_TB), torch.zeros_like(true_TB[:1]), (true_TB < 1).long()])
        steps_TBD = draw("Pad", [steps_TBD, pad(lacking, (0, 1))], {}, list(steps_TBD.shape))
        lengths_B = draw("Pad", [live_BT.sum(1), lacking[[0, 4]]], {}, [batch], torch.int64).to(torch.int32)
        attributes: dict[str, Any] = {
            "hidden_size": self.size,
            "direction": "reverse" if self.backwards else "forward",
            **({"linear_before_reset": 1} if self.kind == "gru" else {}),
        }
        weights = [self.gates("weight_ih"), self.gates("weight_hh")]
        weights.append(torch.cat([self.gates("bias_ih"), self.gates("bias_hh")]))
        states_T1BH = draw(
            self.kind.upper(), [steps_TBD, *(weight.unsqueeze(0) for weight in weights), lengths_B], attributes,
            [length, 1, batch, self.size],
        )  # fmt: skip
        axes, start = torch.tensor([0, 2]), torch.zeros_like(true_TB)
        return draw("Slice", [states_T1BH, start, true_TB, axes], {}, list(states_T1BH.shape))[:, 0].transpose(0, 1)


def draw(
    operator: str,
    inputs: list[Tensor],
    attributes: dict[str, Any],
    shape: list[Any],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """An ONNX operator as it is: torch's export holds a batch for 2 rows or more, and would leave out the rest."""
    drawn: Tensor = torch.onnx.ops.symbolic(operator, inputs, attributes, dtype=dtype, shape=shape, version=20)
    return drawn


def turned(steps_BTD: Tensor, live_BT: Tensor) -> Tensor:
    """Each row's live steps in reverse; its padding stays at the end."""
    place_T = torch.arange(steps_BTD.shape[1], device=steps_BTD.device)
    source_BT = torch.where(live_BT, live_BT.sum(1, keepdim=True) - 1 - place_T, place_T)
    return steps_BTD.gather(1, source_BT.unsqueeze(-1).expand_as(steps_BTD))


class Recurrent(nn.Module):
    """[B, T, D] → [B, T, width]: layers, each of one direction or two side by side."""

    def __init__(self, inputs: int, size: int, cell: Cell, *, layers: int, directions: int, dropout: float) -> None:
        super().__init__()
        self.width, self.directions = size * directions, directions
        self.layers = nn.ModuleList(
            Direction(self.width if number else inputs, size, cell, backwards=bool(backwards))
            for number in range(layers)
            for backwards in range(directions)
        )
        self.dropout = Dropout(dropout)

    def forward(self, steps_BTD: Tensor, live_BT: Tensor) -> Tensor:
        for number in range(0, len(self.layers), self.directions):
            level = list(self.layers)[number : number + self.directions]
            inputs = self.dropout(steps_BTD) if number else steps_BTD
            steps_BTD = torch.cat([direction(inputs, live_BT) for direction in level], -1)
        return steps_BTD
