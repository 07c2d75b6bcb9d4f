"""One step: a batch in parts, weights of rows, memory that does not suffice."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError, TrainingError
from stages.targets import category
from stages.training.augment import mix
from stages.training.batches import Batch
from stages.training.recipe import Recipe
from stages.training.run import Run, require_sound
from stages.training.step import follow, gradient, learner_of, row_losses

CPU = torch.device("cpu")
SPECS = (ArraySpec("encoded.dense", "dense", ("a", "b", "c"), 3),)
STATE = {"type": "category", "column": "y", "classes": ["n", "y"], "positive": 1, "counts": [1, 1]}


class Problem:
    specs, target, state = SPECS, category, STATE


def batch_of(num_rows=10, weighted=False):
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(num_rows, 3, generator=draw)
    weight = torch.rand(num_rows, generator=draw) * (torch.arange(num_rows) % 3 > 0) if weighted else None
    truth = torch.randint(0, 2, (num_rows,), generator=draw)
    return Batch([inputs], truth, weight, float(num_rows if weight is None else weight.sum()))


def network(norm=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4) if norm else nn.Tanh(), nn.Linear(4, 2))


def gradients(net, batch, **recipe):
    learner = learner_of(net, Problem, Recipe(**recipe), {}, CPU, steps=1)
    loss = gradient(learner, batch, torch.Generator().manual_seed(7))
    return float(loss), [weight.grad.clone() for weight in net.parameters()], learner


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("parts", [2, 3, 10, 64])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(parts, weighted, mixup):
    batch, recipe = batch_of(weighted=weighted), {"label_smoothing": 0.1, "mixup": mixup}
    loss, whole, _ = gradients(network(), batch, **recipe)
    same_loss, summed, _ = gradients(network(), batch, accumulate=parts, **recipe)
    assert abs(loss - same_loss) < 1e-6
    for a, b in zip(whole, summed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_parts_of_a_batch_whose_classes_are_weighted_give_its_gradient_too():
    class Weighted(Problem):
        state = {**STATE, "class_weight": [0.2, 3.0]}

    found = []
    for parts in (1, 4):
        net = network()
        learner = learner_of(net, Weighted, Recipe(accumulate=parts), {}, CPU, steps=1)
        loss = gradient(learner, batch_of(weighted=True), torch.Generator())
        found.append([loss, *(weight.grad for weight in net.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_batch_normalisation_never_sees_a_part_of_one_row():
    gradients(network(norm=True), batch_of(5), accumulate=5)  # torch itself refuses one row


def test_rows_that_weigh_nothing_pull_nowhere():
    batch = batch_of()
    batch = batch._replace(weight=torch.zeros(10), total=0.0)
    loss, found, _ = gradients(network(), batch)
    assert loss == 0.0
    assert all(not gradient.any() for gradient in found)


class Small(nn.Module):
    """A network on a device whose memory holds `rows` rows of a batch."""

    def __init__(self, rows, norm=False):
        super().__init__()
        self.rows, self.inside, self.tried = rows, network(norm), []

    def forward(self, inputs):
        self.tried.append(len(inputs))
        if len(inputs) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.inside(inputs)


def test_a_gpu_that_holds_a_part_of_a_batch_learns_the_same():
    small = Small(3)
    loss, summed, learner = gradients(small, batch_of())
    assert small.tried == [10, 5, 3, 3, 2, 2]
    assert learner.parts == 4, "the next batch is not tried in vain"
    whole_loss, whole, _ = gradients(network(), batch_of())
    assert abs(loss - whole_loss) < 1e-6
    for a, b in zip(whole, summed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


class Late(Small):
    """Memory runs out in the last part, when others have left their gradients already."""

    def forward(self, inputs):
        self.tried.append(len(inputs))
        if len(self.tried) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inside(inputs)


def test_what_a_failed_try_left_of_a_gradient_is_forgotten():
    _, found, _ = gradients(Late(3), batch_of(), accumulate=2)
    _, whole, _ = gradients(network(), batch_of())
    for a, b in zip(whole, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_what_a_failed_try_left_of_the_rows_losses_is_forgotten():
    found = []
    for net in (network(), Late(3)):
        batch = batch_of(weighted=True)._replace(rows=torch.arange(10))
        gradients(net, batch, accumulate=2)
        found.append(row_losses(batch))
    torch.testing.assert_close(*found)


def test_a_gpu_too_small_for_batch_normalisation_names_the_cure():
    with pytest.raises(
        TrainingError,
        match=r"a batch does not fit in the GPU's memory\. Lower train\.batch_size \(now 256\), or raise "
        r"train\.accumulate \(now 1\).*batch normalisation forbids",
    ):
        gradients(Small(3, norm=True), batch_of())


def test_a_gpu_too_small_for_one_row_says_so():
    with pytest.raises(TrainingError, match=r"one row at a time does not fit in the GPU's memory: CUDA out of memory"):
        gradients(Small(0), batch_of())


class Greedy(nn.Module):
    def forward(self, inputs):
        return torch.empty(1 << 60)


def test_a_cpu_out_of_memory_names_the_cure():
    with pytest.raises(TrainingError, match=r"a batch does not fit in memory\. Lower train\.batch_size \(now 256\)"):
        gradients(Greedy(), batch_of())


def test_another_fault_of_a_network_is_not_hidden():
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        gradients(nn.Linear(7, 2), batch_of())


def test_mixup_blends_numbers_and_pictures_and_takes_categories_from_the_partner():
    specs = [
        SPECS[0], ArraySpec("i", "index", ("d",), 50), ArraySpec("p", "image", ("f",), 4, (1, 2, 2), (0.5,), (0.5,))
    ]  # fmt: skip
    dense = torch.arange(12.0).reshape(4, 3)
    pictures = torch.arange(16, dtype=torch.uint8).reshape(4, 1, 2, 2)
    index = torch.tensor([10, 20, 30, 40])
    mixed, partner, share = mix([dense, index, pictures], specs, 0.5, torch.Generator().manual_seed(3))
    assert 0 < share < 1
    assert sorted(partner.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(mixed[0], share * dense + (1 - share) * dense[partner])
    torch.testing.assert_close(mixed[2], share * pictures.float() + (1 - share) * pictures[partner].float())
    assert all(new in (own, other) for new, own, other in zip(mixed[1], index, index[partner], strict=True))


def test_the_loss_of_a_mixup_is_that_of_both_truths_by_their_shares():
    batch = batch_of()
    loss, _, _ = gradients(network(), batch, mixup=0.4)
    mixed, partner, share = mix(batch.arrays, SPECS, 0.4, torch.Generator().manual_seed(7))
    outputs = network()(mixed[0]).log_softmax(1)
    own, other = (-outputs[torch.arange(10), truth].mean() for truth in (batch.truth, batch.truth[partner]))
    assert abs(loss - float((share * own + (1 - share) * other).detach())) < 1e-6


def test_mixup_of_a_set_is_refused():
    spec = ArraySpec("encoded.set_0", "set", ("words",), 10)
    with pytest.raises(ContractError, match=r"train\.mixup blends .*; words is of the kind set"):
        mix([torch.ones(3, 2, dtype=torch.int32)], [spec], 0.5, torch.Generator())


def test_an_average_follows_the_weights_quickly_at_first_and_slowly_then():
    net, average = network(norm=True), network(norm=True)
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        average[0].weight.zero_()
        net[1].running_mean.fill_(5.0)
    follow(average.requires_grad_(False), net, 0.99, 1)
    assert abs(float(average[0].weight[0, 0]) - 9 / 11) < 1e-6
    assert average[1].running_mean.tolist() == [5.0] * 4, "statistics are taken as they are"
    follow(average, net, 0.99, 100_000)
    assert abs(float(average[0].weight[0, 0]) - (1 - 2 / 11 * 0.99)) < 1e-6


def run_of(total, weight, first=0.7, history=()):
    facts = {"weight": weight, "first_loss": first, "history": list(history)}
    return Run(network(), [], torch.Generator(), total=torch.tensor(total), **facts)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (run_of(float("nan"), 10.0), r"nan in epoch 1\. Lower train\.learning_rate \(now 0\.5\), set train\.clip"),
        (run_of(float("inf"), 10.0), "the loss became inf in epoch 1"),
        (run_of(8000.0, 10.0), r"diverged: 800 in epoch 1, from 0\.7 at the start\. Lower train\.learning_rate"),
        (run_of(0.0, 0.0, history=[{"validation_loss": float("nan")}]), "the loss became nan in epoch 0"),
    ],
)  # fmt: skip
def test_a_run_that_is_lost_names_the_cure(run, message):
    with pytest.raises(TrainingError, match=message):
        require_sound(run, Recipe(learning_rate=0.5))


def test_a_run_that_is_sound_goes_on():
    for run in (run_of(6000.0, 10.0), run_of(0.0, 0.0), run_of(5.0, 1.0, first=0.0)):
        require_sound(run, Recipe())


def test_numbers_of_a_batch_keep_their_precision():
    run = Run(network(), [], torch.Generator())
    for _ in range(1000):
        run.count(torch.tensor(0.1), 1e6)
    np.testing.assert_allclose(run.mean_loss(), float(np.float32(0.1)), rtol=1e-12)
