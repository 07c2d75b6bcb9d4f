"""Who may import whom, held against every file; and where torch, Prefect and others are known."""

import ast
from pathlib import Path

import pytest

from stages.contract import STAGES

ROOT = Path(__file__).parent.parent
SEAMS = {"columns", "models", "targets", "training", "compression", "statistics", "duplicates"}
SHARED = {"contract", "core"}
# Tools that a person runs beside the stages may ask any of them: `draft` writes their sections, `tune` searches train's
# settings. `contract` calls `draft` as a command, and only there; nothing else knows them.
TOOLS = {"draft", "tune"}
LENDS_TOOLS = {"stages/contract/__main__.py"}
ONLY_IN = {
    "prefect": ["flows/"],
    "great_expectations": ["stages/validate/"],
    "torch": [
        "stages/training/",
        "stages/models/_",
        "stages/models/factorization.py",
        "stages/models/mlp.py",
        "stages/models/pairs.py",
        "stages/models/bag.py",
        "stages/models/convnet.py",
        "stages/models/resnet.py",
        "stages/models/recurrent.py",
        "stages/models/transformer.py",
        "stages/models/pretrained.py",
        "stages/targets/",
    ],
    "dvc": ["flows/"],
}
HEAVY = ("torch", "pandas", "sklearn", "scipy", "great_expectations", "prefect", "duckdb", "lightgbm", "onnxruntime")


def imports(tree: ast.AST) -> set[str]:
    """Dotted names of all that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: str) -> str:
    """The part of the tree that a file belongs to: flows, serving, contract, core, a seam, or a stage."""
    parts = Path(path).with_suffix("").parts
    return parts[1] if parts[0] == "stages" and len(parts) > 1 else parts[0]


def broken(path: str, text: str) -> list[str]:
    """The rules that a file breaks."""
    here, found = room(path), []
    for name in sorted(imports(ast.parse(text))):
        top = name.split(".")[0]
        if name.startswith("."):
            found.append(f"{path}: {name} is a relative import, which hides where it leads")
        there = name.split(".")[1] if top == "stages" and "." in name else top
        for library, homes in ONLY_IN.items():
            if top == library and not path.startswith(tuple(homes)):
                found.append(f"{path} imports {library}, which only {', '.join(homes)} may know")
        if here in STAGES and there in STAGES and there != here:
            found.append(f"{path}: a stage imports the stage {there}")
        if here in SEAMS and (there in STAGES or there == "flows"):
            found.append(f"{path}: {here} imports {there}")
        if here in SHARED and (there in SEAMS | {*STAGES} | {"flows", "serving"}):
            found.append(f"{path}: {here} imports {there}")
        if there in TOOLS and here not in TOOLS and path not in LENDS_TOOLS:
            found.append(f"{path} imports the tool {there}")
        if here in TOOLS and there == "flows":
            found.append(f"{path}: {here} imports {there}")
        if here == "serving" and top in ("stages", "flows"):
            found.append(f"{path}: serving imports {name}")
        if top == "flows" and here != "flows":
            found.append(f"{path} imports {name}")
        if top == "serving" and here not in ("serving", "columns", "ingest", "package", "draft"):
            found.append(f"{path} imports {name}")
    return sorted(set(found))


def sources() -> list[Path]:
    return sorted(path for folder in ("stages", "serving", "flows") for path in (ROOT / folder).rglob("*.py"))


def test_every_file_keeps_the_rules() -> None:
    assert len(sources()) > 60
    assert [line for path in sources() for line in broken(path.relative_to(ROOT).as_posix(), path.read_text())] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("stages/train.py", "from stages.evaluate import judge"),
        ("stages/columns/number.py", "import torch"),
        ("stages/columns/number.py", "def f():\n    import torch.nn"),
        ("stages/core/files.py", "from stages.columns import fit"),
        ("stages/clean.py", "import prefect"),
        ("stages/clean.py", "import great_expectations as gx"),
        ("serving/prepare.py", "from stages.core import files"),
        ("stages/models/linear.py", "from stages import train"),
        ("stages/contract/loader.py", "from flows.run import run"),
        ("stages/examples/split.py", "from ..train import main"),
        ("stages/clean/rows.py", "from stages.draft import draft"),
        ("stages/contract/loader.py", "from stages.draft import draft"),
        ("stages/draft/guess.py", "import torch"),
        ("stages/train.py", "from stages.tune.study import Search"),
        ("stages/tune/study.py", "import torch"),
    ],
)
def test_a_planted_fault_is_found(path: str, text: str) -> None:
    assert broken(path, text) != []


def test_files_and_functions_fit_in_a_head() -> None:
    """At most 300 lines a file, and 60 a function: past that it is two things."""
    assert [path.name for path in sources() if len(path.read_text().splitlines()) > 300] == []
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 60
    ]
    assert long == []


def test_importing_a_stage_does_no_work_and_loads_nothing_heavy() -> None:
    """Process start-up counts: `python -m stages.contract check` imports them all."""
    import subprocess
    import sys

    code = (
        "import sys, importlib\n"
        f"for stage in {sorted(STAGES)!r}: importlib.import_module('stages.' + stage)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()
        == "[]"
    )
