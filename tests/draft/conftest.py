"""Raw files with the faults that people's files have, and drafts of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.draft import Draft, draft


@pytest.fixture
def drafted(tmp_path: Path) -> Callable[..., tuple[Draft, dict[str, Any]]]:
    """Writes bytes to a file of a project, drafts it, and reads the draft back as YAML."""

    def make(content: bytes, name: str = "raw.csv", target: str | None = None) -> tuple[Draft, dict[str, Any]]:
        path = tmp_path / name
        path.write_bytes(content)
        made = draft([path], root=tmp_path, name=None, wanted=target, taken=[])
        return made, YAML(typ="safe", pure=True).load(made.text)[made.plan.name]

    return make
