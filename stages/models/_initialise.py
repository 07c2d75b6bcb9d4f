"""A layer's sizes and its activation in, the layer with first weights that suit it out.

relu, gelu, silu: He et al. (2015), a deviation that keeps the mean square of a signal from layer to
layer. sigmoid, tanh: Xavier (Glorot & Bengio 2010). Recurrent matrices: orthogonal (Saxe et al.
2014). Last layers: small, so that the first predictions are near uniform.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "gelu", "silu", "sigmoid", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
# 1 / √E f(z)² of a standard normal z: He's √2 for relu, and the same argument for the smooth ones
GAINS = {"relu": 2**0.5, "gelu": 1.5335, "silu": 1.6768}


def activation(name: Activation, *, inplace: bool = True) -> nn.Module:
    return nn.ReLU(inplace) if name == "relu" else ACTIVATIONS[name]()


def first_weights(weight: Tensor, name: Activation | None, *, fan: str = "fan_in") -> None:
    """Weights of a layer before the activation `name`; before none they keep the signal as it is."""
    if name in ("sigmoid", "tanh"):
        nn.init.xavier_normal_(weight)
        return
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    size = fan_in if fan == "fan_in" else fan_out
    nn.init.normal_(weight, std=GAINS.get(name or "", 1.0) / max(size, 1) ** 0.5)


def linear(inputs: int, outputs: int, name: Activation | None = "relu", *, bias: bool = True) -> nn.Linear:
    """A layer before the activation `name`."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    first_weights(layer.weight, name)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def output_linear(inputs: int, outputs: int) -> nn.Linear:
    """A last layer, started small so that the first predictions are near uniform."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def convolution(
    inputs: int, outputs: int, side: int, *, stride: int | tuple[int, int] = 1,
    padding: int | None = None, groups: int = 1, bias: bool = False, name: Activation | None = "relu",
) -> nn.Conv2d:  # fmt: skip
    """A convolution before the activation `name`; the padding keeps the size of the picture if not given."""
    padding = side // 2 if padding is None else padding
    layer = nn.Conv2d(inputs, outputs, side, stride, padding, groups=groups, bias=bias)
    first_weights(layer.weight, name, fan="fan_out")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def first_recurrent_weights(layer: nn.RNNBase) -> None:
    """Each gate's own square matrix orthogonal, what reads the input as Xavier; an LSTM starts out remembering."""
    size = layer.hidden_size
    for name, weight in layer.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(weight)
            if isinstance(layer, nn.LSTM) and "_ih_" in name:
                with torch.no_grad():  # gates: input, forget, cell, output (Jozefowicz et al. 2015)
                    weight[size : 2 * size] = 1.0
            continue
        first = nn.init.orthogonal_ if "_hh_" in name else nn.init.xavier_uniform_
        for gate in torch.split(weight.detach(), size):
            first(gate)
