"""Our own dropout: torch's, but for the time that it takes to draw."""

import pytest
import torch

from stages.models._dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_so_many_units_are_dropped_and_the_others_scaled_up(p):
    torch.manual_seed(0)
    units = torch.full((1000, 301), 3.0)  # no multiple of four
    found = Dropout(p)(units)
    dropped = found == 0
    assert float(dropped.float().mean()) == pytest.approx(p, abs=0.005)
    torch.testing.assert_close(found[~dropped], torch.full_like(found[~dropped], 3.0 / (1 - p)))
    assert float(dropped.float().mean(0).std()) < 0.03  # no column more often than others


def test_each_draw_is_another_and_a_seed_repeats_it():
    layer, units = Dropout(0.5), torch.ones(64, 64)
    torch.manual_seed(1)
    first, second = layer(units), layer(units)
    torch.manual_seed(1)
    assert torch.equal(layer(units), first)
    assert not torch.equal(first, second)


def test_neighbours_are_dropped_apart():
    """Four masks come of one draw; each has bits of its own."""
    torch.manual_seed(2)
    kept = (Dropout(0.5)(torch.ones(4000, 4)) > 0).float()
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 0.06


def test_what_is_dropped_has_no_gradient():
    units = torch.ones(50, 3, requires_grad=True)
    found = Dropout(0.4)(units)
    found.sum().backward()
    torch.testing.assert_close(units.grad, found.detach())


def test_units_keep_their_shape_and_type():
    units = torch.ones(2, 3, 5, dtype=torch.bfloat16)
    found = Dropout(0.5)(units)
    assert found.shape == units.shape
    assert found.dtype == torch.bfloat16
    assert Dropout(0.5)(torch.ones(0, 3)).shape == (0, 3)


def test_in_use_and_at_a_chance_of_0_nothing_changes():
    units = torch.randn(5, 7)
    assert Dropout(0.5).eval()(units) is units
    assert Dropout(0.0)(units) is units
