"""One contract for every torch network: any mix of arrays, drawn as it is, and able to learn."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from stages.contract.loader import choose
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.graph import run
from stages.core.problem import Problem
from stages.models._dropout import Dropout
from stages.targets import category
from stages.training.export import export

HERE = bytes(Path(__file__).resolve().parents[2])  # the work tree, which no graph may name

SPECS = {
    "dense": ArraySpec("encoded.dense", "dense", ("a", "b", "c"), 3),
    "index": ArraySpec("encoded.index_0", "index", ("d",), 5),
    "set": ArraySpec("encoded.set_1", "set", ("e",), 65),
    "tokens": ArraySpec("encoded.tokens_2", "tokens", ("g",), 40),
    "image": ArraySpec("encoded.image_3", "image", ("f",), 9 * 7, (1, 9, 7), (0.4,), (0.3,)),
    "wave": ArraySpec("encoded.wave_4", "wave", ("h",), 8 * 10, (1, 8, 10), (0.5,), (0.2,)),
}
ALL, FEW = tuple(SPECS), ("dense", "index", "tokens")
CASES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "bag": ("bag", ALL, {}),
    "mlp": ("mlp", ALL, {"hidden": [16]}),
    "mlp of gated parts": ("mlp", FEW, {"combine": "gated", "activation": "tanh", "normalise": "batch"}),
    "mlp of products": ("mlp", FEW, {"combine": "dot", "pooling": "attention", "activation": "silu", "hidden": [16]}),
    "mlp for tables": (
        "mlp", FEW,
        {"numbers": "periodic", "residual": True, "normalise": "layer", "scale": True, "bend": True, "ensemble": 3},
    ),
    "convnet": ("convnet", ALL, {"channels": [8, 16], "hidden": [16]}),
    "convnet without norms": (
        "convnet", ("image",), {"channels": [8], "patch": 1, "padding": "valid", "pool_last": True, "normalise": False},
    ),
    "resnet": ("resnet", ALL, {"channels": [8, 12], "squeeze": True, "drop_block": 0.2, "blocks": 1}),
    "resnet in blocks of 16": ("resnet", ("image",), {"channels": [16, 32], "grid": 2, "patch": 2}),
    "recurrent": ("recurrent", ALL, {"width": 8}),
    "recurrent both ways": ("recurrent", ("tokens",), {"width": 8, "cell": "lstm", "directions": 2, "layers": 2}),
    "recurrent with attention": ("recurrent", ("tokens",), {"width": 8, "directions": 2, "read": "attention"}),
    "transformer": ("transformer", ALL, {"width": 16, "depth": 1, "max_length": 30}),
    "transformer of numbers": ("transformer", FEW, {"width": 8, "numbers": "each", "read": "mean", "depth": 1}),
}  # fmt: skip
EVERY = pytest.mark.parametrize("case", CASES)
WHOLE = pytest.mark.parametrize("case", ["bag", "mlp", "convnet", "resnet", "recurrent", "transformer"])


def problem_of(kinds: tuple[str, ...]) -> Problem:
    state = {"type": "category", "column": "y", "classes": ["x", "y", "z"], "positive": 2, "counts": [1, 1, 1]}
    return Problem(tuple(SPECS[kind] for kind in kinds), category, state)


def ids_of(generator: np.random.Generator, num_rows: int, width: int, size: int) -> np.ndarray:
    """Live ones first, then padding; some rows have none."""
    live = np.arange(width) < generator.integers(0, width + 1, num_rows)[:, None]
    return np.where(live, generator.integers(2, size, (num_rows, width)), 0)


def rows_of(kinds: tuple[str, ...], num_rows: int, width: int = 6) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(num_rows + width)
    arrays = {
        "dense": generator.normal(size=(num_rows, 3)).astype(np.float32),
        "index": generator.integers(0, 5, num_rows),
        "set": ids_of(generator, num_rows, width, 65),
        "tokens": ids_of(generator, num_rows, width, 40),
        "image": generator.integers(0, 256, (num_rows, 1, 9, 7)).astype(np.uint8),
        "wave": generator.integers(0, 256, (num_rows, 1, 8, 10)).astype(np.uint8),
    }
    return {SPECS[kind].name: arrays[kind] for kind in kinds}


def tensors_of(rows: dict[str, np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in rows.values()]


def build(case: str) -> torch.nn.Module:
    name, kinds, options = CASES[case]
    module = choose("models", name, "")
    torch.manual_seed(5)
    return module.build(problem_of(kinds), module.Options(**options))


def stirred(network: torch.nn.Module) -> torch.nn.Module:
    """As after some training: no branch is 0, no norm does nothing."""
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer += 0.5 * torch.rand_like(buffer)
    return network.eval()


@cache
def drawn(case: str) -> tuple[torch.nn.Module, onnx.ModelProto]:
    network, kinds = stirred(build(case)), CASES[case][1]
    specs = problem_of(kinds).specs
    return network, export(network, specs, rows_of(kinds, 4))


def predicted(case: str, rows: dict[str, np.ndarray], batch_size: int = 256) -> np.ndarray:
    return run(drawn(case)[1], rows, batch_size=batch_size)["outputs"]


@EVERY
def test_the_graph_gives_what_torch_does_for_any_number_of_rows_and_any_width(case):
    kinds = CASES[case][1]
    for num_rows, width in ((0, 6), (1, 6), (1, 1), (2, 17), (7, 40), (300, 5)):
        rows = rows_of(kinds, num_rows, width)
        outputs = predicted(case, rows, batch_size=512)
        assert outputs.shape == (num_rows, 3)
        if num_rows:
            with torch.no_grad():
                expected = drawn(case)[0](*tensors_of(rows)).numpy()
            np.testing.assert_allclose(outputs, expected, atol=2e-5)
            assert num_rows < 7 or expected.std(0).min() > 1e-3


@EVERY
def test_a_row_alone_equals_the_row_in_its_batch(case):
    rows = rows_of(CASES[case][1], 9)
    np.testing.assert_allclose(predicted(case, rows, batch_size=1), predicted(case, rows), atol=5e-6)


@pytest.mark.parametrize("case", [case for case, (_, kinds, _) in CASES.items() if {"tokens", "set"} & {*kinds}])
def test_padding_at_the_end_changes_nothing(case):
    rows = rows_of(CASES[case][1], 9)
    wide = {
        name: np.pad(array, ((0, 0), (0, 11))) if name in ("encoded.set_1", "encoded.tokens_2") else array
        for name, array in rows.items()
    }
    np.testing.assert_allclose(predicted(case, wide), predicted(case, rows), atol=5e-6)
    with torch.no_grad():
        network = drawn(case)[0]
        np.testing.assert_allclose(network(*tensors_of(wide)), network(*tensors_of(rows)), atol=5e-6)


@WHOLE
def test_every_array_counts(case):
    """Change one array, and the answers change."""
    rows, other = rows_of(ALL, 12), rows_of(ALL, 12, 7)
    outputs = predicted(case, rows)
    for name in rows:
        assert np.abs(predicted(case, {**rows, name: other[name]}) - outputs).max() > 1e-4


@EVERY
def test_only_what_reads_in_order_minds_the_order_of_tokens(case):
    name, kinds, _ = CASES[case]
    if "tokens" in kinds:
        rows = rows_of(kinds, 6)
        rows["encoded.tokens_2"] = np.array([[2, 3, 4, 5, 6, 7]] * 6)
        turned = {**rows, "encoded.tokens_2": rows["encoded.tokens_2"][:, ::-1].copy()}
        change = np.abs(predicted(case, rows) - predicted(case, turned)).max()
        assert (change > 1e-4) == (name in ("recurrent", "transformer"))


@EVERY
def test_no_path_is_left_in_the_graph(case):
    graph = drawn(case)[1].SerializeToString()
    for trace in (b"site-packages", HERE, b"stages/", b"/home", b"/tmp", b".py", b"stack_trace"):
        assert trace not in graph


@EVERY
def test_the_same_seed_gives_the_same_first_weights(case):
    first, second = build(case).state_dict(), build(case).state_dict()
    assert {name: tensor.numpy().tobytes() for name, tensor in first.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in second.items()
    }


@EVERY
def test_the_first_answers_are_near_uniform(case):
    """The first loss is ln 3, as of one who knows nothing."""
    with torch.no_grad():
        outputs = build(case).eval()(*tensors_of(rows_of(CASES[case][1], 50)))
    assert outputs.abs().max() < 0.5
    assert outputs.std() < 0.2


@EVERY
def test_fifty_rows_are_learnt_by_heart(case):
    kinds, network = CASES[case][1], build(case)
    arrays = tensors_of(rows_of(kinds, 50))
    if kinds == ("tokens",):
        arrays[0] = torch.where(arrays[0].sum(1, keepdim=True) > 0, arrays[0], torch.arange(2, 8))
    truth = torch.from_numpy(np.random.default_rng(1).integers(0, 3, 50))
    for module in network.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
        if hasattr(module, "drop"):
            module.drop = 0.0
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.0)
    for number in range(150):
        outputs = network(*arrays)
        if number % 10 == 0 and len(outputs) == (outputs.reshape(50, -1, 3).mean(1).argmax(1) == truth).sum():
            break
        many = outputs.shape[1] if outputs.ndim == 3 else 1
        loss = torch.nn.functional.cross_entropy(outputs.reshape(-1, 3), truth.repeat_interleave(many))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        distinct = len({row.tobytes() for row in arrays[0].numpy()}) if kinds == ("tokens",) else 50
        right = (network.eval()(*arrays).argmax(1) == truth).sum()
    assert right >= 0.96 * distinct


def count_of(name: str, spec: ArraySpec, options: dict[str, Any]) -> int:
    state = {"type": "category", "column": "y", "classes": [f"{i}" for i in range(10)], "positive": 0}
    module = choose("models", name, "")
    network = module.build(Problem((spec,), category, state), module.Options(**options))
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "options", "num_parameters"),
    [
        ("mlp", {"hidden": [100], "activation": "sigmoid", "dropout": 0.0}, 784 * 100 + 100 + 100 * 10 + 10),
        (  # the two tutorial nets of Keras: 121,930 and 693,962
            "convnet", {"channels": [32, 64], "hidden": [64]},
            (9 * 32 + 32) + (9 * 32 * 64 + 64) + (5 * 5 * 64 * 64 + 64) + (64 * 10 + 10),
        ),
        (
            "convnet", {"channels": [32], "hidden": [128], "dropout": 0.5},
            (9 * 32 + 32) + (13 * 13 * 32 * 128 + 128) + (128 * 10 + 10),
        ),
    ],
)  # fmt: skip
def test_well_known_nets_can_be_declared(name, options, num_parameters):
    garment = ArraySpec("p", "image", ("f",), 784, (1, 28, 28), (0.3,), (0.3,))
    if name == "convnet":
        options |= {"patch": 1, "padding": "valid", "pool_last": True, "normalise": False, "grid": 28}
    assert count_of(name, garment, options) == num_parameters


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", {"width": 10, "heads": 4}, r"width \(here 10\) to be a multiple of heads \(here 4\)"),
        ("mlp", {"ensemble": 2, "normalise": "batch"}, "normalise: layer, or none, where ensemble is above 1"),
        ("mlp", {"activation": "swish"}, "'relu', 'gelu', 'silu', 'sigmoid' or 'tanh'"),
        ("recurrent", {"directions": 3}, "less than or equal to 2"),
    ],
)
def test_options_that_cannot_be_are_refused_with_what_can(name, options, message):
    from stages.training import options_of

    with pytest.raises(ContractError, match=message):
        options_of(name, options, "shop.train")


def test_a_picture_that_is_too_small_for_its_blocks_is_refused():
    module = choose("models", "convnet", "")
    options = module.Options(channels=[8, 8, 8], patch=1, padding="valid")
    with pytest.raises(ContractError, match="3 blocks with padding: valid leave nothing of f, 9×7 pixels"):
        module.build(problem_of(("image",)), options)


def test_members_of_an_ensemble_learn_apart_and_answer_together():
    network: Callable[..., torch.Tensor] = build("mlp for tables").train()
    arrays = tensors_of(rows_of(FEW, 8))
    apart = network(*arrays)
    assert apart.shape == (8, 3, 3)
    assert (apart[:, 0] - apart[:, 1]).abs().max() > 0
    module = choose("models", "mlp", "")
    plain = module.build(problem_of(FEW), module.Options(ensemble=4, dropout=0.0))
    together = plain.train()(*arrays).mean(1)
    torch.testing.assert_close(plain.eval()(*arrays), together)
