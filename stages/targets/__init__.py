"""What is predicted: each target type is one module of this folder, found by name.

A module gives: `fit` (training examples → state), `encode` (examples → `target`, and `weight` where declared),
`num_outputs`, `loss` (torch), `calibrate`, `answer` (a network's outputs → what is scored), `answer_of_graph` (the
same of model.onnx), `prior` (the least baseline's answer), `METRICS`, `score_functions`, `plots`, and `nodes`
(outputs → answers, as ONNX) with `describe` for the bundle.
"""

from importlib import import_module
from types import ModuleType

from stages.contract.target import Target


def target_module(target: Target) -> ModuleType:
    """The module of a declared target."""
    return import_module(f"stages.targets.{target.type}")
