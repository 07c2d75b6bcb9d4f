"""What is predicted: each target type is one module of this folder, found by name.

A module gives: `fit` (training examples → state), `encode` (examples → `target`, and `weight` where declared),
`num_outputs`, `loss` (torch), `calibrate`, `answer` (a network's outputs → what is scored), `answer_of_graph` (the
same of model.onnx), `METRICS`, `score_functions`, `free_of_calibration`, `plots`, and `nodes` (outputs → answers, as
ONNX) with `describe` for the bundle. `prior`, one answer for all rows, where the model of that name gives none.
"""

from importlib import import_module
from types import ModuleType

from stages.contract.target import Target


def target_module(target: Target) -> ModuleType:
    """The module of a declared target."""
    return import_module(f"stages.targets.{target.type}")
