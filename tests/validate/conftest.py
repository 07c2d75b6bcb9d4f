"""A store of its own and a shop for every test."""

import pytest
from validate_shop import Shop


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("INGOT_NOW", raising=False)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)
