"""The rules of `delays` as users write them by hand: `python -m benchmarks.contenders NAME RECORDS OUT`.

Each reads the same Parquet records and writes `table.parquet` and `rejects.parquet`, whose rows say which
rules they broke. Prints seconds, peak memory and what it kept, as JSON; the clock starts after imports and
after params.yaml was read.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
SPACE = " \t\n\r\v\f"
WORDS = ("origin", "destination")
COLUMNS = ["date", "delay", "distance", *WORDS]


@cache
def contract() -> Any:
    from stages.contract import load

    return load(Path("params.yaml"), "delays")


def bounds() -> dict[str, tuple[Any, Any]]:
    """Of each column, as params.yaml declares them."""
    columns = contract().columns
    date, delay, distance = columns["date"], columns["delay"], columns["distance"]
    return {
        "date": (datetime.fromisoformat(date.min), datetime.fromisoformat(date.max)),
        "delay": (delay.min, delay.max),
        "distance": (distance.min, distance.max),
    }


def with_pandas(files: list[str], out: Path) -> int:
    import pandas as pd

    records = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    table = pd.DataFrame({name: records[name] for name in ("date", "delay", "distance")})
    table["delay"] = table["delay"].astype("float64")
    table["distance"] = table["distance"].astype("float64")
    for name in WORDS:
        word = records[name].str.strip(SPACE).str.normalize("NFC")
        table[name] = word.mask(word.isin(MISSING))
    rules = {}
    for name, (low, high) in bounds().items():
        rules[f"{name}.required"] = table[name].isna()
        rules |= {f"{name}.min": table[name] < low} if low is not None else {}
        rules |= {f"{name}.max": table[name] > high} if high is not None else {}
    for name in WORDS:
        rules[f"{name}.required"] = table[name].isna()
        matches = table[name].str.fullmatch("[A-Z]{3}").fillna(False).astype(bool)
        rules[f"{name}.pattern"] = table[name].notna() & ~matches
    flags = pd.DataFrame(rules)
    broken = flags.any(axis=1)
    rejects = records[broken].copy()
    rejects["_rules"] = [[rule for rule, found in row.items() if found] for _, row in flags[broken].iterrows()]
    rejects.to_parquet(out / "rejects.parquet", compression="zstd")
    kept = table[~broken].drop_duplicates()
    kept.to_parquet(out / "table.parquet", compression="zstd", compression_level=1, index=False)
    return len(kept)


def with_polars(files: list[str], out: Path) -> int:
    import polars as pl

    def word(name: str) -> Any:
        text = pl.col(name).cast(pl.String).str.strip_chars(SPACE).str.normalize("NFC")
        return pl.when(text.is_in(MISSING)).then(None).otherwise(text).alias(name)

    numbers = [pl.col("delay").cast(pl.Float64), pl.col("distance").cast(pl.Float64)]
    table = pl.scan_parquet(files).with_columns(*numbers, *map(word, WORDS))
    rules = {}
    for name, (low, high) in bounds().items():
        rules[f"{name}.required"] = pl.col(name).is_null()
        rules |= {f"{name}.min": pl.col(name) < low} if low is not None else {}
        rules |= {f"{name}.max": pl.col(name) > high} if high is not None else {}
    for name in WORDS:
        rules[f"{name}.required"] = pl.col(name).is_null()
        rules[f"{name}.pattern"] = ~pl.col(name).str.contains("^(?:[A-Z]{3})$")
    rules = {rule: broken.fill_null(False) for rule, broken in rules.items()}
    named = [pl.when(broken).then(pl.lit(rule)) for rule, broken in rules.items()]
    table = table.with_columns(pl.any_horizontal(list(rules.values())).alias("_broken"))
    rejects = table.filter("_broken").with_columns(pl.concat_list(named).list.drop_nulls().alias("_rules"))
    rejects.sink_parquet(out / "rejects.parquet", compression="zstd")
    kept = table.filter(~pl.col("_broken")).select(COLUMNS).unique(keep="first", maintain_order=True)
    kept.sink_parquet(out / "table.parquet", compression="zstd", compression_level=1)
    return int(pl.scan_parquet(out / "table.parquet").select(pl.len()).collect().item())


def with_duckdb(files: list[str], out: Path) -> int:
    import duckdb

    connection = duckdb.connect()
    spelled = ", ".join(f"'{word}'" for word in MISSING)

    def word(name: str) -> str:
        text = f"nfc_normalize(trim({name}, '{SPACE}'))"
        return f"CASE WHEN {text} NOT IN ({spelled}) THEN {text} END AS {name}"

    rules = {}
    for name, (low, high) in bounds().items():
        rules[f"{name}.required"] = f"{name} IS NULL"
        rules |= {f"{name}.min": f"{name} < '{low}'"} if low is not None else {}
        rules |= {f"{name}.max": f"{name} > '{high}'"} if high is not None else {}
    for name in WORDS:
        rules[f"{name}.required"] = f"{name} IS NULL"
        rules[f"{name}.pattern"] = f"NOT regexp_full_match({name}, '[A-Z]{{3}}')"
    broken = " OR ".join(f"coalesce({rule}, false)" for rule in rules.values())
    named = ", ".join(f"CASE WHEN {rule} THEN '{name}' END" for name, rule in rules.items())
    connection.execute(
        f"""CREATE TEMP TABLE typed AS SELECT date, delay::DOUBLE AS delay, distance::DOUBLE AS distance,
        {", ".join(map(word, WORDS))}, _file, _record FROM read_parquet({files})"""
    )
    connection.execute(
        f"""COPY (SELECT *, list_filter([{named}], lambda rule: rule IS NOT NULL) AS _rules FROM typed WHERE {broken})
        TO '{out / "rejects.parquet"}' (COMPRESSION zstd)"""
    )
    connection.execute(
        f"""COPY (SELECT DISTINCT {", ".join(COLUMNS)} FROM typed WHERE NOT ({broken}))
        TO '{out / "table.parquet"}' (COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
    )
    return int(connection.sql(f"SELECT count(*) FROM '{out / 'table.parquet'}'").fetchall()[0][0])


def with_ingot(files: list[str], out: Path) -> int:
    """The stage's own function, with an empty store."""
    from stages.clean import clean
    from stages.core.files import write_json

    (out / "table").mkdir()
    folder = Path(files[0]).parent.parent
    report = clean(folder, contract(), out, out)
    write_json(out / "report.json", report)
    return int(report["kept"])


CONTENDERS: dict[str, Callable[[list[str], Path], int]] = {
    "pandas": with_pandas,
    "polars": with_polars,
    "duckdb": with_duckdb,
    "ingot": with_ingot,
}
IMPORTS = {
    "pandas": ["pandas", "pyarrow.parquet"],
    "polars": ["polars"],
    "duckdb": ["duckdb"],
    "ingot": ["pandas", "stages.clean"],  # pyarrow imports pandas with its first array
}


def main() -> None:
    from importlib import import_module

    name, records, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    for module in IMPORTS[name]:
        import_module(module)
    bounds()
    files = sorted(str(path) for path in (records / "parts").glob("*.parquet"))
    start = time.perf_counter()
    kept = CONTENDERS[name](files, out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "kept": kept}))


if __name__ == "__main__":
    main()
