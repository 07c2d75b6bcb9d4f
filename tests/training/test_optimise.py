"""Optimisers against formulas written out, schedules against literals."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.contract.section import parse
from stages.core.errors import ContractError
from stages.training.augmentation import augment_of
from stages.training.batches import Batch
from stages.training.optimise import hidden_matrices, optimisers, plateau_factor, rate_at
from stages.training.recipe import Recipe
from stages.training.step import gradient, learner_of, step

CPU = torch.device("cpu")


class Squares:
    """A target: half the mean squared error."""

    @staticmethod
    def loss(state, outputs, truth, weight=None, *, label_smoothing=0.0):
        losses = 0.5 * (outputs[:, 0] - truth) ** 2
        return losses.mean() if weight is None else (losses * weight).sum() / weight.sum().clamp(min=1e-12)


class Problem:
    specs, target, state = (), Squares, {}


def regression(num_rows=40, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(num_rows, 3)).astype(np.float32)
    truth = inputs @ np.array([1.0, -2.0, 0.0]) + 0.1 * draw.normal(size=num_rows)
    return inputs, truth.astype(np.float32)


def trained(num_steps, inputs, truth, network=None, **recipe):
    """Weights after each step of full-batch training from zero, at a constant rate."""
    recipe = Recipe(**{"learning_rate": 0.1, **recipe})
    if network is None:
        network = nn.Linear(3, 1, bias=False)
        nn.init.zeros_(network.weight)
    learner = learner_of(network, Problem, recipe, augment_of({}, ()), CPU, steps=num_steps)
    optimizers, found = optimisers(network, recipe), []
    batch = Batch([torch.from_numpy(inputs)], torch.from_numpy(truth), None, float(len(truth)))
    for _ in range(num_steps):
        gradient(learner, batch, torch.Generator())
        step(learner, optimizers, recipe.learning_rate)
        found.append(next(iter(network.parameters())).detach().numpy().ravel().copy())
    return np.array(found)


def slope(weights, inputs, truth):
    return inputs.T @ (inputs @ weights - truth) / len(truth)


def by_formula(num_steps, inputs, truth, momentum=0.0, nesterov=False, l2=0.0):
    weights, speed, found = np.zeros(3), np.zeros(3), []
    for _ in range(num_steps):
        pull = slope(weights, inputs, truth) + l2 * weights
        speed = momentum * speed + pull
        weights = weights - 0.1 * (pull + momentum * speed if nesterov else speed)
        found.append(weights)
    return np.array(found)


@pytest.mark.parametrize(
    "recipe",
    [
        {}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"l2": 0.3},
    ],
    ids=["gradient descent", "momentum", "Nesterov", "L2"],
)  # fmt: skip
def test_sgd_makes_the_steps_of_the_formula(recipe):
    inputs, truth = regression()
    found = trained(20, inputs, truth, optimizer="sgd", **recipe)
    np.testing.assert_allclose(found, by_formula(20, inputs, truth, **recipe), atol=1e-5)


def test_gradient_descent_finds_the_least_squares():
    inputs, truth = regression()
    np.testing.assert_allclose(
        trained(300, inputs, truth, optimizer="sgd")[-1], np.linalg.lstsq(inputs, truth)[0], atol=1e-3
    )


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_adam_makes_the_steps_of_its_paper(optimizer):
    inputs, truth = regression()
    recipe = {"weight_decay": 0.2} if optimizer == "adamw" else {"l2": 0.2}
    weights, first, second, expected = np.zeros(3), np.zeros(3), np.zeros(3), []
    for number in range(1, 21):
        pull = slope(weights, inputs, truth)
        if optimizer == "adamw":
            weights = weights - 0.1 * 0.2 * weights
        else:
            pull = pull + 0.2 * weights
        first, second = 0.8 * first + 0.2 * pull, 0.95 * second + 0.05 * pull**2
        weights = weights - 0.1 * (first / (1 - 0.8**number)) / (np.sqrt(second / (1 - 0.95**number)) + 1e-8)
        expected.append(weights)
    found = trained(20, inputs, truth, optimizer=optimizer, betas=[0.8, 0.95], **recipe)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_biases_are_not_shrunk():
    network = nn.Linear(3, 1)
    nn.init.ones_(network.weight)
    nn.init.ones_(network.bias)
    inputs, truth = np.zeros((4, 3), np.float32), np.ones(4, np.float32)
    trained(10, inputs, truth, network, weight_decay=0.5)
    np.testing.assert_allclose(network.weight.detach(), np.full((1, 3), 0.95**10), rtol=1e-5)
    assert network.bias.item() == 1.0


def test_l1_leaves_exact_zeros_where_a_column_says_nothing():
    inputs, truth = regression(200)
    weights = trained(300, inputs, truth, optimizer="sgd", l1=0.1)[-1]
    assert weights[2] == 0.0
    assert abs(weights[0] - 0.9) < 0.1
    assert abs(weights[1] + 1.9) < 0.1


def test_muon_moves_hidden_matrices_by_orthogonal_steps_and_leaves_the_rest_to_adamw():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    assert [id(weight) for weight in hidden_matrices(network)] == [id(network[1].weight)]
    found = optimisers(network, Recipe(optimizer="muon"))
    assert [type(optimizer).__name__ for optimizer in found] == ["Muon", "AdamW"]
    sizes = [sum(len(group["params"]) for group in optimizer.param_groups) for optimizer in found]
    assert sizes == [1, 4]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "muon"])
def test_every_optimiser_lowers_the_loss(optimizer):
    torch.manual_seed(0)
    inputs, truth = regression()
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss():
        return float(Squares.loss({}, network(torch.from_numpy(inputs)), torch.from_numpy(truth)).detach())

    before = loss()
    trained(100, inputs, truth, network, optimizer=optimizer, learning_rate=0.01)
    assert loss() < 0.7 * before


def test_clipping_bounds_the_length_of_a_step():
    inputs, truth = regression()
    free = trained(1, inputs, 1000 * truth, optimizer="sgd")[0]
    clipped = trained(1, inputs, 1000 * truth, optimizer="sgd", clip=0.5)[0]
    assert np.linalg.norm(free) > 10
    np.testing.assert_allclose(np.linalg.norm(clipped), 0.1 * 0.5, rtol=1e-4)
    np.testing.assert_allclose(clipped / np.linalg.norm(clipped), free / np.linalg.norm(free), rtol=1e-4)


def rates(places, **recipe):
    return [round(rate_at(place, Recipe(learning_rate=1.0, **recipe)), 6) for place in places]


def test_rates_of_each_schedule():
    places = (0, 0.125, 0.25, 0.625, 1)
    assert rates(places) == [0.04, 0.52, 1.0, 0.5005, 0.001]
    assert rates(places, schedule="constant") == rates(places, schedule="plateau") == [1.0] * 5
    assert rates((0, 0.025, 0.05, 0.525, 1), schedule="cosine") == [0.04, 0.52, 1.0, 0.5005, 0.001]
    assert rates((0, 0.2, 0.4, 0.9), schedule="constant", warm_up=0.4) == [0.04, 0.52, 1.0, 1.0]
    assert rates((0, 0.5), schedule="cosine", warm_up=0.0) == [1.0, 0.5005]
    assert rates((1.2,)) == [0.001], "past a budget's end"


def test_a_plateau_lowers_the_rate_after_three_epochs_without_a_better_loss():
    losses = [1.0, 0.9, 0.95, 0.91, 0.9, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    factors = [round(plateau_factor(losses[:number]), 6) for number in range(len(losses) + 1)]
    assert factors == [1, 1, 1, 1, 1, 0.3, 0.3, 0.3, 0.3, 0.09, 0.09, 0.09, 0.027]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({"l2": 0.1}, "expected weight_decay in place of l2: adamw shrinks weights apart from the gradient"),
        ({"optimizer": "sgd", "weight_decay": 0.1}, "expected l2 in place of weight_decay, which sgd does not have"),
        ({"momentum": 0.9}, "expected momentum with optimizer: sgd alone; adamw has its own"),
        ({"optimizer": "sgd", "nesterov": True}, "expected a momentum above 0 where nesterov is true"),
        ({"batch_size": 4, "accumulate": 5}, r"expected accumulate of at most batch_size \(4\)"),
        ({"betas": [0.9, 1.0]}, "expected betas of at least 0 and below 1"),
        ({"betas": [0.9]}, r"train.betas is \[0.9\]"),
        ({"optimizer": "sdg"}, "train.optimizer is 'sdg'; expected 'adamw', 'adam', 'sgd' or 'muon'"),
        ({"augment": {"x": 3}}, "train.augment.x is 3"),
        ({"compile": "yes"}, "train.compile"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(raw, complaint):
    with pytest.raises(ContractError, match=complaint):
        parse(Recipe, raw, "shop.train")
