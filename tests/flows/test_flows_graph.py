"""DVC's graph as the flows see it."""

from typing import Any

import pytest

from flows import graph
from stages.core.errors import ContractError


def test_a_stage_needs_the_stages_that_make_what_it_reads(project: Any) -> None:
    stages = graph.read()
    assert {name: stage.needs for name, stage in stages.items()} == {
        "fetch@shop": (),
        "fetch@toys": (),
        "package@shop": ("fetch@shop",),
        "package@toys": ("fetch@toys",),
    }


def test_the_stages_of_ingot_itself_form_one_chain_a_pipeline(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(request.config.rootpath)
    stages = graph.select(graph.read(), ["retail"])
    assert [stage.verb for stage in stages.values()] == [
        "fetch", "ingest", "clean", "validate", "examples", "features",
        "train", "evaluate", "compress", "assay", "package",
    ]  # fmt: skip


def test_a_stage_comes_after_all_that_it_needs(project: Any) -> None:
    assert list(graph.select(graph.read(), ["toys", "shop"])) == [
        "fetch@toys", "package@toys", "fetch@shop", "package@shop",
    ]  # fmt: skip


def test_stages_of_other_pipelines_come_along_where_they_are_needed() -> None:
    stages = {
        stage.name: stage
        for stage in (
            graph.Stage("words"),
            graph.Stage("train@teacher", ("words",)),
            graph.Stage("package@teacher", ("train@teacher",)),
            graph.Stage("train@pupil", ("train@teacher",)),
        )
    }
    assert list(graph.select(stages, ["pupil"])) == ["words", "train@teacher", "train@pupil"]
    assert list(graph.select(stages)) == ["words", "train@teacher", "package@teacher", "train@pupil"]


def test_a_misspelt_pipeline_is_told_with_what_there_is(project: Any) -> None:
    with pytest.raises(ContractError, match=r"no pipeline is named 'shup'. Did you mean 'shop'\?.*make shop, toys"):
        graph.select(graph.read(), ["shup"])


def test_a_folder_without_a_dvc_project_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ContractError, match="DVC cannot read"):
        graph.read()


def test_what_is_as_dvc_lock_has_it_has_no_changes(project: Any) -> None:
    assert graph.changes(list(graph.read())) == {}


def test_changes_say_what_differs(project: Any) -> None:
    project.lock("shop", "shop two")
    (project.root / "data/bundle/shop/out.txt").unlink()
    assert graph.changes(["fetch@shop", "package@shop", "fetch@toys"]) == {
        "fetch@shop": ["sources/shop/lock.json modified"],
        "package@shop": ["data/bundle/shop is modified"],
    }


def test_many_changes_are_told_in_brief() -> None:
    assert graph.brief(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
