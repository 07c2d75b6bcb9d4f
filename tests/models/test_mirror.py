"""A network that predicts from pictures and their mirror images."""

import numpy as np
import pytest

from stages.contract.loader import choose
from stages.core.graph import run
from stages.training import Recipe, fit


@pytest.fixture(scope="module", params=["convnet", "resnet"])
def pair(request, problem, splits):
    """The same weights with and without the mirror."""
    options = choose("models", request.param, "").Options
    found = []
    for mirror in (False, True):
        declared = options(channels=[8, 12], set_width=1, mirror=mirror)
        recipe = Recipe(epochs=1, batch_size=16, device="cpu", seed=3)
        found.append(fit(request.param, declared, problem(request.param, 3), splits(3), recipe=recipe))
    return found


def feed(problem, arrays):
    return {spec.name: arrays[spec.name] for spec in problem.specs}


def test_it_learns_as_without_and_predicts_the_mean_of_both_sides(pair, problem, arrays):
    plain, mirrored = pair
    assert {key.removeprefix("network."): value.tobytes() for key, value in mirrored.weights.items()} == {
        key: value.tobytes() for key, value in plain.weights.items()
    }
    rows = feed(problem(plain.model, 3), arrays(30, 3, 5))
    turned = rows | {"encoded.image_2": rows["encoded.image_2"][:, :, :, ::-1].copy()}
    wanted = (plain.predict(rows) + plain.predict(turned)) / 2
    np.testing.assert_allclose(mirrored.predict(rows), wanted, atol=1e-6)
    assert np.abs(plain.predict(rows) - wanted).max() > 1e-4
    np.testing.assert_allclose(mirrored.predict(rows), mirrored.predict(turned), atol=1e-6)


@pytest.mark.parametrize("num_rows", [0, 1, 2, 31])
def test_its_graph_does_the_same_for_any_number_of_rows(pair, num_rows, problem, arrays):
    _, mirrored = pair
    rows = feed(problem(mirrored.model, 3), arrays(num_rows, 3, 6))
    outputs = run(mirrored.network, rows)["outputs"]
    assert outputs.shape == (num_rows, 3)
    if num_rows:
        np.testing.assert_allclose(outputs, mirrored.predict(rows), atol=1e-5)
