"""Folds that the groups of the examples are too few for."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.contract.loader import Contract
from stages.core.errors import ContractError
from stages.training import Train
from stages.training.folds import cross_validate, score_fold


@pytest.fixture
def contract():
    columns = {"a": {"type": "number"}, "y": {"type": "category"}}
    return Contract("shop", {"columns": columns, "examples": {"target": {"column": "y"}}})


def test_fewer_groups_than_folds_are_told_before_any_is_fitted(contract, tmp_path):
    for name, groups in (("train", [1, 1, 2]), ("validation", [3])):
        rows = {"_group": groups, "a": [0.5] * len(groups), "y": ["no"] * len(groups)}
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    with pytest.raises(
        ContractError,
        match=r"shop\.evaluate\.folds is 5, and the train and validation examples have 3 groups.* Lower it",
    ):
        cross_validate(contract, tmp_path, 5, train=Train(model="linear"), seed=0)


def test_one_group_cannot_be_learnt_from_and_watched(contract):
    seen = pa.table({"_group": [1, 1], "a": [0.5, 0.7], "y": ["no", "yes"]})
    with pytest.raises(
        ContractError, match=r"a fold learns from one group\. Raise evaluate\.folds, or leave patience out"
    ):
        score_fold(contract, Train(model="mlp", patience=2), seen, seen)
