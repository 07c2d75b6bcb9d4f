"""A contender in an empty folder with an empty store: `python -m benchmarks.alone MODULE NAME RECORDS OUT`."""

import os
import runpy
import shutil
import sys
from pathlib import Path


def main() -> None:
    module, out = sys.argv[1], Path(sys.argv[4])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.environ["INGOT_STORE"] = str(out / "store")
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
