"""From a raw table that nobody has declared to a bundle: the commands that `draft` names, word for word."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def wine(path: Path) -> None:
    """178 Italian wines of three cultivars (Forina, UCI; CC BY 4.0), as scikit-learn carries them."""
    from sklearn.datasets import load_wine

    table = load_wine(as_frame=True).frame
    table["cultivar"] = table.pop("target").map({0: "barolo", 1: "grignolino", 2: "barbera"})
    table.to_csv(path, index=False)


def tumours(path: Path) -> None:
    """569 biopsies (Wolberg, UCI; CC BY 4.0) as a German office exports them: semicolons and decimal commas."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame
    table.insert(0, "Patient-Nr", range(842_000, 842_000 + 7 * len(table), 7))
    table["gutartig"] = table.pop("target").map({0: "nein", 1: "ja"})
    table["Größe"] = table.pop("mean area")
    table.to_csv(path, index=False, sep=";", decimal=",", encoding="latin-1")


@pytest.mark.slow
@pytest.mark.parametrize("write_table", [wine, tumours])
def test_no_line_is_edited_between_a_raw_table_and_its_bundle(
    make_project: Callable[[Path], Path], tmp_path: Path, write_table: Callable[[Path], None]
) -> None:
    project = make_project(tmp_path)
    write_table(project / "incoming" / "new table.csv")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    environment["PYTHONPATH"] = str(project)

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, shell=True, cwd=project, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    shell("git init -q")
    said = shell("python -m stages.contract draft 'incoming/new table.csv'").stderr
    commands = [line.strip() for line in said.partition("next:")[2].splitlines() if line.strip()]
    assert [command.split()[2 if command.startswith("python -m") else 1] for command in commands] == [
        "stages.contract",
        "stages.fetch",
        "repro",
        "data/bundle/new_table/predict.py",
    ]
    answers = [shell(command) for command in commands][-1].stdout
    assert (project / "data" / "bundle" / "new_table" / "manifest.json").exists()
    assert "grignolino" in answers or "nein" in answers
