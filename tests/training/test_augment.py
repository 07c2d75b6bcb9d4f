"""Augmentation by column: what it does to pixels, bands, entries and numbers, and what it refuses."""

from types import SimpleNamespace

import pytest
import torch

from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.training.augment import augment
from stages.training.augmentation import augment_of, check_augment, check_mixup

PICTURE = ArraySpec("encoded.image_0", "image", ("photo",), 48, (1, 8, 6), (0.5,), (0.25,))
WAVE = ArraySpec("encoded.wave_0", "wave", ("clip",), 48, (1, 8, 6), (0.5,), (0.25,))
WORDS = ArraySpec("encoded.set_1", "set", ("words",), 100)
TOKENS = ArraySpec("encoded.tokens_1", "tokens", ("words",), 100)
DENSE = ArraySpec("encoded.dense", "dense", ("a", "a is missing", "when: trend", "b"), 4)
COLUMNS = {
    name: SimpleNamespace(type=kind)
    for name, kind in {
        "photo": "image", "clip": "audio", "words": "text", "bought": "items", "shop": "category", "a": "number",
        "when": "timestamp", "open": "boolean",
    }.items()
}  # fmt: skip


def changed(array, spec, column, seed=0, **options):
    before = array.clone()
    chosen = augment_of({column: options}, [spec])
    (found,) = augment([array], [spec], chosen, torch.Generator().manual_seed(seed))
    assert torch.equal(array, before), "the rows themselves stay as they are"
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    return found


def pictures(num_rows=200):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(1, 256, (num_rows, 1, 8, 6), generator=generator).to(torch.uint8)


def test_half_of_the_pictures_are_mirrored_left_to_right():
    images = pictures()
    found = changed(images, PICTURE, "photo", flip=True)
    same = (found == images).all(3).all(2).all(1)
    mirrored = (found == images.flip(3)).all(3).all(2).all(1)
    assert torch.equal(same, ~mirrored)
    assert 70 < int(mirrored.sum()) < 130


def test_pictures_move_by_whole_pixels_and_leave_nothing_behind():
    images, moves = pictures(8), set()
    for seed in range(60):
        found = changed(images, PICTURE, "photo", seed=seed, shift=2)
        for before, after in zip(images, found, strict=True):
            offsets = [
                (down, right)
                for down in range(-2, 3)
                for right in range(-2, 3)
                if torch.equal(after, shifted(before, down, right))
            ]
            assert len(offsets) == 1
            moves.add(offsets[0])
    assert len(moves) == 25


