"""A throw-away project of two pipelines, shop and toys, whose two stages do what their data say."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

HOME = tempfile.mkdtemp(prefix="ingot-prefect-")
os.environ["PREFECT_HOME"] = HOME  # before any import of flows: Prefect reads it once

from flows import graph  # noqa: E402
from flows.graph import Stage  # noqa: E402
from flows.reproduce import Children, Failure, reproduce  # noqa: E402
from stages.fetch import refresh  # noqa: E402

STEP = """
import json, sys, time
from pathlib import Path

stage, pipeline, source, out = sys.argv[1:]
text, out = Path(source).read_text(), Path(out)
out.mkdir(parents=True)
record = Path("data/.run") / f"{pipeline}.{stage}.json"
record.parent.mkdir(parents=True, exist_ok=True)
if f"slow {stage}" in text:
    (out / "half.txt").write_text("half")
    time.sleep(60)
if f"refuse {stage}" in text:
    record.write_text(json.dumps({"error": "RefusedError", "message": "assay.json says not passed"}))
    sys.exit(5)
if f"crash {stage}" in text:
    raise KeyError("Quantity")
(out / "out.txt").write_text(text)
print(f"{stage} {pipeline}: {len(text)} characters")
"""
DVC_YAML = """
    stages:
      fetch:
        foreach: ${pipelines}
        do:
          cmd: python step.py fetch ${key} incoming/${key}.csv data/raw/${key}
          deps: ["sources/${key}/lock.json"]
          outs: ["data/raw/${key}"]
      package:
        foreach: ${pipelines}
        do:
          cmd: python step.py package ${key} data/raw/${key}/out.txt data/bundle/${key}
          deps: ["data/raw/${key}"]
          outs: ["data/bundle/${key}"]
    """
PARAMS_YAML = """
    pipelines: {shop: {}, toys: {}}
    shop: {fetch: {from: incoming/shop.csv}}
    toys: {fetch: {from: incoming/toys.csv}}
    """


# Of libraries that DVC uses, in DVC's own calls.
UNAVOIDABLE = ("ignore:_NoneStep.value will soon raise:DeprecationWarning",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for text in UNAVOIDABLE:
                item.add_marker(pytest.mark.filterwarnings(text))


@dataclass
class Project:
    root: Path

    def bring(self, pipeline: str, text: str) -> None:
        """New data lie at the source."""
        (self.root / "incoming" / f"{pipeline}.csv").write_text(text)

    def lock(self, pipeline: str, text: str) -> None:
        """New data, and the lock that names them."""
        self.bring(pipeline, text)
        refresh(pipeline, params=self.root / "params.yaml")

    def bundle(self, pipeline: str) -> dict[str, bytes]:
        folder = self.root / "data" / "bundle" / pipeline
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}

    def stage(self, name: str) -> Stage:
        return graph.read()[name]

    def reproduce(self, name: str, say: Callable[[str], None] = lambda line: None) -> Failure | None:
        with Children() as children:
            return reproduce(self.stage(name), say=say, children=children)

    def build(self, pipeline: str) -> None:
        assert self.reproduce(f"fetch@{pipeline}") is None
        assert self.reproduce(f"package@{pipeline}") is None


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    (root / "dvc.yaml").write_text(dedent(DVC_YAML))
    (root / "params.yaml").write_text(dedent(PARAMS_YAML))
    (root / "step.py").write_text(STEP)
    (root / "incoming").mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=root, check=True)
    for option in ("core.analytics", "core.check_update"):
        subprocess.run([sys.executable, "-m", "dvc", "config", option, "false"], cwd=root, check=True)
    project = Project(root)
    with contextlib.chdir(root):
        for pipeline in ("shop", "toys"):
            project.lock(pipeline, f"{pipeline} one")
            project.build(pipeline)
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Built once, copied for each test, which works in it: both bundles are there, nothing has changed."""
    root = tmp_path / "project"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """A Prefect server with a database of its own: 11 s, once."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def prefect_home() -> Iterator[None]:
    yield
    shutil.rmtree(HOME, ignore_errors=True)
