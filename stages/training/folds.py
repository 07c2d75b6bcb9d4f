"""Labelled examples in; the scores of models that never saw the rows they are scored on, out.

Every fold repeats the whole line: features are fitted on its training rows alone, early stopping
watches rows of its own, and rows of one group stay on one side.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.contract import Contract
from stages.core import cli, store
from stages.core.errors import ContractError
from stages.core.files import hash_json, read_json, write_json
from stages.core.problem import Problem
from stages.targets import target_module
from stages.training import Train, fit, options_of
from stages.training.features import arrays_of, fit_features
from stages.training.scoring import scoring_of

STOPPING_PARTS = 10  # one of so many parts is watched
CODE = ("training", "models", "targets", "statistics", "columns", "contract", "core")


def fold_of(groups: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """int [N]: each row's fold. Whole groups are dealt out in a random order, largest groups first."""
    names, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, filled = np.zeros(len(names), int), np.zeros(num_folds, int)
    for group in order:
        fold[group] = filled.argmin()
        filled[fold[group]] += sizes[group]
    return fold[codes]


def cross_validate(contract: Contract, examples: Path, num_folds: int, *, train: Train, seed: int) -> dict[str, Any]:
    """Scores of each fold over the train and validation examples, their mean and spread.

    Raises ContractError where there are fewer groups than folds.
    """
    tables, hashes = [], store.file_hashes([examples / "train.parquet", examples / "validation.parquet"])
    for name in ("train", "validation"):
        with (examples / f"{name}.parquet").open("rb") as file:
            tables.append(pq.read_table(file))
    table = pa.concat_tables(tables)
    groups = np.asarray(table.column("_group"))
    if (num_groups := len(np.unique(groups))) < num_folds:
        raise ContractError(
            f"{contract.pipeline}.evaluate.folds is {num_folds}, and the train and validation examples "
            f"have {num_groups} groups, which are not divided. Lower it, or set 0 for none"
        )
    folds = fold_of(groups, num_folds, seed)
    sections = {"train": train.model_dump(), **{name: contract.get(name) for name in ("features", "decide")}}
    scores = []
    for number in range(num_folds):
        key = store.key(
            hash_json([sections, contract.get("examples"), contract.get("columns")]),
            hashes,
            [number, num_folds, seed],
            code=CODE,
        )
        if not store.Store().has("folds", key):
            cli.progress(f"evaluate {contract.pipeline}: fold {number + 1} of {num_folds}")
            unseen = pa.array(folds == number)
            found = score_fold(contract, train, table.filter(pc.invert(unseen)), table.filter(unseen))
            with store.Store().put("folds", key) as folder:
                write_json(folder / "scores.json", found)
        scores.append(read_json(store.Store().path("folds", key) / "scores.json"))
    return {"rows": table.num_rows, "scores": scores, **summary(scores)}


def summary(scores: list[Mapping[str, float]]) -> dict[str, Any]:
    """Mean and standard deviation over folds of each score that all of them have."""
    names = [name for name in scores[0] if all(name in fold for fold in scores)]
    values = {name: np.array([fold[name] for fold in scores]) for name in names}
    return {
        "mean": {name: float(f"{values[name].mean():.6g}") for name in names},
        "standard_deviation": {name: float(f"{values[name].std(ddof=1):.6g}") for name in names},
    }


def score_fold(contract: Contract, section: Train, seen: pa.Table, unseen: pa.Table) -> dict[str, float]:
    """Fit features and the model of a `train` section on `seen`, and score it on `unseen`.

    Rows are kept back only where early stopping needs some to watch. The model is not calibrated,
    so scores that depend on calibration are left out.
    """
    _, options = options_of(section.model, section.options, f"{contract.pipeline}.train")
    parts = {"train": seen, "unseen": unseen}
    if section.patience is not None:
        groups = np.asarray(seen.column("_group"))
        if len(np.unique(groups)) < 2:
            raise ContractError(
                f"{contract.pipeline}.train.patience watches groups apart, and a fold learns from one group. Raise "
                "evaluate.folds, or leave patience out"
            )
        watched = pa.array(fold_of(groups, STOPPING_PARTS, section.seed) == 0)
        parts |= {"train": seen.filter(pc.invert(watched)), "validation": seen.filter(watched)}
    fitted = fit_features(parts["train"], contract)
    arrays = {name: arrays_of(part, fitted, contract) for name, part in parts.items()}
    problem = Problem(fitted.encoder.specs, target_module(contract.target), fitted.target, fitted.items)
    splits = {name: arrays[name] for name in parts if name != "unseen"}
    model = fit(section.model, options, problem, splits, recipe=section.recipe)
    scoring = scoring_of(problem, contract, section.seed)
    answer = problem.target.answer(
        model.predict(arrays["unseen"]), problem.target.UNCALIBRATED, state=problem.state, arrays=arrays["unseen"]
    )
    functions = scoring.functions(answer, arrays["unseen"])
    ones = np.ones((1, unseen.num_rows), np.float32)
    values = {name: float(function(ones)[0]) for name, function in functions.items()}
    kept = problem.target.free_of_calibration(problem.state)
    return {name: value for name, value in values.items() if name in kept and np.isfinite(value)}
