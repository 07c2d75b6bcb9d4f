"""Contenders in, their times and peak memories out: each run is a process of its own, and the runs take turns."""

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESAMPLES = 10_000


def run(module: str, *arguments: str) -> dict[str, Any]:
    """`python -m <module> …`, which prints JSON with `seconds` and `peak_mb` as its last line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GX_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


Results = dict[str, list[dict[str, Any]]]


def in_turn(contenders: Mapping[str, Sequence[str]], repeats: int, *, warm: bool = True) -> Results:
    """Each contender `repeats` times, in a new order each round; a first round that is not counted fills the caches."""
    results: Results = {name: [] for name in contenders}
    order = random.Random(0)
    for place in range(repeats + warm):
        names = list(contenders)
        order.shuffle(names)
        for name in names:
            result = run(*contenders[name])
            if place or not warm:
                results[name].append(result)
            print(f"  {name}: {result['seconds']:.2f} s, {result['peak_mb']} MB", file=sys.stderr, flush=True)
    return results


def ratio(above: Sequence[float], below: Sequence[float]) -> str:
    """The ratio of two medians and its 95% percentile interval (bootstrap over the runs, paired by round)."""
    draw = random.Random(0)
    rounds = range(len(above))
    samples = []
    for _ in range(RESAMPLES):
        chosen = [draw.choice(rounds) for _ in rounds]
        samples.append(statistics.median(above[i] for i in chosen) / statistics.median(below[i] for i in chosen))
    samples.sort()
    low, high = samples[int(0.025 * RESAMPLES)], samples[int(0.975 * RESAMPLES) - 1]
    return f"{statistics.median(above) / statistics.median(below):.2f} [{low:.2f}, {high:.2f}]"


def column(results: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [result[key] for result in results]


def table(title: str, results: Mapping[str, Sequence[Mapping[str, Any]]], rows: int) -> None:
    """A Markdown table: median seconds and range, rows a second, peak memory."""
    print(f"\n### {title}\n\n| | median s | min … max s | million rows a second | peak MB |\n|---|---:|---:|---:|---:|")
    for name, found in results.items():
        seconds = column(found, "seconds")
        middle = statistics.median(seconds)
        print(
            f"| {name} | {middle:.2f} | {min(seconds):.2f} … {max(seconds):.2f} | {rows / middle / 1e6:.2f} "
            f"| {statistics.median(column(found, 'peak_mb')):.0f} |"
        )


def machine() -> str:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = ", ".join(sorted({line.split(":")[1].strip() for line in lines if "model name" in line}))
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    load = os.getloadavg()[0]
    gib = int(memory.split()[1]) / 2**20
    version = sys.version.split()[0]
    return f"{os.cpu_count()} × {names}, {gib:.0f} GiB, Python {version}, load at start {load:.2f}"
