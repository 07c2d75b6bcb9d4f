"""One contract for every model of stages/models, and an independent prediction for each."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from stages.contract.loader import choose, seam
from stages.core.arrays import DTYPES, ArraySpec
from stages.core.errors import ContractError
from stages.core.graph import run
from stages.core.problem import Problem
from stages.models import _terms, linear
from stages.models._encoders import Flat, Set
from stages.targets import category
from stages.training import Recipe, fit, suits

HERE = bytes(Path(__file__).resolve().parents[2])  # the work tree, which no graph may name

NETWORKS = ("bag", "convnet", "mlp", "recurrent", "resnet", "transformer")
NAMES = tuple(sorted((*NETWORKS, "boosting", "hog", "linear", "prior", "svm")))
EVERY = pytest.mark.parametrize("name", NAMES)
BOTH = pytest.mark.parametrize("num_classes", [2, 3])


def feed(problem, arrays):
    return {spec.name: arrays[spec.name] for spec in problem.specs}


def content(fitted):
    return fitted.network.SerializeToString(deterministic=True)


def test_each_model_is_tested_here():
    """But those for rankings alone (test_every_ranking.py), and what needs a file of weights (test_pretrained.py)."""
    models = [name for name in seam("models") if "category" in choose("models", name, "").TARGETS]
    assert models == sorted((*NAMES, "pretrained"))


@EVERY
def test_a_model_says_what_may_be_declared_and_what_it_takes(name):
    module = choose("models", name, "")
    assert set(module.SUITS) <= set(DTYPES)
    assert {"category"} <= set(module.TARGETS) <= {"category", "number", "ranking"}
    assert module.Options()
    assert hasattr(module, "build") != hasattr(module, "fit")
    assert inspect.getdoc(module)


@EVERY
@pytest.mark.parametrize("num_rows", [0, 1, 2, 300])
def test_any_number_of_rows_is_predicted(name, num_rows, fitted, problem, arrays):
    rows = feed(problem(name, 3), arrays(num_rows, 3, 5))
    outputs = run(fitted(name, 3).network, rows)["outputs"]
    assert outputs.shape == (num_rows, 3)
    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all()


@EVERY
def test_the_graph_takes_and_gives_what_the_specs_say(name, fitted, problem):
    graph = fitted(name, 3).network.graph
    specs = problem(name, 3).specs
    kinds = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64, "uint8": onnx.TensorProto.UINT8}
    assert [(value.name, value.type.tensor_type.elem_type) for value in graph.input] == [
        (spec.name, kinds[spec.dtype]) for spec in specs
    ]
    assert [value.name for value in graph.output] == ["outputs"]
    onnx.checker.check_model(fitted(name, 3).network, full_check=True)


@EVERY
def test_a_row_alone_equals_the_row_in_its_batch(name, fitted, problem, arrays):
    rows = feed(problem(name, 3), arrays(20, 3, 6))
    together = run(fitted(name, 3).network, rows, batch_size=20)["outputs"]
    alone = run(fitted(name, 3).network, rows, batch_size=1)["outputs"]
    np.testing.assert_allclose(alone, together, atol=2e-6)


@pytest.mark.parametrize("name", [*NETWORKS, "hog", "linear", "svm"])
def test_padding_at_the_end_of_a_set_changes_nothing(name, fitted, problem, arrays):
    rows = feed(problem(name, 3), arrays(9, 3, 7))
    wide = {**rows, "encoded.set_1": np.pad(rows["encoded.set_1"], ((0, 0), (0, 20)))}
    network = fitted(name, 3).network
    np.testing.assert_allclose(run(network, wide)["outputs"], run(network, rows)["outputs"], atol=1e-6)


@EVERY
def test_the_same_seed_gives_the_same_bytes(name, fitted, anew):
    first, second = fitted(name, 3), anew(name, 3)
    assert content(first) == content(second)
    assert {key: array.tobytes() for key, array in first.weights.items()} == {
        key: array.tobytes() for key, array in second.weights.items()
    }


@EVERY
def test_no_path_is_left_in_the_graph(name, fitted):
    graph = content(fitted(name, 3))
    for trace in (b"site-packages", HERE, b"stages/", b"/home", b"/tmp", b"/usr", b".py", b"stack_trace"):
        assert trace not in graph
    assert not fitted(name, 3).network.metadata_props


@EVERY
def test_an_array_of_a_kind_that_a_model_cannot_take_is_refused(name, problem, splits, options):
    everything, own = problem("mlp", 3), choose("models", name, "").SUITS
    assert suits(name, everything) == ("set" in own)
    if "set" not in own:
        with pytest.raises(
            ContractError, match=f"the model '{name}' takes arrays of the kinds dense, index; e is of the kind set"
        ):
            fit(name, options(name), everything, splits(3), recipe=None)


@EVERY
def test_a_sequence_is_refused_with_the_way_out_by_a_model_that_reads_none(name, problem, splits, options):
    sequence = ArraySpec("encoded.tokens_0", "tokens", ("body",), 40)
    given = replace(problem(name, 3), specs=(sequence,))
    if "tokens" in choose("models", name, "").SUITS:
        arrays = {**splits(3)["train"], "encoded.tokens_0": np.zeros((61, 5), np.int32)}
        rows = {"encoded.tokens_0": np.zeros((4, 2), np.int64)}
        assert fit(name, options(name), given, {"train": arrays}, recipe=Recipe()).predict(rows).shape == (4, 3)
    else:
        way_out = r"body is of the kind tokens. Choose .*, or declare features.by_column.<column>.kind: set"
        with pytest.raises(ContractError, match=way_out):
            fit(name, options(name), given, splits(3), recipe=None)


# What each model must predict


@BOTH
def test_prior_predicts_log_shares_of_classes_counted_once_more(num_classes, fitted, problem, splits):
    counts = np.bincount(splits(num_classes)["train"]["target"], minlength=num_classes)
    outputs = run(
        fitted("prior", num_classes).network, feed(problem("prior", num_classes), splits(num_classes)["validation"])
    )
    np.testing.assert_allclose(
        outputs["outputs"], np.tile(np.log((counts + 1) / (counts + 1).sum()), (40, 1)), rtol=1e-6
    )


def design(arrays):
    """[N, 3 + 5 + 1025 + 63], written out row by row."""
    rows = []
    for i in range(len(arrays["target"])):
        index, entries = np.zeros(5), np.zeros(1025)
        index[arrays["encoded.index_0"][i]] = 1
        for entry in arrays["encoded.set_1"][i]:
            entries[entry] += entry > 0
        pixels = (arrays["encoded.image_2"][i].ravel() / 255 - 0.4) / 0.3
        rows.append([*arrays["encoded.dense"][i], *index, *(entries / max(1, entries.sum()) ** 0.5), *pixels])
    return np.array(rows)


@BOTH
def test_linear_predicts_as_scikit_learn_does(num_classes, fitted, problem, splits, arrays):
    from sklearn.linear_model import LogisticRegression

    train, other = splits(num_classes)["train"], arrays(30, num_classes, 9, set_width=15)
    model = LogisticRegression(C=0.5, max_iter=500, tol=1e-8).fit(design(train), train["target"])
    outputs = run(fitted("linear", num_classes).network, feed(problem("linear", num_classes), other))["outputs"]
    chances = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    np.testing.assert_allclose(chances, model.predict_proba(design(other)), atol=2e-3)
    weights = fitted("linear", num_classes).weights
    stacked = np.concatenate([weights[spec.name] for spec in problem("linear", num_classes).specs])
    np.testing.assert_allclose(outputs, design(other) @ stacked + weights["bias"], atol=1e-5)


def test_linear_stores_each_weight_once(fitted):
    network = fitted("linear", 3).network
    tables = [tensor for tensor in network.graph.initializer if list(tensor.dims) == [1025, 3]]
    assert len(tables) == 1


def test_linear_never_predicts_a_class_without_training_rows(problem, splits, options):
    arrays = splits(2)["train"]
    fitted = fit("linear", options("linear"), problem("linear", 3), {"train": arrays}, recipe=Seed())
    outputs = run(fitted.network, feed(problem("linear", 3), arrays))["outputs"]
    assert outputs.shape == (61, 3)
    assert (outputs[:, 2] == -20).all()
    assert set(outputs.argmax(1)) == {0, 1}


class Seed:
    """A recipe of which only the seed is asked."""

    seed = 3


def reference(arrays, num_classes):
    """LightGBM itself on the same rows and parameters; 15 lines that boosting.py must agree with."""
    import lightgbm

    parameters = {
        "objective": "binary" if num_classes == 2 else "multiclass", "num_leaves": 4, "learning_rate": 0.05,
        "min_data_in_leaf": 5, "bagging_fraction": 0.7, "bagging_freq": 1, "feature_fraction": 0.7, "seed": 3,
        "deterministic": True, "force_row_wise": True, "num_threads": 1, "use_missing": False, "verbosity": -1,
        **({"num_class": 3} if num_classes == 3 else {}),
    }  # fmt: skip
    return lightgbm.train(parameters, lightgbm.Dataset(tree_rows(arrays), arrays["target"]), num_boost_round=8)


def tree_rows(arrays):
    return np.concatenate([arrays["encoded.dense"], arrays["encoded.index_0"][:, None]], 1).astype(np.float32)


@BOTH
def test_boosting_predicts_as_lightgbm_does_even_on_the_thresholds(num_classes, fitted, problem, splits, arrays):
    model, weights = reference(splits(num_classes)["train"], num_classes), fitted("boosting", num_classes).weights
    rows = arrays(200, num_classes, 11)
    edges = []
    for feature, threshold in zip(weights["feature"], weights["threshold"], strict=True):
        if 0 <= feature < 3:
            near = np.float32(threshold)
            edges += [
                (feature, x) for x in (near, np.nextafter(near, np.float32(-9)), np.nextafter(near, np.float32(9)))
            ]
    assert len(edges) > 30
    for row, (feature, value) in zip(np.arange(200), edges[::-1] * 9, strict=False):
        rows["encoded.dense"][row, feature] = value if abs(value) > 1e-34 else 0  # what LightGBM's predict takes as 0
    raw = model.predict(tree_rows(rows), raw_score=True)
    expected = np.stack([0 * raw, raw], 1) if num_classes == 2 else raw
    outputs = run(fitted("boosting", num_classes).network, feed(problem("boosting", num_classes), rows))["outputs"]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@BOTH
def test_boosting_of_too_few_rows_to_split_predicts_the_shares(num_classes, problem, splits, options):
    arrays = {name: array[:8] for name, array in splits(num_classes)["train"].items()}
    few = choose("models", "boosting", "").Options(trees=3, min_rows_a_leaf=20)
    fitted = fit("boosting", few, problem("boosting", num_classes), {"train": arrays}, recipe=Seed())
    outputs = run(fitted.network, feed(problem("boosting", num_classes), splits(num_classes)["validation"]))["outputs"]
    chances = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    shares = np.bincount(arrays["target"], minlength=num_classes) / 8
    np.testing.assert_allclose(chances, np.tile(shares, (40, 1)), atol=1e-4)


def test_a_float32_threshold_asks_the_same_question():
    from stages.models.boosting import floor_float32

    thresholds = np.array([0.1, -0.1, 0.5, 1.0000000180025095e-35, 0.0, -1e-300, 1e-300])
    floors = floor_float32(thresholds)
    assert floors.dtype == np.float32
    assert (floors.astype(float) <= thresholds).all()
    assert (np.nextafter(floors, np.float32(np.inf)).astype(float) > thresholds).all()


def test_a_set_is_the_sum_of_its_embeddings_over_the_root_of_their_number():
    layer = Set(ArraySpec("s", "set", ("e",), 1025), 1)
    with torch.no_grad():
        layer.table.weight[:, 0] = torch.arange(1025.0)
        found = layer(torch.tensor([[3, 5, 8, 20], [7, 0, 0, 0], [0, 0, 0, 0], [2, 2, 0, 0]]))
    np.testing.assert_allclose(found[:, 0], [18.0, 7.0, 0.0, 4 / 2**0.5])


def test_pixels_are_standardised_by_the_mean_and_deviation_of_their_channel_in_training():
    spec = ArraySpec("p", "image", ("f",), 2, (1, 1, 2), (0.4,), (0.2,))
    np.testing.assert_allclose(Flat(spec)(torch.tensor([[[[0, 255]]]], dtype=torch.uint8)), [[-2.0, 3.0]], atol=1e-6)
    spec = ArraySpec("p", "image", ("f",), 6, (3, 1, 2), (0.4, 0.0, 1.0), (0.2, 1.0, 0.5))
    picture = np.array([[[[0, 255]], [[0, 255]], [[0, 255]]]], np.uint8)
    expected = np.array([[-2.0, 3.0, 0.0, 1.0, -2.0, 0.0]])
    np.testing.assert_allclose(Flat(spec)(torch.from_numpy(picture)), expected, atol=1e-6)
    np.testing.assert_allclose(_terms.columns(spec, picture)(slice(0, 1)), expected, atol=1e-6)
    state = {"type": "category", "column": "y", "classes": list("abcdef"), "positive": 5}
    drawn = linear.draw({"p": np.eye(6), "bias": np.zeros(6)}, Problem((spec,), category, state))
    np.testing.assert_allclose(run(drawn, {"p": picture})["outputs"], expected, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_predicts_as_its_torch_module_does_on_sets_of_any_width(name, fitted, problem, arrays, options):
    specs, model = problem(name, 3).specs, fitted(name, 3)
    module = choose("models", name, "").build(problem(name, 3), options(name)).eval()
    module.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in model.weights.items()})
    for set_width in (1, 6, 50):
        rows = arrays(25, 3, set_width, set_width=set_width)
        given = [torch.from_numpy(rows[spec.name].astype(spec.dtype)) for spec in specs]
        with torch.no_grad():
            expected = module(*given).numpy()
        np.testing.assert_allclose(run(model.network, feed(problem(name, 3), rows))["outputs"], expected, atol=1e-5)
        if name in ("bag", "mlp"):
            assert expected.std(0).min() > 1e-3


@EVERY
def test_what_folds_predict_is_what_the_graph_gives(name, fitted, problem, arrays):
    """Cross validation predicts without drawing the graph; both must be the same model."""
    rows = feed(problem(name, 3), arrays(70, 3, 5))
    model = fitted(name, 3)
    np.testing.assert_allclose(model.predict(rows), run(model.network, rows)["outputs"], atol=1e-5)
