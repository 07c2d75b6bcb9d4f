"""`languages` as it is built in, how well it hears speakers that it knows and speakers that it does not out.

    dvc repro compress@languages && python -m benchmarks.phrases   # after `languages: {}` is listed in params.yaml

Prints accuracy on test with its 95% interval: the random test of eight languages, whose speakers the model knows,
and three other speakers. Of these a second line holds only the three languages that they speak against one another.
Beside each stands the best constant answer.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stages.columns import inputs
from stages.contract import load
from stages.core.graph import run
from stages.statistics.bootstrap import bootstrap, summarise

PIPELINE = "languages"
NEW = "new"


def interval(right_N: np.ndarray, groups_N: np.ndarray) -> Mapping[str, float]:
    """A share with its 95% interval, by resampled groups."""

    def share(weights_RN: np.ndarray) -> np.ndarray:
        return np.asarray((weights_RN @ right_N) / weights_RN.sum(1))

    return summarise(bootstrap({("model", "accuracy"): share}, groups_N, seed=0)["model", "accuracy"])


def line(name: str, chances_NC: np.ndarray, truth_N: np.ndarray, groups_N: np.ndarray) -> str:
    right_N = (chances_NC.argmax(1) == truth_N).astype(np.float64)
    found, constant = interval(right_N, groups_N), np.bincount(truth_N).max() / len(truth_N)
    return (
        f"{name:44} {len(truth_N):5,} {found['value']:8.3f} [{found['low']:.3f}, {found['high']:.3f}] {constant:9.3f}"
    )


def main() -> None:
    contract = load(Path("params.yaml"), PIPELINE)
    test = pq.read_table(f"data/examples/{PIPELINE}/test.parquet")
    model = Path(f"data/compressed/{PIPELINE}/model.onnx").read_bytes()
    chances_NC = run(model, inputs(contract.input_columns, test), batch_size=64)["probabilities"]
    labels = test.column("language").to_pylist()
    classes = sorted(set(labels))
    truth_N = np.array([classes.index(label) for label in labels])
    groups_N = np.asarray(test.column("_group"), np.int64)
    new = np.array(test.column("speakers").to_pylist()) == NEW
    spoken = sorted(set(truth_N[new].tolist()))
    print(f"{'accuracy on test':44} {'rows':>5} {'':>8} {'95% interval':14} {'constant':>9}")
    print(line("speakers that it knows, 8 languages", chances_NC[~new], truth_N[~new], groups_N[~new]))
    print(line("new speakers, 8 languages", chances_NC[new], truth_N[new], groups_N[new]))
    among = np.searchsorted(spoken, truth_N[new])
    print(line(f"new speakers, {len(spoken)} languages", chances_NC[new][:, spoken], among, groups_N[new]))
    for place in spoken:
        rows = new & (truth_N == place)
        print(line(f"new speaker of {classes[place]}, 8 languages", chances_NC[rows], truth_N[rows], groups_N[rows]))


if __name__ == "__main__":
    main()
