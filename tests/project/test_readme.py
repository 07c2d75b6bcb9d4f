"""The README's "Your own data", done as written: a table of which nothing in the project knows."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def section(title: str) -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]


def test_your_own_data_works_as_written(make_project: Callable[[Path], Path], tmp_path: Path) -> None:
    text = section("Your own data")
    commands, excerpt = re.findall(r"```(?:yaml)?\n(.*?)```", text, flags=re.DOTALL)
    project = make_project(tmp_path)
    shutil.copyfile(ROOT / "params.yaml", project / "params.yaml")
    assert "tickets" not in (project / "params.yaml").read_text()
    shutil.rmtree(project / "sources" / "tickets")
    (project / "new.csv").write_text("opened,plan,seats,message\n2025-06-01,pro,2,refund cancel broken slow\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(project),
        "HOME": str(tmp_path),
    }
    printed = ""
    for command in commands.strip().splitlines():
        done = subprocess.run(
            command, shell=True, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    params = (project / "params.yaml").read_text()
    assert [line for line in excerpt.splitlines() if line not in params.splitlines()] == []
    assert re.search(r"^pipelines: \{.*tickets: \{\}\}", params, flags=re.MULTILINE)
    assert "tickets: sound" in printed
    assert "added 1 file" in printed
    assert re.search(r"^new\.csv row 1: yes \(yes \d+\.\d%", printed, flags=re.MULTILINE)


def test_every_make_target_and_module_that_the_readme_names_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
    for module in set(re.findall(r"python -m ((?:stages|flows)[\w.]*)", text)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"python -m {module}"
    tree = text.split("```")
    for folder in re.findall(r"^  (\w+/)", "\n".join(tree), flags=re.MULTILINE):
        assert (ROOT / "stages" / folder).is_dir(), folder


def test_dvc_can_change_one_number_of_params_yaml_and_read_it_again(tmp_path: Path) -> None:
    """`dvc exp run -S` rewrites the file without our quotes: an unquoted "pkg:…" in {} is no YAML."""
    from dvc.utils.hydra import apply_overrides
    from dvc.utils.serialize import load_yaml

    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    before = load_yaml(tmp_path / "params.yaml")
    apply_overrides(tmp_path / "params.yaml", ["retail.train.epochs=30"])
    after = load_yaml(tmp_path / "params.yaml")
    assert after["retail"]["train"].pop("epochs") == 30
    assert before["retail"]["train"].pop("epochs") == 20
    assert after == before


def test_the_readme_has_its_results() -> None:
    assert section("Results").count("\n|") >= 5
