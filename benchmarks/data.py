"""Speed and memory of the data stages on `delays`: `python -m benchmarks.data [--large] [--repeats N]`.

What is printed is what docs/benchmarks.md shows. `--large` adds ten times as many rows, in 100 partitions.
Needs `data/raw/delays`, which `make benchmark` fetches.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.measure import ROOT, Results, column, in_turn, machine, ratio, run, table

RAW = ROOT / "data" / "raw" / "delays" / "flights-3m.parquet"
PARTITIONS, TIMES = 100, 10


def records_of(raw: Path, work: Path) -> Path:
    """The records that `ingest` makes of raw files."""
    out = work / "records"
    sources = work / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    command = ["-m", "stages.ingest", "--pipeline", "delays", "--raw", str(raw), "--sources", str(sources)]
    command += ["--out", str(out), "--status", str(work / "run")]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, env={"INGOT_STORE": str(work / "store")})
    return out


def write_partitions(folder: Path) -> None:
    """Ten times the flights, each time 10,000 miles longer so that none repeats another, in 100 files."""
    folder.mkdir(parents=True)
    with RAW.open("rb") as file:
        flights = pq.ParquetFile(file).read()
    step = flights.num_rows // (PARTITIONS // TIMES)
    place = flights.column_names.index("distance")
    for part in range(PARTITIONS):
        piece = flights.slice(part % (PARTITIONS // TIMES) * step, step)
        longer = pc.add(piece.column("distance"), pa.scalar(part // (PARTITIONS // TIMES) * 10_000))
        pq.write_table(piece.set_column(place, "distance", longer), folder / f"flights-{part:03d}.parquet")


def same_rejects(folders: dict[str, Path]) -> str:
    """The rejected records and their rules, which must be the same for all. Exits where they are not."""
    found = {}
    for name, folder in folders.items():
        rows = pq.ParquetFile(folder / "rejects.parquet").read(columns=["_file", "_record", "_rules"]).to_pylist()
        found[name] = sorted((row["_file"], row["_record"], tuple(sorted(row["_rules"]))) for row in rows)
    first = next(iter(found.values()))
    if any(rows != first for rows in found.values()):
        raise SystemExit(
            f"the contenders rejected different records: { {name: len(rows) for name, rows in found.items()} }"
        )
    return f"{len(first)} rejected by each, the same"


def clean(records: Path, work: Path, repeats: int, names: list[str]) -> Results:
    """The cleaning alone, each time into a new folder with a store of its own."""
    folders = {name: work / f"clean-{name}" for name in names}
    contenders = {
        name: ["benchmarks.alone", "benchmarks.contenders", name, str(records), str(folders[name])] for name in names
    }
    results = in_turn(contenders, repeats)
    kept = {name: {result["kept"] for result in found} for name, found in results.items()}
    if len(set.union(*kept.values())) != 1:
        raise SystemExit(f"the contenders kept different numbers of rows: {kept}")
    print(f"\n{next(iter(next(iter(kept.values())))):,} rows kept by each; {same_rejects(folders)}")
    return results


def ratios(results: Results, ours: str = "ingot") -> None:
    for name, found in results.items():
        if name != ours:
            print(f"- {name} / {ours}: time {ratio(column(found, 'seconds'), column(results[ours], 'seconds'))}, "
                  f"memory {ratio(column(found, 'peak_mb'), column(results[ours], 'peak_mb'))}")  # fmt: skip


def small(work: Path, repeats: int) -> Results:
    records = records_of(RAW.parent, work)
    rows = pq.read_metadata(RAW).num_rows
    cleaned = clean(records, work, repeats, ["pandas", "polars", "duckdb", "ingot"])
    table(f"Clean, {rows:,} rows", cleaned, rows)
    ratios(cleaned)
    checked = in_turn(
        {name: ["benchmarks.alone", "benchmarks.checked", name, str(records), str(work / f"checked-{name}")]
         for name in ("pandas", "pandas-undated", "ingot")}, max(3, repeats // 2),
    )  # fmt: skip
    table(f"Clean and validate, {rows:,} rows (pandas: with Great Expectations on the whole frame)", checked, rows)
    ratios(checked)
    return cleaned


def large(work: Path, repeats: int, before: Results) -> None:
    raw = work / "raw"
    write_partitions(raw)
    records = records_of(raw, work)
    rows = pq.read_metadata(RAW).num_rows // (PARTITIONS // TIMES) * PARTITIONS
    cleaned = clean(records, work, repeats, ["pandas", "polars", "duckdb", "ingot"])
    table(f"Clean, {rows:,} rows in {PARTITIONS} partitions", cleaned, rows)
    ratios(cleaned)
    less, more = (sorted(column(found["ingot"], "peak_mb")) for found in (before, cleaned))
    growth = more[len(more) // 2] - less[len(less) // 2]
    grown = rows - pq.read_metadata(RAW).num_rows
    allowed = (16 * grown) / 2**20 + 0.15 * less[len(less) // 2]
    each = growth * 2**20 / grown
    print(f"- memory grew by {growth:.0f} MB for {grown:,} rows, {each:.1f} bytes a row; allowed {allowed:.0f} MB")
    (work / "partitions").mkdir()
    found = run("benchmarks.partitions", str(raw), str(work / "partitions"))
    print_partitions(found)


def print_partitions(found: dict[str, Any]) -> None:
    names = found["full"]
    print(f"\n### One new partition of {PARTITIONS}\n\n| s | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for name, seconds in found.items():
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in seconds.values())} |")
    share = found["one more"]["part by part"] / found["full"]["part by part"]
    print(f"\npart by part: one more takes {share:.1%} of the full time")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--large", action="store_true", help="30,000,000 rows too: an hour, 5 GB of disk")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to keep every single run")
    arguments = parser.parse_args()
    if not RAW.exists():
        raise SystemExit(
            f"{RAW.relative_to(ROOT)} does not exist. Run `make benchmark`, or\n"
            "python -m stages.fetch --pipeline delays --lock sources/delays/lock.json --out data/raw/delays"
        )
    print(machine(), flush=True)
    work = Path(tempfile.mkdtemp(prefix="ingot-benchmark-"))
    try:
        before = small(work / "small", arguments.repeats)
        if arguments.json:
            arguments.json.write_text(json.dumps(before, indent=1))
        if arguments.large:
            large(work / "large", max(3, arguments.repeats // 2), before)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
