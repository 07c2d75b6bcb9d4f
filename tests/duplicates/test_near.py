"""Texts and pictures that are nearly the same share a group; others do not."""

import io

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.contract.loader import declare
from stages.core.errors import ContractError
from stages.duplicates import near, near_image, near_text
from stages.duplicates.join import by_keys, candidates

TEXT = declare("text", {"type": "text"})
HOTEL = "The room was clean and quiet, the breakfast was rich, and we would come again."


def text_groups(texts: list[str | None], similarity: float | None = None) -> list[int]:
    values = pa.array(texts, pa.string())
    return near.groups(TEXT, near.signatures(TEXT, values), values, similarity).tolist()


@pytest.mark.parametrize(
    "other",
    [
        HOTEL,
        HOTEL.replace("rich", "ric!"),
        HOTEL.replace("clean", "cleam"),
        HOTEL.replace(" ", "  \n"),
        HOTEL.upper(),
        HOTEL.replace(",", " -").replace(".", " …"),
        "  " + HOTEL + "!!!",
    ],
)
def test_a_text_is_near_one_that_differs_in_a_letter_in_space_in_case_or_in_marks(other):
    assert text_groups(["Something else altogether stands here, first of all.", HOTEL, other]) == [0, 1, 1]


def test_chinese_texts_and_composed_letters():
    first = "酒店的位置很好,离地铁站只有五分钟,房间干净,服务员也很热情,早餐品种丰富,下次还会再来住。"
    assert text_groups([first, first.replace("五", "六"), first.replace(",", " "), "书的内容很无聊,浪费钱。"]) == [
        0,
        0,
        0,
        3,
    ]
    composed = "Köln und Zürich sind schöne Städte; für Gäste gibt es überall genügend Hotels."
    decomposed = composed.replace("ö", "o\u0308").replace("ü", "u\u0308")
    assert text_groups([composed, decomposed], 1.0) == [0, 0]


def test_other_texts_absent_ones_and_those_without_a_letter_are_alone():
    assert text_groups(["a", None, "b", None, "", "", "!!!", "!!!", "a", "ab", "ab?"]) == [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        0,
        9,
        9,
    ]
    assert text_groups([]) == []
    assert text_groups([None]) == [0]


def test_the_limit_is_the_exact_jaccard_similarity_of_the_trigrams():
    one, two = "abcdefghijkl", "abcdefghijxy"  # 8 of 12 trigrams are shared
    assert near_text.Sets(*near_text.trigrams(pa.array([one, two]))).jaccard(np.array([0]), np.array([1])) == 8 / 12
    assert text_groups([one, two], 0.66) == [0, 0]
    assert text_groups([one, two], 0.67) == [0, 1]


def test_near_is_passed_on():
    chain = [HOTEL[: 70 - 8 * i] for i in range(5)]
    assert text_groups(chain, 0.8) == [0] * 5
    assert text_groups([chain[0], chain[4]], 0.8) == [0, 1]


WORDS = st.sampled_from(["good", "bad", "clean", "dirty", "hotel", "room", "very"])


@given(st.lists(st.lists(WORDS, min_size=6, max_size=12).map(" ".join), max_size=25), st.sampled_from([0.5, 0.8]))
def test_groups_are_those_of_comparing_every_pair(texts, similarity):
    sets = [{text[i : i + 3] for i in range(len(text) - 2)} for text in texts]
    groups = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= similarity:
                low, high = sorted((groups[i], groups[j]))
                groups = [low if group == high else group for group in groups]
    assert text_groups(texts, similarity) == groups


