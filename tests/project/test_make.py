"""The Makefile's own logic, over a project of three small stages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
GRAPH = """
stages:
  package:
    foreach: {a: 1, b: 0, c: 0}
    do:
      cmd: "test ${item} = 0 && echo made > ${key}.txt"
      outs: ["${key}.txt"]
"""


def test_make_all_builds_what_can_be_built_and_fails_where_one_failed(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    (tmp_path / "scripts").mkdir()
    for name in ("constraints.txt", "pyproject.toml", "scripts/install.sh"):
        (tmp_path / name).touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, env=environment, check=True)
    done = subprocess.run(
        ["make", "all", "JOBS=1"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "failed to reproduce 'package@a'" in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["b.txt", "c.txt", "constraints.txt"]
