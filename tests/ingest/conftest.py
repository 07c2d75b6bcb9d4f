"""A store of its own for every test."""

import pytest


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path_factory.mktemp("store")))
