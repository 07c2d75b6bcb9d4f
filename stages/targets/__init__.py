"""What is predicted: each target type is one module of this folder, found by name.

A module gives: `fit` (labels → state), `encode` (labels → numbers), `num_outputs`, `loss`
(torch), `METRICS` and `scores`, `calibrate`, and `nodes` (outputs → probabilities and decision).
"""

from importlib import import_module
from types import ModuleType

from stages.contract.target import Target


def target_module(target: Target) -> ModuleType:
    return import_module(f"stages.targets.{target.type}")
