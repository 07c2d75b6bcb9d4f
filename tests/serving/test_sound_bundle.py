"""A bundle of a model that hears: its files stand side by side, its golden rows hold samples, predict takes sounds."""

import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving.read import InputError, read_rows
from stages.contract import Contract
from stages.package import copy_serving, golden_rows, to_json_rows

AUDIO = {"type": "audio", "rate": 8000, "seconds": 0.01}


def contract(**columns: Any) -> Contract:
    columns = {**columns, "label": {"type": "category"}}
    return Contract(
        "speech", {"ingest": {"format": "files"}, "columns": columns, "examples": {"target": {"column": "label"}}}
    )


def described(given: Contract) -> list[dict[str, Any]]:
    return [column.describe(name) for name, column in given.input_columns.items()]


def write_sound(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_code_and_package_for_sounds_travel_only_where_a_column_is_audio(tmp_path):
    for name, given in (("with", contract(voice=AUDIO)), ("without", contract(note={"type": "text"}))):
        (tmp_path / name).mkdir()
        copy_serving(tmp_path / name, given)
    files = {name: {path.name for path in (tmp_path / name).iterdir()} for name in ("with", "without")}
    assert files["with"] - files["without"] == {"sound.py", "wav.py"}
    assert "soundfile==" in (tmp_path / "with" / "requirements.txt").read_text()
    assert "soundfile" not in (tmp_path / "without" / "requirements.txt").read_text()


@pytest.mark.parametrize("required", [False, True])
def test_golden_rows_are_read_in_the_bundle_as_they_were_here(tmp_path, required):
    given = contract(voice={**AUDIO, "required": required})
    samples = np.random.default_rng(4).integers(-9999, 9999, (3, 80)).astype(np.int16)
    table = pa.table({"voice": pa.array([row.tobytes() for row in samples], pa.binary(160))})
    rows = to_json_rows(golden_rows(table, given, 3), given.input_columns)
    assert rows[3]["voice"] == (rows[0]["voice"] if required else None)
    copy_serving(tmp_path, given)
    (tmp_path / "rows.json").write_text(json.dumps([described(given), rows]))
    code = (
        "import json; from prepare import prepare; arrays, found = prepare(*json.load(open('rows.json')));"
        "print(json.dumps([arrays['voice'].tolist(), found]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    last = samples[0] if required else np.zeros(80, np.int16)
    assert json.loads(ran.stdout) == [[*samples.tolist(), last.tolist()], [[], [], [], []]]


def test_a_sound_file_is_one_row(tmp_path):
    path = write_sound(tmp_path / "yes.WAV", np.arange(5))
    (row,) = read_rows({"reader": {"format": "files"}}, path, described(contract(voice=AUDIO)))
    assert row == {"_source": str(path), "voice": path.read_bytes()}


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"picture": {"type": "image", "height": 2, "width": 2}}, r"picture \(image\)"),
        ({"voice": AUDIO, "age": {"type": "number"}}, r"voice \(audio\), age \(number\)"),
    ],
)
def test_a_sound_file_alone_is_refused_where_the_model_wants_other_columns(tmp_path, columns, wanted):
    path = write_sound(tmp_path / "yes.wav", np.arange(5))
    with pytest.raises(InputError, match=f"is a sound, and this model wants {wanted}; give rows as CSV or JSON"):
        read_rows({"reader": {"format": "files"}}, path, described(contract(**columns)))
