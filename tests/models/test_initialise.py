"""First weights: what they are, and what they do to a signal."""

import pytest
import torch

from stages.models import _initialise
from stages.models._combine import Dot, Gated
from stages.models._encoders import Dense
from stages.models._numbers import Periodic
from stages.models._recurrent import Recurrent, turned
from stages.models.resnet import Block


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(11)


@pytest.mark.parametrize(("name", "layers"), [("relu", 6), ("gelu", 2), ("silu", 2)])
def test_a_signal_keeps_its_mean_square_from_layer_to_layer(name, layers):
    """He's argument: relu halves it and weights of variance 2 / n double it; each smooth one has its own factor."""
    signal = torch.randn(500, 400)
    with torch.no_grad():
        for _ in range(layers):
            signal = _initialise.linear(400, 400, name)(_initialise.activation(name)(signal))
    assert float(signal.pow(2).mean()) == pytest.approx(1.0, rel=0.25)


def test_weights_before_relu_are_he_s_and_before_sigmoid_xavier_s():
    layers = [_initialise.linear(400, 100, name) for name in ("relu", "sigmoid", "tanh", None)]
    layers += [_initialise.convolution(16, 64, 3), _initialise.output_linear(400, 100)]
    expected = [(2 / 400) ** 0.5, (2 / 500) ** 0.5, (2 / 500) ** 0.5, 400**-0.5, (2 / (9 * 64)) ** 0.5, 0.01]
    assert [float(layer.weight.detach().std()) for layer in layers] == pytest.approx(expected, rel=0.03)
    assert all(not layer.bias.any() for layer in layers if layer.bias is not None)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_the_gain_of_a_smooth_activation_is_one_over_its_root_mean_square(name):
    found = _initialise.activation(name)(torch.randn(2_000_000)).pow(2).mean() ** -0.5
    assert float(found) == pytest.approx(_initialise.GAINS[name], rel=0.003)


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4)])
def test_recurrent_matrices_are_orthogonal_and_an_lstm_starts_out_remembering(cell, gates):
    layer = Recurrent(6, 8, cell, layers=1, directions=1, dropout=0.0).layers[0].layer
    for matrix in layer.weight_hh_l0.split(8):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(8), atol=1e-5, rtol=0)
    assert len(layer.weight_hh_l0) == gates * 8
    expected = torch.zeros(gates * 8)
    if cell == "lstm":
        expected[8:16] = 1.0
    torch.testing.assert_close(layer.bias_ih_l0 + layer.bias_hh_l0, expected)


def test_a_residual_block_is_at_first_the_identity():
    block = Block(8, 8, stride=(1, 1), drop=0.0, squeeze=False, name="relu").eval()
    signal = torch.rand(3, 8, 5, 5)
    torch.testing.assert_close(block(signal), signal)


def test_live_steps_are_turned_round_and_padding_stays():
    steps = torch.tensor([[1.0, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0], [5, 6, 7, 8]])
    found = turned(steps.unsqueeze(-1), steps > 0).squeeze(-1)
    assert found.tolist() == [[3, 2, 1, 0], [4, 0, 0, 0], [0, 0, 0, 0], [8, 7, 6, 5]]


def test_both_directions_are_what_torch_gives_for_packed_sequences():
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    ours = Recurrent(4, 5, "lstm", layers=1, directions=2, dropout=0.0)
    torchs = torch.nn.LSTM(4, 5, batch_first=True, bidirectional=True)
    for suffix, direction in zip(("", "_reverse"), ours.layers, strict=True):
        for name, parameter in direction.layer.named_parameters():
            getattr(torchs, name + suffix).data.copy_(parameter)
    steps, lengths = torch.randn(3, 6, 4), torch.tensor([6, 2, 4])
    live = torch.arange(6) < lengths[:, None]
    packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(torchs(packed)[0], batch_first=True)[0]
    torch.testing.assert_close(ours(steps, live), expected)


def test_gates_start_as_a_plain_mean_of_the_parts():
    dense = [type("Part", (Dense,), {"__init__": lambda self: torch.nn.Module.__init__(self)})() for _ in range(2)]
    for part, width in zip(dense, (3, 4), strict=True):
        part.width = width
    gated, dot, parts = Gated(dense, 6), Dot(dense, 6), [torch.randn(5, 3), torch.randn(5, 4)]
    torch.nn.init.zeros_(gated.gate.weight)
    torch.testing.assert_close(gated(parts), torch.tanh(gated.projected(parts)).mean(1))
    left, right = dot.projected(parts).unbind(1)
    expected = torch.cat([left, right, (left * right).sum(1, keepdim=True) / 6**0.5], 1)
    torch.testing.assert_close(dot(parts), expected)


def test_periodic_embeddings_are_what_the_paper_writes():
    from stages.core.arrays import ArraySpec

    layer = Periodic(ArraySpec("d", "dense", ("a", "b"), 2), frequencies=3, scale=1.0, width=4)
    numbers = torch.tensor([[0.5, -1.0]])
    found = layer(numbers)
    assert found.shape == (1, 2 * 5)
    assert found[0, :2].tolist() == [0.5, -1.0]
    for place in (0, 1):
        angles = 2 * torch.pi * numbers[0, place] * layer.frequencies[place]
        expected = torch.relu(torch.cat([angles.cos(), angles.sin()]) @ layer.weight[place] + layer.bias[place])
        torch.testing.assert_close(found[0, 2 + 4 * place : 6 + 4 * place], expected)
