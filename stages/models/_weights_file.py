"""A local file of weights and its declared SHA-256 in, its tensors out. No code of the file is run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.core.errors import ContractError
from stages.core.files import sha256


def read_weights(path: Path, declared: str, how: str) -> dict[str, Tensor]:
    """Tensors by name, of .safetensors, or of what torch.save wrote. `how` says where such a file is to be had.

    Raises ContractError where the file is absent, is another one, or holds other things than tensors.
    """
    if not path.is_file():
        raise ContractError(f"train.options.weights: there is no file {path}. {how}")
    found = sha256(path)
    if found != declared:
        raise ContractError(
            f"train.options.sha256: {path} has the SHA-256 {found}, declared is {declared}. Declare it if this is "
            f"the file that you mean. {how}"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zip's and torch's own, which share no parent
        raise ContractError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ContractError(f"{path} holds no mapping of names to tensors. Save a network's state_dict.")
    return dict(tensors)


def fill(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Raises ContractError, with the first differences, where names or shapes are not the network's."""
    own = network.state_dict()
    differences = [
        *(f"{name} is missing" for name in own if name not in tensors),
        *(f"{name} is unknown" for name in tensors if name not in own),
        *(
            f"{name} is {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
            for name in own
            if name in tensors and tensors[name].shape != own[name].shape
        ),
    ]
    if differences:
        raise ContractError(
            f"{path} does not fit the network, in {len(differences)} of {len(own)} tensors: "
            f"{'; '.join(differences[:3])}. Give the weights of the network that train.options.network names."
        )
    network.load_state_dict(tensors)
