"""A fitted network, the best baseline and the encoder in; measured candidates and `model.onnx` out.

Candidates are whole graphs from raw values to the decision. One is acceptable where its paired
95% interval shows it not worse than the best of them by more than `margin`; of those, the
smallest file ships. `rival.onnx` is what assay compares it with: the best baseline or, where that
ships, the network. Latencies are reported in a file of their own and choose nothing.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from stages.columns import inputs
from stages.compression.assemble import assemble, to_bytes
from stages.compression.latency import BATCH_ROWS, latency_ms
from stages.contract import Contract
from stages.contract.decide import Decide
from stages.contract.section import Section as BaseSection
from stages.core import cli
from stages.core.files import read_json, write_json
from stages.core.tensors import read_tensors
from stages.statistics.choice import choose
from stages.training.features import problem_of
from stages.training.scoring import scoring_of

FLOAT, BASELINE = "fp32", "baseline"
METHODS = ("int8",)


class Section(BaseSection):
    """`margin`: how much of evaluate's metric may be lost, at worst, to a smaller model."""

    margin: float = Field(default=0.005, ge=0)
    candidates: list[str] = Field(default=["int8"])
    seed: int = Field(default=0, ge=0)

    @field_validator("candidates")
    @classmethod
    def known(cls, candidates: list[str]) -> list[str]:
        if unknown := set(candidates) - set(METHODS):
            raise ValueError(f"a list of {', '.join(METHODS)}; not {', '.join(sorted(unknown))}")
        return candidates


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.compress`."""
    contract.section("compress", Section)


def candidates_of(
    network: bytes, baseline: bytes | None, section: Section, train: Mapping[str, np.ndarray]
) -> dict[str, bytes]:
    """Networks from encoded arrays to outputs, by name."""
    found = {FLOAT: network}
    for name in section.candidates:
        found[name] = getattr(import_module(f"stages.compression.{name}"), name)(network, train)
    if baseline is not None:
        found[BASELINE] = baseline
    return found


def read_raw(path: Any, contract: Contract) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        table = pq.read_table(file, columns=list(contract.input_columns))
    return inputs(contract.input_columns, table.slice(0, BATCH_ROWS))


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("compress", "model", "features", "evaluation", "validation", argv=argv) as job:
        contract = job.contract
        evaluation = cli.require_passed(job["evaluation"] / "evaluation.json")
        section, decide = contract.section("compress", Section), contract.section("decide", Decide)
        problem = problem_of(read_json(job["features"] / "features.json"), contract)
        train, validation = (read_tensors(job["features"] / f"{name}.safetensors") for name in ("train", "validation"))
        scoring = scoring_of(problem, contract, section.seed)
        best = next(iter(evaluation["baselines_ranked"]), None)
        baseline = (job["evaluation"] / "baselines" / best / "network.onnx").read_bytes() if best else None
        networks = candidates_of(job["model"].read_bytes(), baseline, section, train)
        fitted = {name: scoring.calibrate(network, validation) for name, network in networks.items()}
        encode = onnx.ModelProto.FromString((job["features"] / "encode.onnx").read_bytes())
        whole = {}
        for name, network in networks.items():
            metadata = {"pipeline": contract.pipeline, "candidate": name, "target": contract.target.column}
            path = f"{contract.pipeline}.decide"
            ending = problem.target.nodes(problem.state, fitted[name], decide, path, problem.specs)
            whole[name] = to_bytes(assemble(encode, network, ending, metadata))
        metric, sign = evaluation["metric"], problem.target.sign(evaluation["metric"])
        answers = {name: scoring.answers(network, validation, fitted[name]) for name, network in networks.items()}
        everything = scoring.samples(answers, validation)
        samples = {name: everything[name, metric] for name in networks}
        sizes = {name: len(content) for name, content in whole.items()}
        chosen, frontier = choose(samples, sizes, margin=section.margin, sign=sign)
        (job.out / "model.onnx").write_bytes(whole[chosen])
        rival = FLOAT if chosen == BASELINE else BASELINE
        if rival in whole:
            (job.out / "rival.onnx").write_bytes(whole[rival])
        names = {"chosen": chosen, "rival": rival if rival in whole else None, "baseline": best}
        write_json(job.out / "frontier.json", {**names, "metric": metric, **frontier})
        rows = read_raw(job["validation"], contract)
        write_json(job.out / "latency.json", {name: latency_ms(content, rows) for name, content in whole.items()})
        listing = ", ".join(f"{name} {sizes[name] / 1024:,.0f} KiB {samples[name][0]:.4f}" for name in whole)
        job.say(f"{metric}: {listing} → {chosen}{f' ({best})' if chosen == BASELINE else ''}")


if __name__ == "__main__":
    main()
