"""Loaded by every Python below a PYTHONPATH that names this folder: notes what a stage touches.

Writes `$INGOT_RECORD/<stage>.<pipeline>.json`: files opened, modules loaded, parameter keys read.
"""

import atexit
import json
import os
import sys
from pathlib import Path
from typing import Any


def start(folder: Path, stage: str, pipeline: str) -> None:
    root, opened = Path.cwd(), set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            mode, flags = arguments[1], arguments[2]
            if (mode and "r" in mode) or (mode is None and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                opened.add(os.path.abspath(os.fsdecode(arguments[0])))

    def finish() -> None:
        from stages.contract.loader import HANDED_OUT

        inside = {path for path in opened if path.startswith(f"{root}/") and "/.venv/" not in path}
        modules = {module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
        record = {
            "files": sorted(str(Path(path).relative_to(root)) for path in inside if not path.endswith((".py", ".pyc"))),
            "modules": sorted(
                str(Path(path).relative_to(root))
                for path in modules
                if path.startswith(f"{root}/") and "/.venv/" not in path
            ),
            "keys": sorted(HANDED_OUT),
        }
        (folder / f"{stage}.{pipeline}.json").write_text(json.dumps(record))

    sys.addaudithook(note)
    atexit.register(finish)


line = sys.orig_argv
if os.environ.get("INGOT_RECORD") and "-m" in line and line[line.index("-m") + 1].startswith("stages."):
    start(
        Path(os.environ["INGOT_RECORD"]),
        line[line.index("-m") + 1].removeprefix("stages."),
        line[line.index("--pipeline") + 1],
    )
