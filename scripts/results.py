"""Reports below data/ in, the README's table of results out: `make results`."""

import json
import platform
from pathlib import Path
from typing import Any

DATA = Path("data")
COLUMNS = (
    "pipeline",
    "rows (train / validation / test)",
    "metric on test",
    "shipped",
    "shipped minus its rival, test",
    "network minus best baseline, validation",
    "model.onnx",
)


def read(path: str) -> Any:
    return json.loads((DATA / path).read_text(encoding="utf-8"))


def interval(score: dict[str, float], sign: str = "") -> str:
    return f"{score['value']:{sign}.4f} [{score['low']:{sign}.4f}, {score['high']:{sign}.4f}]"


def row(pipeline: str) -> str:
    assay, frontier = read(f"assay/{pipeline}/assay.json"), read(f"compressed/{pipeline}/frontier.json")
    evaluation = read(f"evaluation/{pipeline}/evaluation.json")
    splits = read(f"examples/{pipeline}/report.json")["splits"]
    rival = frontier["baseline"] if frontier["rival"] == "baseline" else "the network"
    metric, chosen = assay["metric"], frontier["chosen"]
    cells = [
        pipeline,
        " / ".join(f"{splits[name]['rows']:,}" for name in ("train", "validation", "test")),
        f"{metric} {interval(assay['scores']['model'][metric])}",
        f"{frontier['baseline']} (the baseline won)" if chosen == "baseline" else chosen,
        f"{interval(assay['model_minus']['baseline'][metric], '+')} ({rival})",
        interval(evaluation["model_minus_baseline"][frontier["baseline"]][metric], "+"),
        f"{frontier['candidates'][chosen]['bytes'] / 1024:,.0f} KiB",
    ]
    return "| " + " | ".join(cells) + " |"


def folds(pipeline: str) -> str:
    evaluation = read(f"evaluation/{pipeline}/evaluation.json")
    if "folds" not in evaluation:
        return ""
    found, metric = evaluation["folds"], evaluation["metric"]
    spread = found["standard_deviation"][metric]
    mean = f"{found['mean'][metric]:.4f} (standard deviation {spread:.4f})"
    return f"{pipeline}: mean {metric} of {len(found['scores'])} grouped folds {mean}"


def main() -> None:
    pipelines = sorted(path.parent.name for path in DATA.glob("assay/*/assay.json"))
    if not pipelines:
        raise SystemExit("no pipeline has been assayed yet; run `make all`")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    print("\n".join(row(pipeline) for pipeline in pipelines))
    for line in filter(None, map(folds, pipelines)):
        print(f"\n{line}")
    print(
        f"\nPython {platform.python_version()}, {platform.machine()}, threads as declared, one seed; "
        "intervals: 95%, bootstrap."
    )


if __name__ == "__main__":
    main()
