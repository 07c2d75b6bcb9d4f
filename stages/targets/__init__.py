"""What is predicted: each target type is one module of this folder, found by name.

A module gives: `fit` (labels → state), `encode` (labels → numbers), `num_outputs`, `loss`
(torch), `METRICS` and `scores`, `calibrate`, and `nodes` (outputs → probabilities and decision).
"""

from importlib import import_module
from types import ModuleType

from stages.contract.loader import seam
from stages.contract.target import Target
from stages.core.errors import ContractError


def target_module(target: Target) -> ModuleType:
    """Raises ContractError where no model can be trained for this type of target."""
    if target.type not in seam("targets"):
        raise ContractError(
            f"examples.target.type is {target.type!r}, for which no model can be trained yet; types that can be: "
            f"{', '.join(seam('targets'))}. The stages up to examples work: `dvc repro examples@<pipeline>`"
        )
    return import_module(f"stages.targets.{target.type}")
