"""What a network is computed in: bfloat16 where it is asked for and the device has it."""

import pytest
import torch

from stages.training import devices
from stages.training.devices import processor_is_short, short_type, shortened

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("precision", "device", "able", "wanted"),
    [
        ("auto", GPU, False, torch.bfloat16),
        ("bfloat16", GPU, False, torch.bfloat16),
        ("float32", GPU, True, None),
        ("auto", CPU, True, None),  # the same result on every processor, unless asked for another
        ("bfloat16", CPU, True, torch.bfloat16),
        ("bfloat16", CPU, False, None),
        ("float32", CPU, True, None),
    ],
)
def test_bfloat16_where_it_is_asked_for_and_pays(precision, device, able, wanted, monkeypatch):
    monkeypatch.setattr(devices, "processor_is_short", lambda: able)
    assert short_type(precision, device) == wanted


@pytest.mark.parametrize(
    ("instructions", "able"), [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)]
)
def test_a_processor_is_asked_for_its_instructions(instructions, able, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert processor_is_short() is able


def test_only_products_are_computed_in_bfloat16():
    layer, rows = torch.nn.Linear(4, 3), torch.randn(5, 4)
    with shortened(CPU, torch.bfloat16):
        assert layer(rows).dtype == torch.bfloat16
        assert rows.sum().dtype == torch.float32
    with shortened(CPU, None):
        assert layer(rows).dtype == torch.float32
