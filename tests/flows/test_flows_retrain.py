"""Retraining: nothing new, a new bundle, or the former one and the reason."""

import shutil
from typing import Any

import pytest

from flows import keep, retrain

pytestmark = pytest.mark.usefixtures("prefect")
FORMER = {"out.txt": b"shop one"}


def attempt() -> tuple[str, str]:
    state = retrain.retrain("shop", return_state=True)
    return state.type.name, state.message


def test_nothing_new_runs_nothing(project: Any) -> None:
    before = (project.root / "dvc.lock").stat().st_mtime_ns
    assert attempt() == ("COMPLETED", "nothing new")
    assert (project.root / "dvc.lock").stat().st_mtime_ns == before


def test_new_data_make_a_new_bundle(project: Any) -> None:
    project.bring("shop", "shop two")
    assert attempt() == ("COMPLETED", "new bundle")
    assert project.bundle("shop") == {"out.txt": b"shop two"}
    assert attempt() == ("COMPLETED", "nothing new")


def test_a_refusal_keeps_the_former_bundle_and_the_next_attempt_is_not_nothing_new(project: Any) -> None:
    refusal = "refused: package@shop: RefusedError: assay.json says not passed, former bundle kept"
    project.bring("shop", "refuse package")
    assert attempt() == ("FAILED", refusal)
    assert project.bundle("shop") == FORMER
    assert attempt() == ("FAILED", refusal)
    assert project.bundle("shop") == FORMER
    project.bring("shop", "shop two")
    assert attempt() == ("COMPLETED", "new bundle")
    assert project.bundle("shop") == {"out.txt": b"shop two"}


def test_data_that_go_back_to_what_they_were_need_no_new_bundle(project: Any) -> None:
    project.bring("shop", "refuse package")
    assert attempt()[0] == "FAILED"
    project.bring("shop", "shop one")
    assert attempt() == ("COMPLETED", "nothing new: the bundle came out the same, byte for byte")
    assert project.bundle("shop") == FORMER


def test_a_crash_is_a_failure_and_no_refusal(project: Any) -> None:
    project.bring("shop", "crash package")
    assert attempt() == ("FAILED", "failed: package@shop: Crash: KeyError: 'Quantity', former bundle kept")
    assert project.bundle("shop") == FORMER


def test_what_an_attempt_left_that_was_killed_is_mended_first(project: Any) -> None:
    bundle = project.root / "data/bundle/shop"
    shutil.copytree(bundle, keep.beside(bundle, "kept"))
    shutil.rmtree(bundle)
    assert attempt() == ("COMPLETED", "nothing new")
    assert project.bundle("shop") == FORMER


def test_a_source_out_of_reach_is_tried_again(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrain.look, "retry_delay_seconds", 0)
    tries: list[str] = []
    refresh = retrain.refresh

    def returns_at_the_second_try(pipeline: str, **arguments: Any) -> Any:
        tries.append(pipeline)
        if len(tries) == 2:
            project.bring("shop", "shop two")
        return refresh(pipeline, **arguments)

    monkeypatch.setattr(retrain, "refresh", returns_at_the_second_try)
    (project.root / "incoming/shop.csv").unlink()
    assert attempt() == ("COMPLETED", "new bundle")
    assert len(tries) == 2


def test_a_source_that_stays_out_of_reach_costs_no_bundle(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrain.look, "retry_delay_seconds", 0)
    (project.root / "incoming/shop.csv").unlink()
    kind, message = attempt()
    assert kind == "FAILED"
    assert message.startswith("failed: refresh@shop: SourceError: no file is at incoming/shop.csv")
    assert message.endswith("former bundle kept")
    assert project.bundle("shop") == FORMER


def test_a_contract_that_is_wrong_is_not_tried_again(project: Any) -> None:
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("incoming/shop.csv}", "[]}"))
    kind, message = attempt()  # with the real delays this would take minutes
    assert (kind, "ContractError" in message) == ("FAILED", True)
