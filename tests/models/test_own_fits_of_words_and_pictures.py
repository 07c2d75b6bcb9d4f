"""`svm` and `hog` held against scikit-learn and scikit-image."""

from dataclasses import replace

import numpy as np
import pytest
from own_fits import WAVE, WORDS, classes_of, predict

from stages.core.arrays import ArraySpec
from stages.models import hog, svm
from stages.models._gradients import grid_of

# Words


def texts(num_rows, seed, repeats=False):
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 3, num_rows)
    rows = np.zeros((num_rows, 12), np.int64)
    for row, label in zip(rows, target, strict=True):
        own = generator.choice(np.arange(1, 40) + 20 * label, generator.integers(0, 12), replace=repeats)
        row[: len(own)] = own
    return {"encoded.set_1": rows, "target": target}


def counts(ids):
    return np.stack([np.bincount(row, minlength=1025) for row in ids])[:, 1:]


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("kind", ["set", "tokens"])
def test_svm_predicts_as_scikit_learns_tfidf_and_linear_svc(num_classes, kind):
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.svm import LinearSVC

    train, rows = texts(200, 1), texts(50, 2)
    train["target"] %= num_classes
    tfidf = TfidfTransformer().fit(counts(train["encoded.set_1"]))
    oracle = LinearSVC(C=0.7, intercept_scaling=1e3, tol=1e-8, max_iter=100_000, dual=False)
    oracle.fit(tfidf.transform(counts(train["encoded.set_1"])), train["target"])
    expected = oracle.decision_function(tfidf.transform(counts(rows["encoded.set_1"])))
    spec = replace(WORDS, kind=kind)
    outputs = predict("svm", classes_of(num_classes, spec), train, rows, strength=0.7)
    expected = np.stack([0 * expected, expected], 1) if num_classes == 2 else expected
    np.testing.assert_allclose(outputs, expected, atol=5e-3)


def test_an_id_that_stands_twice_in_a_row_adds_its_square_twice():
    ids = np.array([[3, 3, 4, 0], [4, 0, 0, 0], [0, 0, 0, 0], [4, 4, 4, 4]])
    rarity = svm.rarity_of(ids, np.ones(4), 6)
    np.testing.assert_allclose(
        rarity, [0, np.log(5) + 1, np.log(5) + 1, np.log(5 / 2) + 1, np.log(5 / 4) + 1, 2.609438]
    )
    found = svm.weighed(ids, rarity)(slice(0, 4)).toarray()
    a, b = float(rarity[3]), float(rarity[4])
    root = (2 * a * a + b * b) ** 0.5
    np.testing.assert_allclose(found[:, 3:5], [[2 * a / root, b / root], [0, 1], [0, 0], [0, 2]], rtol=1e-6)


# Pictures


@pytest.mark.parametrize(
    ("shape", "orientations", "cell", "block"),
    [((1, 28, 28), 9, None, 2), ((1, 28, 28), 8, 7, 3), ((3, 20, 33), 9, 5, 2), ((1, 64, 150), 6, None, 2),
     ((1, 9, 7), 4, 4, 2), ((1, 3, 3), 9, None, 2), ((1, 2, 40), 9, None, 2)],
)  # fmt: skip
def test_the_graph_draws_the_histograms_of_scikit_image(shape, orientations, cell, block):
    from skimage.feature import hog as oracle

    spec = ArraySpec("p", "image", ("f",), int(np.prod(shape)), shape, (0.4,) * shape[0], (0.3,) * shape[0])
    pictures = np.random.default_rng(0).integers(0, 256, (5, *shape)).astype(np.uint8)
    pictures[0], pictures[1] = 0, np.round(pictures[1] / 100) * 100  # flat, and many equal gradients
    grid = grid_of(spec, orientations, cell, block)
    expected = [
        oracle(
            picture.transpose(1, 2, 0).astype(float), orientations=orientations, pixels_per_cell=grid.cell,
            cells_per_block=grid.block, block_norm="L2-Hys", channel_axis=-1,
        )
        for picture in pictures
    ]  # fmt: skip
    np.testing.assert_allclose(hog.histograms(pictures, spec, grid), expected, atol=1e-6)


def test_cells_are_of_4_pixels_and_at_most_about_12_a_side():
    sizes = {(1, 28, 28): (4, 4), (1, 300, 300): (25, 25), (1, 64, 200): (5, 17), (3, 2, 2): (2, 2)}
    for shape, cell in sizes.items():
        assert grid_of(ArraySpec("p", "image", ("f",), 1, shape), 9, None, 2).cell == cell


def test_hog_predicts_as_scikit_image_and_linear_svc():
    from skimage.feature import hog as oracle_features
    from sklearn.svm import LinearSVC

    generator = np.random.default_rng(0)
    target = generator.integers(0, 3, 240)
    pictures = generator.integers(0, 120, (240, 1, 12, 20)).astype(np.uint8)
    for picture, label in zip(pictures, target, strict=True):
        picture[0, :, 3 * label + 4 :] += 90
    spec = WAVE
    features = np.stack([oracle_features(p[0].astype(float), 9, (4, 4), (2, 2)) for p in pictures])
    oracle = LinearSVC(C=0.3, intercept_scaling=1e3, tol=1e-8, max_iter=100_000, dual=False)
    oracle.fit(features[:200], target[:200])
    train = {"encoded.wave_2": pictures[:200], "target": target[:200]}
    outputs = predict("hog", classes_of(3, spec), train, {"encoded.wave_2": pictures[200:]}, strength=0.3)
    np.testing.assert_allclose(outputs, oracle.decision_function(features[200:]), atol=5e-3)
    assert (outputs.argmax(1) == target[200:]).mean() > 0.7
