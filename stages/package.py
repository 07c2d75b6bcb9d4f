"""Everything that the earlier stages proved in, a bundle that proves itself out.

Refuses without a passed assay of the very model that it packs. The manifest is written last.
"""

import base64
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

import serving
from stages.columns import inputs, timestamp
from stages.contract import Contract
from stages.contract.decide import Decide
from stages.contract.section import Section as BaseSection
from stages.core import cli
from stages.core.errors import RefusedError
from stages.core.files import read_json, sha256, write_json, write_text
from stages.core.graph import run
from stages.training.features import problem_of

SERVING = Path(serving.__file__).parent
MEASURED = ("latency.json",)  # marked in the manifest; left out when two builds are compared
BYTES = {"image": "pixels", "audio": "samples"}  # what serving/picture.py and sound.py call them
LOOKED_AT = 4  # times as many validation rows: one whose time cannot be written does not travel
FORMAT = 1


class Section(BaseSection):
    """`golden_rows`: how many validation rows travel along as proof."""

    golden_rows: int = Field(default=16, ge=1, le=1000)
    tolerance: float = Field(default=1e-4, gt=0)


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.package`."""
    contract.section("package", Section)


def describe(contract: Contract, problem: Any, decide: Decide) -> dict[str, Any]:
    """contract.json: what `predict.py` and any other server must know."""
    derive = contract.get("examples").get("derive")
    reader = {
        key: value
        for key, value in contract.get("ingest").items()
        if key in ("format", "encoding", "delimiter", "quote")
    }
    return {
        "format": FORMAT,
        "pipeline": contract.pipeline,
        "reader": reader,
        "records": [column.describe(name) for name, column in contract.columns.items()] if derive else [],
        "derive": "derive.sql" if derive else None,
        "ids": [name for name, column in contract.example_columns.items() if column.type == "id"],
        "inputs": [column.describe(name) for name, column in contract.input_columns.items()],
        **problem.target.describe(problem.state, decide),
    }


def golden_rows(table: pa.Table, contract: Contract, count: int) -> pa.Table:
    """Some validation rows, and one in which all that may be missing is."""
    columns = contract.input_columns
    rows = table.select(list(columns))
    sound = [at for at in range(min(len(rows), LOOKED_AT * count)) if can_be_written(rows, at, columns)]
    if not sound:
        raise RefusedError(
            f"none of {min(len(rows), LOOKED_AT * count)} validation rows holds times that their columns' format can "
            "write and read back, so no bundle could show that it reads them. Declare a format that keeps what the "
            "times hold, or none for ISO 8601"
        )
    rows = rows.take(sound[:count])
    blank = {
        name: rows.column(name).combine_chunks().slice(0, 1)
        if column.required or column.type == "image"
        else pa.nulls(1, rows.schema.field(name).type)
        for name, column in columns.items()
    }
    return pa.concat_tables([rows, pa.table(blank, schema=rows.schema)]).combine_chunks()


def can_be_written(rows: pa.Table, at: int, columns: Mapping[str, Any]) -> bool:
    """Whether every time of a row reads back as it is from what its column declares."""
    times = {name: rows.column(name)[at].as_py() for name, column in columns.items() if column.type == "timestamp"}
    return all(
        moment is None or timestamp.write(columns[name].describe(name), moment) is not None
        for name, moment in times.items()
    )


def to_json_rows(table: pa.Table, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows as a client would send them, in JSON: times as their column declares, pixels and samples in base64."""
    return [{name: to_json_value(value, name, columns[name]) for name, value in row.items()}
            for row in table.to_pylist()]  # fmt: skip


def to_json_value(value: Any, name: str, column: Any) -> Any:
    if isinstance(value, bytes):
        return {BYTES[column.type]: base64.b64encode(value).decode()}
    return timestamp.write(column.describe(name), value) if isinstance(value, datetime) else value


def golden_outputs(model: bytes, rows: pa.Table, contract: Contract, tolerance: float) -> dict[str, Any]:
    outputs = run(model, inputs(contract.input_columns, rows), batch_size=64)
    values = {
        name: array.tolist() if array.dtype == object else np.round(array.astype(np.float64), 7).tolist()
        for name, array in outputs.items()
    }
    return {"tolerance": tolerance, "values": values}


def copy_serving(out: Path, contract: Contract) -> None:
    """The code that serves, and what it needs: named, with the versions that this bundle was made with."""
    from importlib.metadata import version

    names = ["prepare.py", "values.py", "picture.py", "read.py", "predict.py", "verify.py"]
    packages = ["numpy", "onnxruntime"]
    if contract.get("ingest")["format"] == "mail":
        names.append("mail.py")
    if any(column.type == "image" for column in contract.input_columns.values()):
        packages.append("pillow")
    if any(column.type == "audio" for column in contract.input_columns.values()):
        packages.append("soundfile")
        names += ["sound.py", "wav.py"]
    if contract.get("examples").get("derive"):
        packages.append("duckdb")
        names.append("derive.py")
    for name in names:
        shutil.copyfile(SERVING / name, out / name)
    write_text(
        out / "requirements.txt", "".join(f"{name}=={version(name).split('+')[0]}\n" for name in sorted(packages))
    )


def write_manifest(out: Path, pipeline: str) -> int:
    """List every file with its size and SHA-256; returns how many."""
    files = [
        {
            "path": name,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            **({"measured": True} if name in MEASURED else {}),
        }
        for name, path in sorted((path.relative_to(out).as_posix(), path) for path in out.rglob("*") if path.is_file())
    ]
    write_json(out / "manifest.json", {"format": FORMAT, "pipeline": pipeline, "files": files})
    return len(files)


def check_assayed(assay: Mapping[str, Any], model: Path) -> None:
    if assay["model_sha256"] != sha256(model):
        raise RefusedError(f"the assay is of another model than {model}. Run the stage assay again.")


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("package", "compressed", "assay", "evaluation", "features", "validation", "sources", argv=argv) as job:
        contract = job.contract
        assay = cli.require_passed(job["assay"])
        section, decide = contract.section("package", Section), contract.section("decide", Decide)
        model = job["compressed"] / "model.onnx"
        check_assayed(assay, model)
        problem = problem_of(read_json(job["features"]), contract)
        for source in (
            model,
            job["compressed"] / "frontier.json",
            job["compressed"] / "latency.json",
            job["assay"],
            job["evaluation"],
        ):
            shutil.copyfile(source, job.out / source.name)
        write_json(job.out / "contract.json", describe(contract, problem, decide))
        with job["validation"].open("rb") as file:
            rows = golden_rows(pq.read_table(file), contract, section.golden_rows)
        write_json(job.out / "golden" / "inputs.json", to_json_rows(rows, contract.input_columns))
        write_json(
            job.out / "golden" / "outputs.json", golden_outputs(model.read_bytes(), rows, contract, section.tolerance)
        )
        if derive := contract.get("examples").get("derive"):
            shutil.copyfile(job["sources"] / derive, job.out / "derive.sql")
        copy_serving(job.out, contract)
        num_files = write_manifest(job.out, contract.pipeline)
        chosen = read_json(job["compressed"] / "frontier.json")["chosen"]
        job.say(f"{num_files} files, model.onnx {model.stat().st_size / 1024:,.0f} KiB ({chosen})")


if __name__ == "__main__":
    main()
