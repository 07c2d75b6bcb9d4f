"""IDX files in, items out; a file that is cut off, foreign or of another length is named."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.core.errors import DataError
from stages.ingest import Raw
from stages.ingest.idx import Options, read, read_idx, units

PIXELS = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4)
LABELS = np.array([7, 0, 255], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def read_all(folder: Path, **splits: dict[str, str]) -> pa.Table:
    raw, options = Raw(folder, folder), Options(format="idx", splits=splits)
    names = [name for unit in units(raw, options) for name in unit]
    return pa.concat_tables([batch.records for batch in read(raw, names, options)])


def test_three_pictures_and_their_labels(tmp_path):
    write(tmp_path, images=idx(PIXELS), labels=idx(LABELS))
    assert read_all(tmp_path, train={"image": "images", "label": "labels"}).to_pylist() == [
        {"image": bytes(range(8)), "label": "7", "split": "train", "_file": "images", "_record": 1},
        {"image": bytes(range(8, 16)), "label": "0", "split": "train", "_file": "images", "_record": 2},
        {"image": bytes(range(16, 24)), "label": "255", "split": "train", "_file": "images", "_record": 3},
    ]


def test_gzipped_and_plain_files_are_read_alike(tmp_path):
    write(tmp_path, plain=idx(PIXELS), **{"packed.gz": gzip.compress(idx(PIXELS))})
    assert np.array_equal(read_idx(tmp_path / "plain"), read_idx(tmp_path / "packed.gz"))


def test_each_split_is_named_and_counted_from_one(tmp_path):
    write(tmp_path, a=idx(LABELS), b=idx(LABELS[:1]))
    table = read_all(tmp_path, train={"label": "a"}, test={"label": "b"})
    assert table["split"].to_pylist() == ["train", "train", "train", "test"]
    assert table["_record"].to_pylist() == [1, 2, 3, 1]
    assert table["_file"].to_pylist() == ["a", "a", "a", "b"]


WHOLE = idx(PIXELS)
BROKEN = {
    "one byte short": (WHOLE[:-1], "promises 3 × 2 × 4 values and holds 23. It is cut off"),
    "one byte long": (WHOLE + b"\0", "promises 3 × 2 × 4 values and holds 25"),
    "no values": (WHOLE[:16], "promises 3 × 2 × 4 values and holds 0"),
    "sizes cut off": (WHOLE[:10], "It is cut off"),
    "magic alone": (WHOLE[:4], "It is cut off"),
    "three bytes": (WHOLE[:3], "is not an IDX file of unsigned bytes: it begins with 00 00 08;"),
    "empty": (b"", "is not an IDX file of unsigned bytes"),
    "floats": (b"\0\0\x0d" + WHOLE[3:], "it begins with 00 00 0d 03; expected 00 00 08"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "it begins with 89 50 4e 47"),
    "still packed": (gzip.compress(WHOLE), "it begins with 1f 8b 08"),
    "sizes beyond 64 bits": (bytes([0, 0, 8, 3]) + b"\xff" * 12, "promises 4294967295 × 4294967295 × 4294967295"),
    "sizes whose product wraps to 0": (bytes([0, 0, 8, 2]) + b"\x80\0\0\0" * 2 + b"", "promises 2147483648"),
    "four sizes of 2¹⁶": (bytes([0, 0, 8, 4]) + b"\0\1\0\0" * 4, "promises 65536 × 65536 × 65536 × 65536 values"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_a_data_error_that_says_how(tmp_path, kind):
    content, message = BROKEN[kind]
    write(tmp_path, broken=content)
    with pytest.raises(DataError) as caught:
        read_all(tmp_path, train={"image": "broken"})
    assert message in str(caught.value)
    assert str(tmp_path / "broken") in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(WHOLE)[:-9], gzip.compress(WHOLE)[:12], WHOLE, gzip.compress(WHOLE, mtime=0)[:-8] + b"\0" * 8],
    ids=["cut off", "cut off early", "not packed", "wrong checksum"],
)
def test_a_broken_gzip_file_is_a_data_error(tmp_path, content):
    write(tmp_path, **{"broken.gz": content})
    with pytest.raises(DataError, match=r"broken\.gz is cut off or not gzip"):
        read_idx(tmp_path / "broken.gz")


def test_a_gzip_file_with_damaged_deflate_data_is_a_data_error(tmp_path):
    packed = gzip.compress(WHOLE)
    write(tmp_path, **{"broken.gz": packed[:10] + b"\xff" * 8 + packed[18:]})
    with pytest.raises(DataError, match=r"broken\.gz is cut off or not gzip"):
        read_idx(tmp_path / "broken.gz")


def test_files_of_unequal_length_are_a_data_error_with_both_lengths(tmp_path):
    write(tmp_path, images=idx(PIXELS), labels=idx(LABELS[:2]))
    with pytest.raises(DataError, match=r"the split 'train' differ in length: \{'images': 3, 'labels': 2\}"):
        read_all(tmp_path, train={"image": "images", "label": "labels"})


def test_an_absent_file_is_a_data_error_with_what_is_there(tmp_path):
    write(tmp_path, labels=idx(LABELS))
    with pytest.raises(DataError, match=r"image does not exist; ingest\.splits names it\. Present: labels"):
        read_all(tmp_path, train={"image": "image"})
