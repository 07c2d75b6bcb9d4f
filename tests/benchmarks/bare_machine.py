"""A module's name and arguments in; it runs here as where torch, numpy, pyarrow and safetensors alone are installed."""

import re
import runpy
import sys
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

INSTALLED = ["torch", "numpy", "pyarrow", "safetensors"]
OURS = {"stages", "serving", "flows", "benchmarks"}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_what_they_need(names: list[str]) -> set[str]:
    found, left = set(), list(names)
    while left:
        name = plain(left.pop())
        if name in found:
            continue
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # for another system, say
            continue
        found.add(name)
        left += [re.match(r"[\w.-]+", line)[0] for line in needed if "extra ==" not in line]
    return found


ALLOWED = with_what_they_need(INSTALLED)
ABSENT = {
    top for top, names in packages_distributions().items() if not any(plain(name) in ALLOWED for name in names)
} - OURS


class Bare(PathFinder):
    """Finds what is allowed; all else is simply not there."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.split(".")[0] in ABSENT else super().find_spec(fullname, path, target)


if __name__ == "__main__":
    assert {"pydantic", "onnx", "dvc", "prefect", "great_expectations", "pandas", "sklearn", "scipy"} <= ABSENT
    sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__")
