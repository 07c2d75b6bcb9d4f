"""A store of its own for every test, and readers of files that are written out in the test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stages.contract import Contract
from stages.ingest import About, Raw, ingest
from stages.ingest import options as typed

Read = Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path_factory.mktemp("store")))


def write(folder: Path, content: Mapping[str, bytes]) -> Path:
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read_all(module: ModuleType, raw: Raw, options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All records and all malformed lines, as one part after the other gives them."""
    names = module.units(raw, options)
    about = module.about(raw, options) if hasattr(module, "about") else About()
    raw = Raw(raw.folder, raw.sources, raw.columns, about.state)
    batches = [batch for unit in names for batch in module.read(raw, unit, options)]
    records = [row for batch in batches if batch.records.num_rows for row in batch.records.to_pylist()]
    return records, [dict(row) for batch in batches for row in batch.malformed]


@pytest.fixture
def reader(tmp_path):
    """For a format's module: writes the files, {name: bytes}, and reads them."""

    def of(module: ModuleType) -> Read:
        def run(content: Mapping[str, bytes], columns: tuple[str, ...] = (), **options: Any):
            folder = write(tmp_path / "raw", content)
            (tmp_path / "sources").mkdir(exist_ok=True)
            name = module.__name__.rpartition(".")[2]
            return read_all(module, Raw(folder, tmp_path / "sources", columns), module.Options(format=name, **options))

        return run

    return of


@pytest.fixture
def run(tmp_path):
    """The whole stage over files, {name: bytes}: returns (report, records, folder)."""

    def stage(content: Mapping[str, bytes], settings: Mapping[str, Any], columns: Mapping[str, Any]):
        from stages.core import parts

        folder = write(tmp_path / "raw", content)
        (tmp_path / "sources").mkdir(exist_ok=True)
        contract = Contract("shop", {"ingest": settings, "columns": columns})
        module, parsed = typed(contract)
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        out.mkdir()
        report = ingest(Raw(folder, tmp_path / "sources"), module, parsed, contract, out)
        return report, parts.read(out / "parts").to_pylist(), out

    return stage
