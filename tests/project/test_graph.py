"""dvc.yaml against reality: real `dvc repro` runs of a small project, and what they touched."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.contract import STAGES

RECORDER = Path(__file__).parent / "recorder"
ROOT = Path(__file__).parent.parent.parent
LOCKED = {"fetch": ["incoming"]}  # raw files in place: the lock, a declared dependency, pins their bytes
TARGETS = ("package@retail", "ingest@fashion", "ingest@spam")


def dvc(project: Path, *arguments: str, record: Path | None = None) -> str:
    """Run dvc as a user does; returns what it printed. The project's own code is imported, not ours."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    environment["PYTHONPATH"] = str(project)
    if record is not None:
        environment |= {"INGOT_RECORD": str(record), "PYTHONPATH": f"{RECORDER}:{project}"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def as_clone(project: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    return project


@pytest.fixture(scope="module")
def reproduced(make_project: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project after `dvc repro`, and the folder with what each stage touched."""
    project, record = as_clone(make_project(tmp_path_factory.mktemp("first"))), tmp_path_factory.mktemp("record")
    dvc(project, "repro", *TARGETS, record=record)
    return project, record


def undeclared(graph: dict[str, Any], record: Path) -> list[str]:
    """Everything that a stage touched and dvc.yaml does not declare for it."""
    found = []
    for path in sorted(record.glob("*.json")):
        stage, pipeline = path.name.split(".")[:2]
        body = json.loads(json.dumps(graph[stage]["do"]).replace("${key}", pipeline))
        touched = json.loads(path.read_text())
        own = [
            str(next(iter(out))) if isinstance(out, dict) else out
            for kind in ("outs", "metrics", "plots")
            for out in body.get(kind, [])
        ]
        for name in touched["files"]:
            if not under(
                name, [*body["deps"], "params.yaml", "data/.store", "data/.run", *LOCKED.get(stage, [])]
            ) and not partial(name, own):
                found.append(f"{stage}@{pipeline} reads {name}")
        for name in touched["modules"]:
            if not under(name, body["deps"]) and (ROOT / name).read_text().strip():  # an empty __init__.py says nothing
                found.append(f"{stage}@{pipeline} imports {name}")
        for key in touched["keys"]:
            if not any(key == declared or key.startswith(f"{declared}.") for declared in body["params"]):
                found.append(f"{stage}@{pipeline} uses the parameter {key}")
    return found


def under(name: str, folders: list[str]) -> bool:
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


def partial(name: str, own: list[str]) -> bool:
    """A stage may read what it has just written: its own out, under its temporary name."""
    parts = Path(name).parts
    return any(
        part.startswith(".")
        and part.endswith(".partial")
        and under("/".join([*parts[:i], part[1:-8]]), [str(Path(out).parents[0]) for out in own] + own)
        for i, part in enumerate(parts)
    ) or under(name, own)


def load_graph() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    return stages


def test_dvc_yaml_declares_all_that_a_stage_touches(reproduced: tuple[Path, Path]) -> None:
    records = {path.stem for path in reproduced[1].glob("*.json")}
    assert {f"{stage}.retail" for stage in STAGES} | {"ingest.fashion", "ingest.spam"} <= records
    assert undeclared(load_graph(), reproduced[1]) == []


@pytest.mark.parametrize(
    ("stage", "kind", "planted", "complaint"),
    [
        ("train", "deps", "stages/models", "train@retail imports stages/models/mlp.py"),
        ("examples", "deps", "sources/${key}", "examples@retail reads sources/retail/derive.sql"),
        ("evaluate", "params", "${key}.decide", "evaluate@retail uses the parameter retail.decide"),
        ("assay", "deps", "data/examples/${key}/test.parquet", "assay@retail reads data/examples/retail/test.parquet"),
    ],
)
def test_an_undeclared_dependency_is_found(
    reproduced: tuple[Path, Path], stage: str, kind: str, planted: str, complaint: str
) -> None:
    graph = load_graph()
    graph[stage]["do"][kind].remove(planted)
    assert complaint in undeclared(graph, reproduced[1])


def test_only_assay_sees_the_test_split(reproduced: tuple[Path, Path]) -> None:
    readers = [
        path.stem
        for path in reproduced[1].glob("*.json")
        if "data/examples/retail/test.parquet" in json.loads(path.read_text())["files"]
    ]
    assert readers == ["assay.retail"]


def test_a_second_run_does_nothing(reproduced: tuple[Path, Path]) -> None:
    assert ran(dvc(reproduced[0], "repro", *TARGETS)) == []


def test_a_project_built_elsewhere_gives_the_same_bytes(reproduced: tuple[Path, Path], built: Path) -> None:
    """By dvc in one folder, in this process in another: the bundles differ only in what is marked as measured."""
    folders = [project / "data" / "bundle" / "retail" for project in (reproduced[0], built)]
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    measured = {entry["path"] for entry in manifests[0]["files"] if entry.get("measured")}
    assert measured == {"latency.json"}
    contents = [{file["path"]: file["sha256"] for file in manifest["files"]} for manifest in manifests]
    assert {name for name in contents[0] if contents[0][name] != contents[1][name]} <= measured
    assert contents[0].keys() == contents[1].keys()
    weights = [project / "data" / "model" / "retail" / "weights.safetensors" for project in (reproduced[0], built)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_new_learning_rate_reruns_the_stages_below_it_alone(reproduced: tuple[Path, Path], tmp_path: Path) -> None:
    project = Path(shutil.copytree(reproduced[0], tmp_path / "project", symlinks=True))
    text = (project / "params.yaml").read_text()
    assert text.count("learning_rate: 0.002, weight_decay: 0.1") == 1
    (project / "params.yaml").write_text(
        text.replace("learning_rate: 0.002, weight_decay: 0.1", "learning_rate: 0.004, weight_decay: 0.1")
    )
    assert ran(dvc(project, "repro", *TARGETS)) == [
        f"{stage}@retail" for stage in ("train", "evaluate", "compress", "assay", "package")
    ]


def test_the_plan_says_what_would_run_and_why(reproduced: tuple[Path, Path], tmp_path: Path) -> None:
    project = Path(shutil.copytree(reproduced[0], tmp_path / "project", symlinks=True))
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("assay: {gates: [{metric: log_loss", "assay: {gates: [{metric: brier", 1)
    )
    plan = subprocess.run(
        [sys.executable, "-m", "flows.plan"], cwd=project, env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    retail = [line for line in plan if "@retail" in line.split(":")[0]]
    assert retail == [
        "assay@retail: params.yaml: retail.assay modified",
        "package@retail: if assay@retail gives something new",
    ]
    assert "train@fashion: it has never run here" in plan


def test_metrics_and_plots_are_shown(reproduced: tuple[Path, Path]) -> None:
    metrics = json.loads(dvc(reproduced[0], "metrics", "show", "--json").splitlines()[0])
    data = metrics[""]["data"]["data/evaluation/retail/metrics.json"]["data"]
    assert set(data) == {"model", "prior", "linear", "boosting"}
    shown = dvc(reproduced[0], "plots", "show", "data/evaluation/retail/plots/confusion.csv")
    assert "file://" in shown


@pytest.mark.slow
def test_an_experiment_changes_one_number_and_leaves_the_workspace_its_result(
    reproduced: tuple[Path, Path], tmp_path: Path
) -> None:
    project = Path(shutil.copytree(reproduced[0], tmp_path / "project", symlinks=True))
    author = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    subprocess.run(["git", *author, "commit", "-qm", "all"], cwd=project, check=True)
    printed = dvc(project, "exp", "run", "-S", "retail.train.epochs=3", "package@retail")
    assert [name for name in ran(printed) if name.startswith(("train", "package"))] == [
        "train@retail",
        "package@retail",
    ]
    assert len((project / "data" / "model" / "retail" / "history.csv").read_text().splitlines()) == 4


@pytest.mark.slow
def test_a_convnet_and_a_bag_built_twice_give_the_same_bytes(
    built: Path, make_project: Callable[[Path], Path], run_stage: Callable[..., None], tmp_path: Path
) -> None:
    again = make_project(tmp_path)
    for pipeline in ("fashion", "spam"):
        run_stage(again, pipeline)
        for name in (
            f"model/{pipeline}/weights.safetensors",
            f"model/{pipeline}/network.onnx",
            f"bundle/{pipeline}/model.onnx",
        ):
            assert (built / "data" / name).read_bytes() == (again / "data" / name).read_bytes(), name
