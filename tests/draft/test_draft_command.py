"""The command as typed: what it prints, what it writes, what it refuses, and that its next commands work."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.contract.__main__ import main
from stages.draft.place import name_of, place
from stages.draft.yaml import comment, flow, scalar

PARAMS = """\
# The contract. Every comment and all   spacing stay.
pipelines: {retail: {}} # what is built

retail: # written by hand
  fetch: {from:   'a.csv'}
  clean: {max_rejected: {"A b": 0.3, default: 1e-2}}
"""
TABLE = "size,colour,won\n" + "".join(
    f"{number % 17},{'red' if number % 3 else 'blue'},{'yes' if number % 17 > 8 else 'no'}\n" for number in range(200)
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "Games (2024).csv").write_text(TABLE, encoding="utf-8")
    return tmp_path


GAMES = "incoming/Games (2024).csv"


def test_the_draft_goes_to_stdout_and_the_summary_to_stderr(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draft", GAMES]) == 0
    out, err = capsys.readouterr()
    section = YAML(typ="safe").load(out)["games_2024"]
    assert section["fetch"] == {"from": GAMES}
    assert section["examples"]["target"] == {"column": "won", "positive": "yes"}
    assert 'predicts won (positive: "yes")' in err
    assert "\x1b[" not in err  # colours on a terminal alone
    assert (project / "params.yaml").read_text() == PARAMS


def test_write_appends_and_leaves_every_other_byte(project: Path) -> None:
    assert main(["draft", GAMES, "--name", "games", "--write"]) == 0
    text = (project / "params.yaml").read_text(encoding="utf-8")
    head = PARAMS.replace("{retail: {}}", "{retail: {}, games: {}}")
    assert text.startswith(head)
    assert main(["check", "games"]) == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pipelines: {}\n", "pipelines: {games: {}}\n"),
        ("pipelines: {a: {}, }\n", "pipelines: {a: {}, games: {}}\n"),
        ("pipelines:\n  a: {}  # the first\nb: 1\n", "pipelines:\n  a: {}  # the first\n  games: {}\nb: 1\n"),
        ("b: 1\n", "pipelines: {games: {}}\n\nb: 1\n"),
        ("pipelines:\n    a: {}", "pipelines:\n    a: {}\n    games: {}"),
    ],
)
def test_pipelines_grow_in_the_style_they_are_written_in(project: Path, before: str, after: str) -> None:
    (project / "params.yaml").write_text(before)
    assert main(["draft", GAMES, "--name", "games", "--write"]) == 0
    assert (project / "params.yaml").read_text().startswith(after.rstrip("\n"))


def test_nothing_is_overwritten(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draft", GAMES, "--name", "retail", "--write"]) == 2
    assert "has a section 'retail' already" in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == PARAMS


def test_a_file_outside_is_brought_in_by_the_command_that_is_said(
    project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path_factory.mktemp("out side") / "new games.csv"
    outside.write_text(TABLE)
    assert main(["draft", str(outside), "--name", "games", "--write"]) == 0
    lines = capsys.readouterr().err.partition("next:")[2].split("\n")
    commands = [line.strip() for line in lines if line.strip()]
    assert commands[0] == "mkdir -p incoming"
    subprocess.run(commands[1], shell=True, check=True)
    assert (project / "incoming" / "new games.csv").read_text() == TABLE
    assert commands[2] == "python -m stages.fetch --refresh games"
    from stages.fetch import refresh

    refresh("games", params=project / "params.yaml")
    assert (project / "sources" / "games" / "lock.json").exists()


def test_copy_brings_a_file_in_and_overwrites_none(
    project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "new.csv"
    outside.write_text(TABLE)
    assert main(["draft", str(outside), "--copy", "--write"]) == 0
    assert (project / "incoming" / "new.csv").read_text() == TABLE
    assert "cp " not in capsys.readouterr().err
    assert main(["draft", str(outside), "--name", "again", "--copy", "--write"]) == 3
    assert "overwrites nothing" in capsys.readouterr().err


def test_the_next_commands_name_the_same_draft(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["draft", GAMES])
    command = next(line for line in capsys.readouterr().err.splitlines() if "stages.contract draft" in line)
    assert main(shlex.split(command)[3:]) == 0
    assert main(["check", "games_2024"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["draft", "nowhere.csv"], "does not exist", 3),
        (["draft", GAMES, "--name", "Games!"], "small letters", 2),
        (["draft", GAMES, "--target", "wonn"], "Did you mean 'won'", 4),
    ],
)
def test_mistakes_are_sentences(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, code: int
) -> None:
    assert main(arguments) == code
    assert said in capsys.readouterr().err


def test_weird_headers_survive(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = ['a: b #"c"', " spaced ", "yes", "12", "Größe – 大小", "{x}", "won"]
    line = ",".join('"{}"'.format(name.replace('"', '""')) for name in header)
    body = "".join(f"{n % 7},{n % 5 + 0.5},{n % 3},{n % 4},{n % 6},{n % 9},{'abc'[n % 3]}\n" for n in range(120))
    (project / "weird.csv").write_text(line + "\n" + body, encoding="utf-8")
    assert main(["draft", "weird.csv", "--target", "won"]) == 0
    columns = YAML(typ="safe").load(capsys.readouterr().out)["weird"]["columns"]
    assert list(columns) == header


def test_names_of_pipelines_are_plain() -> None:
    assert name_of([Path("Ärzte & Kliniken.v2.csv")], []) == "arzte_kliniken"
    assert name_of([Path("2024.csv")], []) == "data_2024"
    assert name_of([Path("评论.csv")], ["data"]) == "data_2"
    assert name_of([Path("clean.csv")], []) == "data_clean"


def test_wildcards_in_a_files_name_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").touch()
    assert place([tmp_path / "a[1].csv"], tmp_path).origin == ["a[[]1].csv"]


WORDS = ["no", "1e3", "0x1F", "~", "a: b", "#x", "", " x", "null", "1_000", "é", "\u2028", "\x7f", "-", "<<", "=", "*a"]
WORDS += ["2024-01-01", "=1", "\U0001f600", "a'b", 'a"b', "a\\b", "{x}", "[", "a #b", "true", "line\nbreak", "%x", "@x"]


@pytest.mark.parametrize("text", WORDS)
def test_every_word_comes_back_as_itself(text: str) -> None:
    parsed = YAML(typ="safe", pure=True).load(flow({text: [text, 1, 0.5, True]}) + comment([f"{text}\n# x"]))
    assert parsed == {text: [text, 1, 0.5, True]}
    assert scalar(True) == "true"


def test_checking_does_not_load_the_drafting(project: Path) -> None:
    code = "import sys, stages.contract.__main__; print([n for n in sys.modules if n.startswith('stages.draft')])"
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
