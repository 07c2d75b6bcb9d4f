"""A network that predicts from several views of each picture."""

import numpy as np
import pytest

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.graph import run
from stages.core.problem import Problem
from stages.targets import category
from stages.training import Recipe, fit

IMAGE = "encoded.image_2"
VIEWS = ((False, 0), (True, 0), (True, 2))


@pytest.fixture(scope="module", params=["convnet", "resnet"])
def found(request, problem, splits):
    """The same weights without views, with the mirror, and with all."""
    options = choose("models", request.param, "").Options
    recipe = Recipe(epochs=1, batch_size=16, device="cpu", seed=3)
    declared = [options(channels=[8, 12], set_width=1, mirror=mirror, jitter=jitter) for mirror, jitter in VIEWS]
    return [fit(request.param, each, problem(request.param, 3), splits(3), recipe=recipe) for each in declared]


def feed(problem, arrays):
    return {spec.name: arrays[spec.name] for spec in problem.specs}


def test_it_learns_as_without_and_predicts_the_mean_of_both_sides(found, problem, arrays):
    plain, mirrored, _ = found
    assert {key.removeprefix("network."): value.tobytes() for key, value in mirrored.weights.items()} == {
        key: value.tobytes() for key, value in plain.weights.items()
    }
    rows = feed(problem(plain.model, 3), arrays(30, 3, 5))
    turned = rows | {IMAGE: rows[IMAGE][:, :, :, ::-1].copy()}
    wanted = (plain.predict(rows) + plain.predict(turned)) / 2
    np.testing.assert_allclose(mirrored.predict(rows), wanted, atol=1e-6)
    assert np.abs(plain.predict(rows) - wanted).max() > 1e-4
    np.testing.assert_allclose(mirrored.predict(rows), mirrored.predict(turned), atol=1e-6)


def test_moved_pictures_together_count_as_much_as_the_unmoved_one(found, problem, arrays):
    _, mirrored, jittered = found
    rows = feed(problem(mirrored.model, 3), arrays(30, 3, 5))
    image = rows[IMAGE]
    left = np.concatenate([image[:, :, :, 2:], image[:, :, :, -1:], image[:, :, :, -1:]], 3)
    right = np.concatenate([image[:, :, :, :1], image[:, :, :, :1], image[:, :, :, :-2]], 3)
    up = np.concatenate([image[:, :, 2:], image[:, :, -1:], image[:, :, -1:]], 2)
    down = np.concatenate([image[:, :, :1], image[:, :, :1], image[:, :, :-2]], 2)
    moved = sum(mirrored.predict(rows | {IMAGE: each}) for each in (left, right, up, down)) / 4
    wanted = (mirrored.predict(rows) + moved) / 2
    np.testing.assert_allclose(jittered.predict(rows), wanted, atol=1e-6)
    assert np.abs(mirrored.predict(rows) - wanted).max() > 1e-4


def test_while_it_learns_it_is_watched_without_views(found):
    plain, mirrored, jittered = (fitted.history[-1] for fitted in found)
    assert plain == mirrored == jittered


@pytest.mark.parametrize("num_rows", [0, 1, 2, 31])
def test_its_graph_does_the_same_for_any_number_of_rows(found, num_rows, problem, arrays):
    for fitted in found[1:]:
        rows = feed(problem(fitted.model, 3), arrays(num_rows, 3, 6))
        outputs = run(fitted.network, rows)["outputs"]
        assert outputs.shape == (num_rows, 3)
        if num_rows:
            np.testing.assert_allclose(outputs, fitted.predict(rows), atol=1e-5)


def test_views_of_what_is_no_picture_are_refused(problem):
    wave = ArraySpec("encoded.wave_0", "wave", ("sound",), 80, (1, 8, 10), (0.5,), (0.2,))
    module = choose("models", "convnet", "")
    with pytest.raises(ContractError, match="mirror and jitter are views of pictures, and no input column"):
        module.build(Problem((wave,), category, problem("convnet", 3).state), module.Options(channels=[8], mirror=True))