def shifted(image, down, right):
    moved = torch.zeros_like(image)
    height, width = image.shape[1:]
    source = image[:, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = source
    return moved


def test_a_square_of_mean_grey_is_laid_over_each_picture():
    images = torch.full((300, 1, 8, 6), 7, dtype=torch.uint8)
    grey = changed(images, PICTURE, "photo", erase=3) == 128
    rows, columns = grey.any(3).sum(2)[:, 0], grey.any(2).sum(2)[:, 0]
    assert (int(rows.max()), int(columns.max())) == (3, 3)
    assert int(rows.min()) >= 1
    assert torch.equal(grey.sum((1, 2, 3)), rows * columns), "a rectangle, cut at the borders"


def test_a_picture_turned_by_nothing_is_itself_and_one_turned_stays_about_its_middle():
    images = torch.zeros((64, 1, 9, 9), dtype=torch.uint8)
    images[:, :, 4, 4] = 200
    spec = ArraySpec("encoded.image_0", "image", ("photo",), 81, (1, 9, 9), (0.5,), (0.25,))
    turned = changed(images, spec, "photo", rotate=180, scale=0.0)
    assert (turned[:, 0, 4, 4] >= 199).all()
    images[:, :, 4, 4:] = 200
    turned = changed(images, spec, "photo", rotate=180)
    assert (turned[:, 0, 4, 4] >= 150).all()
    assert len({tuple(image.flatten().tolist()) for image in turned}) > 50
    grown = changed(torch.full((64, 1, 9, 9), 255, dtype=torch.uint8), spec, "photo", scale=0.5)
    assert bool((grown[:, :, 3:6, 3:6] == 255).all())
    assert bool((grown == 0).any()), "some are smaller, with nothing around them"


def test_light_changes_by_no_more_than_declared():
    images = torch.full((500, 1, 8, 6), 100, dtype=torch.uint8)
    brighter = changed(images, PICTURE, "photo", brightness=0.1)
    assert (int(brighter.min()), int(brighter.max())) == (75, 125)
    contrast = changed(images, PICTURE, "photo", contrast=0.2)
    assert (int(contrast.min()), int(contrast.max())) == (80, 120)
    assert bool((brighter.flatten(1).min(1).values == brighter.flatten(1).max(1).values).all()), "a picture as a whole"


def test_bands_and_frames_of_a_wave_fall_silent_and_it_moves_in_time_alone():
    waves = torch.full((100, 1, 8, 6), 9, dtype=torch.uint8)
    bands = [changed(waves, WAVE, "clip", seed=seed, mask_bands=2) == 0 for seed in range(20)]
    assert all(torch.equal(mask.any(3), mask.all(3)) for mask in bands)
    assert {int(mask.any(3).sum(2).max()) for mask in bands} == {0, 1, 2}
    frames = [changed(waves, WAVE, "clip", seed=seed, mask_frames=3) == 0 for seed in range(20)]
    assert all(torch.equal(mask.any(2), mask.all(2)) for mask in frames)
    moved = changed(waves, WAVE, "clip", shift=2) == 0
    assert torch.equal(moved.any(2), moved.all(2)), "whole frames"


def test_dropped_entries_of_a_set_are_gone_and_dropped_tokens_are_unknown():
    ids = torch.tensor([[5, 6, 7, 8, 0, 0]] * 1000, dtype=torch.int32)
    found = changed(ids, WORDS, "words", drop=0.25)
    assert bool(((found == ids) | (found == 0)).all())
    assert 0.2 < float((found[:, :4] == 0).float().mean()) < 0.3
    found = changed(ids, TOKENS, "words", drop=0.25)
    assert bool(((found == ids) | (found == 1)).all())
    assert bool((found[:, 4:] == 0).all())


def test_noise_comes_on_a_columns_own_numbers_but_not_on_what_says_that_it_is_missing():
    dense = torch.zeros(4000, 4)
    found = changed(dense, DENSE, "a", noise=0.5)
    assert abs(float(found[:, 0].std()) - 0.5) < 0.03
    assert not found[:, 1:].any()
    assert changed(dense, DENSE, "when", noise=0.1)[:, 2].any()


def test_the_same_seed_changes_a_batch_in_the_same_way():
    options = {"flip": True, "shift": 1, "erase": 2, "scale": 0.1, "rotate": 10, "brightness": 0.1, "contrast": 0.1}
    first, again, other = (changed(pictures(), PICTURE, "photo", seed=seed, **options) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_declared_changes_nothing():
    chosen = augment_of({}, [PICTURE, DENSE])
    assert chosen == {}
    images = pictures(3)
    assert augment([images], [PICTURE], chosen, torch.Generator())[0] is images


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({"foto": {"flip": True}}, r"shop\.train\.augment\.foto is not an input column\. Did you mean 'photo'\?"),
        ({"open": {"drop": 0.1}}, r"shop\.train\.augment\.open is of the type boolean, which cannot be augmented"),
        ({"clip": {"flip": True}}, r"augment\.clip\.flip is not a known key\. Allowed: shift, mask_bands, mask_frames"),
        ({"photo": {"flop": True}}, r"augment\.photo\.flop is not a known key\. Did you mean 'flip'"),
        ({"photo": {"flip": 1}}, r"augment\.photo\.flip is 1; expected a valid boolean"),
        ({"a": {"drop": 0.5}}, r"augment\.a\.drop is not a known key.*Allowed: noise"),
        ({"words": {"drop": 1.0}}, r"augment\.words\.drop is 1\.0; expected less than 1"),
    ],
)
def test_what_does_not_suit_a_column_is_refused(raw, complaint):
    with pytest.raises(ContractError, match=complaint):
        check_augment(raw, COLUMNS, "shop.train.augment")


def test_mixup_is_refused_where_a_column_cannot_be_blended():
    check_mixup(0.0, COLUMNS, "shop.train.mixup")
    check_mixup(0.2, {"photo": COLUMNS["photo"], "a": COLUMNS["a"]}, "shop.train.mixup")
    with pytest.raises(ContractError, match=r"shop\.train\.mixup is 0\.2, and the column words is of the type text"):
        check_mixup(0.2, COLUMNS, "shop.train.mixup")
