"""The search: what it reads, what a kill does to it, what it shows, and what it asks to be changed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.contract.checks import check
from stages.contract.loader import load, read
from stages.tune.__main__ import main

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "stages.tune", "shop"]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def trials_of(folder):
    """Each finished trial: values and score, of which the page's table holds all digits that count."""
    page = (folder / "report.html").read_text()
    return re.findall(r"<tr(?: class=best)?>((?:<td>[^<]*</td>)+)</tr>", page)


def test_the_best_is_found_shown_and_printed_as_a_change_to_review(shop, capsys):
    before = (shop / "params.yaml").read_text()
    assert main(["shop"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [f"trial {number} of 4" for number in range(1, 5)]
    assert lines[0].split("; ")[1] == "learning_rate 0.002, options.dropout 0.4, options.hidden [4]"  # as it is
    change = "\n".join(lines[4:])
    assert "--- a/params.yaml\n+++ b/params.yaml\n" in change
    assert len(re.findall(r"^-  train:", change, re.M)) == len(re.findall(r"^\+  train:", change, re.M)) == 1
    assert "# as it was" in change
    assert "difference, paired: " in err
    assert "shown better than the present setting" in err
    assert (shop / "params.yaml").read_text() == before


def test_written_it_parses_keeps_every_comment_and_changes_nothing_else(shop, capsys):
    before, parsed = (shop / "params.yaml").read_text(), read(shop / "params.yaml")
    assert main(["shop", "--write"]) == 0
    after = (shop / "params.yaml").read_text()
    assert re.findall("#.*", after) == re.findall("#.*", before)
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(changed) == 1
    content = read(shop / "params.yaml")
    assert {**content["shop"], "train": None} == {**parsed["shop"], "train": None}
    assert content["shop"]["train"] != parsed["shop"]["train"]
    assert check(load(shop / "params.yaml", "shop")) == []
    capsys.readouterr()
    assert main(["shop"]) == 0  # the setting is another one now: a search of its own, which begins with it
    first = capsys.readouterr().out.splitlines()[0]
    assert f"learning_rate {content['shop']['train']['learning_rate']}" in first


def test_a_search_that_is_over_runs_nothing_and_more_trials_go_on(shop, capsys):
    assert main(["shop", "--trials", "2"]) == 0
    capsys.readouterr()
    assert main(["shop", "--trials", "2"]) == 0
    assert "trial " not in capsys.readouterr().out.split("---")[0]
    assert main(["shop", "--trials", "3"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:1]] == ["trial 3 of 3"]


def test_seconds_end_a_search_and_the_next_run_goes_on(shop, capsys, declare):
    declare(("epochs: 6", "epochs: 3000, processes: 2"))
    assert main(["shop", "--seconds", "0.5"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "trials are fitted in one process each; train.processes (2) holds for `dvc repro`" in err
    assert "no trial has a score yet. The same command goes on" in err
    assert len(list((shop / "data/.tune/shop/candidates").glob("*/network.onnx"))) == 0


# A kill


def start(project):
    return subprocess.Popen(
        COMMAND, cwd=project, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def kill(running):
    """The whole group, as a machine that goes down does; returns what it had said."""
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    return running.communicate()[0]


def test_killed_between_two_trials_it_goes_on_and_ends_as_if_it_had_not_been(shop, capsys):
    assert main(["shop", "--out", "data/whole"]) == 0
    change = capsys.readouterr().out.split("--- a/")[1]
    running = start(shop)
    assert running.stdout is not None
    for _ in range(2):
        assert running.stdout.readline().startswith("trial ")  # killed at the very line that says that it is over
    kill(running)
    assert main(["shop"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split(":")[0] in ("trial 3 of 4", "trial 4 of 4")
    assert out.split("--- a/")[1] == change
    assert trials_of(shop / "data/.tune/shop") == trials_of(shop / "data/whole")


@pytest.mark.slow
def test_killed_at_many_moments_within_trials_it_ends_as_if_it_had_not_been(shop, declare, capsys):
    declare(("epochs: 6", "epochs: 300"))
    assert main(["shop", "--out", "data/whole"]) == 0
    moments = iter((0.2, 1.0, 2.0, 3.0, 4.0, 6.0))
    for moment in moments:
        running = start(shop)
        while not (shop / "data/.tune/shop/study.db").exists() and running.poll() is None:
            time.sleep(0.05)
        time.sleep(moment)
        kill(running)
    capsys.readouterr()
    assert main(["shop"]) == 0
    assert trials_of(shop / "data/.tune/shop") == trials_of(shop / "data/whole")


# What it reads


def test_the_test_split_is_never_read(shop):
    code = (
        "import sys, json\nopened = []\n"
        "sys.addaudithook(lambda event, arguments: event == 'open' and opened.append(str(arguments[0])))\n"
        "from stages.tune.__main__ import main\nmain(['shop', '--trials', '2'])\n"
        "print('OPENED', json.dumps(opened))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shop, env=environment(), capture_output=True, text=True, check=True
    )
    opened = json.loads(done.stdout.split("OPENED ")[1])
    inside = {Path(path).as_posix() for path in opened if path.startswith((str(shop), "data", "params"))}
    outside_tune = {path.removeprefix(f"{shop}/") for path in inside if "data/.tune/" not in path}
    features = "data/features/shop"
    assert outside_tune == {
        "params.yaml", f"{features}/train.safetensors", f"{features}/validation.safetensors",
        f"{features}/features.json",
    }  # fmt: skip


# Pruning


def test_hopeless_trials_are_pruned_and_leave_no_checkpoint(shop, capsys):
    """The first five trials are never pruned: there is nothing yet to compare with."""
    assert main(["shop", "--trials", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()[:9]
    pruned = [number for number, line in enumerate(lines, 1) if ": pruned; " in line]
    assert pruned
    assert min(pruned) > 5
    assert list((shop / "data/.tune/shop/checkpoints").glob("*/run.safetensors")) == []
    page = (shop / "data/.tune/shop/report.html").read_text()
    assert page.count("<td>pruned</td>") == page.count('class="cut"') == len(pruned)


def test_a_setting_that_diverges_counts_as_a_trial_and_says_why(shop, capsys, declare):
    declare(
        ("{low: 0.0005, high: 0.1, log: true}", "[0.01, 1.0e+30]"),
        ("epochs: 6", "schedule: constant, epochs: 3"),
        ("      options.dropout: [0.0, 0.2, 0.4]\n      options.hidden: [[4], [16], [32, 16]]\n", ""),
    )
    assert main(["shop"]) == 0
    out = capsys.readouterr().out
    assert "no score: the loss became" in out
    assert "trial 4 of 4" in out


def test_a_present_setting_that_diverges_does_not_hide_the_winner(shop, capsys, declare):
    declare(
        ("{low: 0.0005, high: 0.1, log: true}", "[0.01, 0.02]"),
        ("epochs: 6", "schedule: constant, learning_rate: 1.0e+30, epochs: 3"),
    )
    assert main(["shop", "--trials", "2"]) == 0
    out, err = capsys.readouterr()
    assert "+++ b/params.yaml" in out
    assert "present setting: roc_auc no score\n" in err
    assert "the present setting has no score: the loss became" in err
    page = (shop / "data/.tune/shop/report.html").read_text()
    assert "the present setting has no score" in page
    assert 'class="now"' not in page


# Mistakes


def test_a_missing_section_or_missing_features_are_named_with_the_fix(shop, capsys):
    assert main(["shop", "--features", "elsewhere"]) == 3
    assert "Run `dvc repro features@shop`" in capsys.readouterr().err
    text = (shop / "params.yaml").read_text()
    (shop / "params.yaml").write_text(text[: text.index("  tune:")])
    assert main(["shop"]) == 2
    assert "shop.tune is missing. Declare what to search, such as tune: {ranges: " in capsys.readouterr().err
    assert check(load(shop / "params.yaml", "shop")) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("    trials: 4", "    trails: 4", "shop.tune.trails is not a known key. Did you mean 'trials'"),
        ("learning_rate: {low", "lerning_rate: {low", "lerning_rate is not a known key. Did you mean 'learning_rate'"),
        ("options.dropout", "options.dropuot", "options.dropuot is not a known key. Did you mean 'dropout'"),
        ("low: 0.0005, high: 0.1", "low: 0.5, high: 0.1", "a low end below the high one; found 0.5 and 0.1"),
        ("low: 0.0005", "low: 0", "a low end above 0 and no step where log is true"),
        ("[0.0, 0.2, 0.4]", "[0.0, 1.2]", "options.dropout is 1.2; expected less than 1"),
        ("[0.0, 0.2, 0.4]", "[0.0]", "shop.tune.ranges.options.dropout is [0.0]; expected two choices or more"),
        ("    seed: 5", "    metric: roc_acu", "shop.tune.metric is 'roc_acu'. Did you mean 'roc_auc'"),
        ("model: mlp, options: {hidden: [4], dropout: 0.4}", "model: boosting",
         "shop.tune.ranges.learning_rate has no effect on the model 'boosting'; search its options, such as "
         "options.trees"),
        ("model: mlp, options: {hidden: [4], dropout: 0.4}", "model: auto",
         "shop.tune searches the settings of one model, and train.model is auto"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_section_is_named_by_the_contract_check(declare, before, after, complaint):
    project = declare((before, after))
    assert complaint in "\n".join(check(load(project / "params.yaml", "shop")))
