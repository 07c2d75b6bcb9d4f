"""Rows that an epoch leaves out: which, what the others weigh, and where each row's loss comes from."""

import math

import pytest
import torch
from pydantic import ValidationError

from stages.targets import category
from stages.training import Recipe
from stages.training.batches import Rows, batches
from stages.training.prune import prunes, shares_of, unknown_losses
from stages.training.step import Learner, gradient, row_losses


def test_only_rows_below_the_mean_loss_are_left_out_and_the_others_of_them_weigh_more():
    losses = torch.tensor([0.0, 1.0, 9.0, 0.5, 8.0] * 200)  # mean 3.7
    shares = shares_of(losses, 0.6, 1)
    assert set(shares[losses > 3.7].tolist()) == {1.0}
    assert set(shares[losses < 3.7].tolist()) == {0.0, 2.5}
    assert shares.mean() == pytest.approx(1.0, abs=0.1)  # the expected gradient is that of all rows


def test_another_epoch_leaves_out_other_rows():
    losses = torch.tensor([0.1, 0.1, 5.0] * 50)
    assert shares_of(losses, 0.5, 1).tolist() != shares_of(losses, 0.5, 2).tolist()
    assert shares_of(losses, 0.5, 1).tolist() == shares_of(losses, 0.5, 1).tolist()


def test_a_row_whose_loss_is_not_known_stays():
    assert shares_of(unknown_losses(5), 0.9, 1).tolist() == [1.0] * 5
    assert shares_of(torch.tensor([math.inf, 0.1, 0.9]), 0.999999, 1).tolist() == [1.0, 0.0, 1.0]


def test_the_first_epoch_and_the_last_eighth_see_every_row():
    assert [epoch for epoch in range(16) if not prunes(Recipe(epochs=16, prune=0.5), epoch)] == [0, 14, 15]
    assert not any(prunes(Recipe(epochs=16), epoch) for epoch in range(16))


@pytest.mark.parametrize("parts", [1, 3])
def test_each_rows_loss_is_its_own_cross_entropy(parts):
    torch.manual_seed(0)
    outputs, truth = torch.randn(6, 3, requires_grad=True), torch.tensor([0, 1, 2, 0, 1, 2])
    rows = Rows({"x": torch.arange(6), "target": truth}, torch.device("cpu"), shares=torch.tensor([1, 2, 0, 1, 2, 2.0]))

    def loss(outputs_BC, truth_B, weight_B):
        return category.loss({"type": "category"}, outputs_BC, truth_B, weight_B)

    learner = Learner(
        lambda x: outputs[x], loss, lambda truth_B, weight_B: weight_B, (), Recipe(), {}, None, torch.device("cpu"),
        [], [], False, parts,
    )  # fmt: skip
    (batch,) = batches(rows, [Spec()], 8, seed=0)
    mean = gradient(learner, batch, torch.Generator())
    wanted = torch.nn.functional.cross_entropy(outputs, truth, reduction="none").detach()
    assert sorted(batch.rows.tolist()) == [0, 1, 3, 4, 5]
    torch.testing.assert_close(row_losses(batch), wanted[batch.rows])
    torch.testing.assert_close(mean, (wanted[batch.rows] * rows.shares[batch.rows]).sum() / 8)


class Spec:
    """All that the batches ask of an array."""

    name, kind = "x", "index"


def test_leaving_rows_out_and_mixing_them_do_not_go_together():
    with pytest.raises(ValidationError, match="prune or mixup, not both"):
        Recipe(prune=0.5, mixup=0.2)