def test_signatures_of_parts_are_those_of_the_whole():
    texts = pa.array([HOTEL[i:] + HOTEL[:i] for i in range(40)] + [None, ""] * 3)
    whole = near.signatures(TEXT, texts)
    parts = [near.signatures(TEXT, texts.slice(at, 7)) for at in range(0, len(texts), 7)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.uint32


def test_one_letter_more_among_thirty_thousand_short_texts():
    rng = np.random.default_rng(0)
    letters = np.array([chr(0x4E00 + i) for i in range(2000)])
    texts = ["".join(row) for row in letters[rng.zipf(1.3, (15_000, 80)) % 2000]]
    texts += [text[:40] + "好" + text[41:] for text in texts]
    groups = np.array(text_groups(texts))
    assert (groups[15_000:] == groups[:15_000]).all()


# --- pictures -------------------------------------------------------------------------------------


def scene(seed: int, side: int = 48) -> Image.Image:
    """A few coloured discs on a slope of grey."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    pixels = np.stack([60 + 80 * x, 60 + 80 * y, 90 + 0 * x], axis=-1)
    for _ in range(7):
        centre, radius = rng.uniform(0.1, 0.9, 2), rng.uniform(0.08, 0.25)
        pixels[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2] = rng.uniform(20, 220, 3)
    return Image.fromarray(pixels.astype(np.uint8))


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def image_groups(pictures: list[Image.Image | None], channels: int = 3, similarity: float | None = None) -> list[int]:
    column = declare("image", {"type": "image", "height": 48, "width": 48, "channels": channels})
    mode = "RGB" if channels == 3 else "L"
    raw = [None if picture is None else picture.convert(mode).resize((48, 48)).tobytes() for picture in pictures]
    values = pa.array(raw, pa.binary(48 * 48 * channels))
    return near.groups(column, near.signatures(column, values), values, similarity).tolist()


CHANGES = {
    "the same": lambda picture: picture,
    "half the size": lambda picture: picture.resize((24, 24), Image.Resampling.BOX),
    "twice the size": lambda picture: picture.resize((96, 96), Image.Resampling.BICUBIC),
    "JPEG": lambda picture: jpeg(picture, 60),
    "brighter": lambda picture: picture.point(lambda level: min(level + 30, 255)),
    "less contrast": lambda picture: picture.point(lambda level: level // 2 + 40),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_is_near_its_own_copy(change, channels):
    assert image_groups([scene(1), scene(2), CHANGES[change](scene(2)), scene(3)], channels) == [0, 1, 1, 3]


def test_other_pictures_mirrored_ones_and_absent_ones_are_alone():
    mirrored = scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pictures = [*(scene(seed) for seed in range(1, 30)), mirrored, None, None]
    assert image_groups(pictures) == list(range(32))


def test_flat_pictures_are_near_only_those_that_equal_them():
    black, nearly, white = (Image.new("RGB", (48, 48), (level,) * 3) for level in (0, 1, 255))
    speck = black.copy()
    speck.putpixel((5, 5), (9, 9, 9))
    assert image_groups([black, nearly, black, white, speck, speck]) == [0, 1, 0, 3, 4, 4]


def test_a_pattern_too_fine_to_be_compared_is_near_only_what_equals_it():
    chess = Image.fromarray(np.uint8(np.indices((48, 48)).sum(0) % 2 * 255))
    moved = Image.fromarray(np.uint8(1 - np.indices((48, 48)).sum(0) % 2) * 255)
    assert image_groups([chess, moved, chess]) == [0, 1, 0]


def test_the_hash_is_that_of_imagehash_but_for_rounding():
    column = declare("image", {"type": "image", "height": 48, "width": 40, "channels": 3})
    pictures = [scene(seed).crop((0, 0, 40, 48)) for seed in range(40)]
    values = pa.array([picture.tobytes() for picture in pictures], pa.binary(48 * 40 * 3))
    expected = [int(str(imagehash.phash(picture)), 16) for picture in pictures]
    different = np.bitwise_count(near.signatures(column, values)[:, 0] ^ np.array(expected, np.uint64))
    assert different.max() <= 2
    assert different.mean() < 0.5


def test_bands_of_hashes_within_four_bits_always_share_one():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 500, np.uint64)
    changed = hashes.copy()
    for _ in range(near_image.MAX_BITS):
        changed ^= np.uint64(1) << rng.integers(0, 64, 500).astype(np.uint64)
    assert (near_image.bands(hashes) == near_image.bands(changed)).any(1).all()


def test_other_types_are_refused_by_name():
    with pytest.raises(ContractError, match="type number has no near duplicates; expected one of type text or image"):
        near.signatures(declare("n", {"type": "number"}), pa.array([1.0]))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
def test_rows_that_share_any_key_share_a_group(rows):
    keys = np.array(rows)
    groups = by_keys(keys[:, 0], keys[:, 1])
    expected = list(range(len(rows)))
    for i, one in enumerate(rows):
        for j, two in enumerate(rows[:i]):
            if one[0] == two[0] or one[1] == two[1]:
                low, high = sorted((expected[i], expected[j]))
                expected = [low if group == high else group for group in expected]
    assert groups.tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_candidates_are_all_pairs_with_a_key_in_common(rows):
    keys = np.array(rows, np.uint64).reshape(-1, 2)
    found = {
        pair
        for left, right in candidates(keys, np.arange(len(rows)))
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    }
    assert found == {(j, i) for i in range(len(rows)) for j in range(i) if (keys[i] == keys[j]).any()}
