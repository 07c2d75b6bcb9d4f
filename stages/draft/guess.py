"""A column's profile in, what to declare for it and what to say about it out.

A guess is tried: the column's own `clean` must take the values that it was guessed from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract.column import MISSING
from stages.contract.loader import choose, declare
from stages.draft import dates, names, pictures, quantities
from stages.draft.profile import Profile, is_bytes, spellings

MAX_LISTED = 20
PIXELS, MEASURED, TRIED = 64, 300, 1_000
MAX_CATEGORIES = 50
ENOUGH = 0.9  # of the present rows, for a type with rejects
HAN = r"[\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{3041}-\x{30FF}\x{AC00}-\x{D7A3}]"
PAIRS = [
    *(("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("1", "0"), ("on", "off"), ("ja", "nein"), ("j", "n")),
    *(("oui", "non"), ("sí", "no"), ("si", "no"), ("sim", "não"), ("да", "нет"), ("是", "否"), ("有", "无")),
    *(("wahr", "falsch"), ("vrai", "faux"), ("はい", "いいえ"), ("예", "아니오"), ("evet", "hayır"), ("tak", "nie")),
]  # fmt: skip
EMAIL, PHONE = r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}", r"[+(]?[0-9][0-9 ()/.-]{6,18}[0-9]"
UUID = r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}|[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}"
CODE = r"[A-Za-z]{0,6}[-_/ ]?[0-9][A-Za-z0-9/_.-]{2,30}"


@dataclass
class Guess:
    """`declaration` is the column in params.yaml; `left_out` says why it is better not declared at all."""

    declaration: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what a person must look at
    left_out: str = ""


def accepts(kind: str, key: str) -> bool:
    """Whether columns of a type may declare `key`."""
    return key in choose("columns", kind, "draft").Column.model_fields


def numbers_of(profile: Profile, declaration: Mapping[str, Any]) -> np.ndarray:
    """The distinct values as a column so declared reads them, NaN where it refuses one."""
    column = declare(profile.name, declaration)
    cleaned = choose("columns", "number", profile.name).clean(profile.name, column, pa.array(profile.words))
    return np.asarray(cleaned.values.fill_null(np.nan), np.float64)


def guess(profile: Profile) -> Guess:
    for rule in (empty, image, constant, boolean, identifier, moment, number, quantity, category):
        if (found := rule(profile)) is not None:
            break
    else:
        found = text(profile)
    if found.left_out or not readable(profile, found):
        return found
    if profile.missing:
        found.declaration["missing"] = [*MISSING, *profile.missing]
        spelled = ", ".join(f'"{word}" ({count:,})' for word, count in list(profile.missing.items())[:4])
        found.notes.append(f"taken as missing: {spelled}")
    guard(profile, found)
    return found


def readable(profile: Profile, found: Guess) -> bool:
    """Whether the column reads values of the source's own type; lists and structures it does not."""
    if profile.typed is None:
        return True
    column = declare(profile.name, found.declaration)
    some = profile.values.drop_null().slice(0, TRIED)
    try:
        broken = choose("columns", found.declaration["type"], profile.name).clean(profile.name, column, some).broken
        found.left_out = "" if sum(mask.sum() for mask in broken.values()) <= len(some) / 2 else "not readable"
    except (pa.ArrowException, TypeError, ValueError, AttributeError):
        found.left_out = "not readable"
    if found.left_out:
        found.left_out = f"of type {profile.typed}, which columns do not read; take it apart in an ingest.py"
    return not found.left_out


def guard(profile: Profile, found: Guess) -> None:
    """Mark personal data, and keep it from the model."""
    kind = "email" if profile.share(EMAIL) > 0.5 else names.personal(profile.name)
    if kind == "phone" and profile.share(PHONE) < 0.5:
        kind = None
    if kind is None or found.declaration["type"] in ("number", "boolean"):
        return
    if accepts(found.declaration["type"], "personal"):
        found.declaration["personal"] = True
    found.warnings.append(f"personal data ({kind})")
    if found.declaration["type"] in ("text", "category"):
        found.declaration["input"] = False


def empty(profile: Profile) -> Guess | None:
    if profile.num_present:
        return None
    return Guess({"type": "text"}, left_out="never has a value")


def constant(profile: Profile) -> Guess | None:
    if len(profile.words) != 1 or profile.missing_share > 0.05:
        return None
    return Guess({"type": "category"}, left_out=f'always "{profile.words[0][:40]}"')


def image(profile: Profile) -> Guess | None:
    """Bytes are pictures: one size for all, at most PIXELS a side."""
    if not is_bytes(profile.typed):
        return None
    sizes, modes, broken = pictures.measure(profile.values.drop_null().slice(0, MEASURED).to_pylist())
    if not sizes:
        return Guess({"type": "text", "input": False}, [], ["bytes that are no pictures"], "bytes that are no pictures")
    height, width = (int(np.median([size[side] for size in sizes])) for side in (1, 0))
    scale = min(1.0, PIXELS / max(height, width))
    shape = {"height": max(1, round(height * scale)), "width": max(1, round(width * scale)), "channels": 3}
    if modes <= {"1", "L", "I;16", "I"}:
        shape["channels"] = 1
    many = len(set(sizes)) > 1
    made = Guess(
        {"type": "image", **shape, "required": True}, [f"{width} × {height} pixels{', in the middle' if many else ''}"]
    )
    if scale < 1:
        made.notes.append("made smaller: more pixels learn better, and slower")
    if broken:
        made.warnings.append(f"{broken} of {len(sizes) + broken} looked at cannot be opened")
    return made


def boolean(profile: Profile) -> Guess | None:
    if pa.types.is_boolean(profile.typed or pa.null()):
        return Guess({"type": "boolean"}, [balance(profile)])
    lowered = {word.lower() for word in profile.words}
    for pair in PAIRS:
        if lowered == set(pair):
            spelled = {} if pair in PAIRS[:5] else {"true": [pair[0]], "false": [pair[1]]}
            return Guess({"type": "boolean", **spelled}, [balance(profile)])
    return None


def balance(profile: Profile) -> str:
    shares = profile.counts / max(profile.num_present, 1)
    shown = [f"{word[:24]} {share:.0%}" for word, share in zip(profile.words, shares, strict=False)]
    return ", ".join(shown[:4]) + (", …" if len(shown) > 4 else "")


def moment(profile: Profile) -> Guess | None:
    if pa.types.is_temporal(profile.typed or pa.null()):
        return Guess({"type": "timestamp"}, [f"{profile.words[0]}, …"])
    if (unit := epoch(profile)) is not None:
        first, last = (dates.since(value, unit) for value in (profile.numbers.min(), profile.numbers.max()))
        return Guess({"type": "timestamp", "epoch": unit}, [f"{first:%Y-%m-%d} … {last:%Y-%m-%d}"])
    if profile.typed is not None:
        return None
    in_order = [str(value).strip() for value in profile.values.slice(0, 2_000).to_pylist() if value]
    found = dates.find(sorted(profile.words), in_order=in_order)
    if found is None:
        return None
    made = Guess({"type": "timestamp"}, [f"{found.first:%Y-%m-%d} … {found.last:%Y-%m-%d}"])
    if found.format:
        made.declaration["format"] = found.format
    if found.because:
        made.notes.append(found.because)
    if found.other:
        made.warnings.append(f'a guess: all values fit "{found.other}" ({dates.human(found.other)}) as well')
    return made


def epoch(profile: Profile) -> str | None:
    """The unit in which whole numbers count since 1970, if their name speaks of time and the years are ours."""
    numbers = profile.numbers
    if (
        not names.has(profile.name, names.TIME_WORDS)
        or not (np.isfinite(numbers) & (numbers == np.round(numbers))).all()
    ):
        return None
    for unit, size in dates.EPOCHS.items():
        if 5e8 * size <= numbers.min() and numbers.max() <= 4e9 * size:
            return unit
    return None


def number(profile: Profile) -> Guess | None:
    finite = np.isfinite(profile.numbers)
    share = profile.counts[finite].sum() / max(profile.num_present, 1)
    if share < ENOUGH or (profile.typed is None and profile.share(r"0[0-9]+") > 0.01):
        return None
    values = profile.numbers[finite]
    made = Guess({"type": "number"}, [quantities.seen(values)])
    made.declaration |= quantities.natural_bounds(profile.name, values)
    quantities.remark(profile.numbers, profile.counts, made.notes, made.warnings)
    junk = [word for word, fits in zip(profile.words, finite, strict=True) if not fits]
    words = [word for word in junk if not any(c.isdigit() for c in word)]
    if 0 < len(words) <= 5 and profile.typed is None:  # words among numbers say why there is none
        counts = dict(zip(profile.words, profile.counts.tolist(), strict=True))
        profile.missing.update({word: counts[word] for word in words})
    return made


def quantity(profile: Profile) -> Guess | None:
    """Numbers written with a decimal comma, thousands marks or a unit."""
    if profile.typed is not None:
        return None
    written = quantities.written(profile.words, profile.counts)
    if written is None:
        return None
    declaration = {"type": "number", **written.options()}
    values = numbers_of(profile, declaration)
    if profile.counts[np.isfinite(values)].sum() < ENOUGH * profile.num_present:
        return None
    made = Guess(declaration, [f"written {written.explain()}", quantities.seen(values)], written.warnings())
    made.declaration |= quantities.natural_bounds(profile.name, values[np.isfinite(values)])
    quantities.remark(values, profile.counts, made.notes, made.warnings)
    return made


def identifier(profile: Profile) -> Guess | None:
    """Names of things: said so by the column's name, or unique and shaped like codes."""
    floats = np.isfinite(profile.numbers) & (profile.numbers != np.round(profile.numbers))
    if floats.any() or (profile.typed is not None and pa.types.is_temporal(profile.typed)):
        return None
    unique = len(profile.words) / max(profile.num_present, 1)
    few = len(profile.words) <= MAX_LISTED and profile.num_present >= 10 * len(profile.words)
    how = "unique" if unique == 1 else f"{profile.num_present / max(len(profile.words), 1):.1f} rows each"
    integers = bool(np.isfinite(profile.numbers).all())
    spaced = profile.share(r".*\s.*\s.*") > 0.5
    if names.is_id(profile.name) and not few and not spaced:
        return Guess({"type": "id"}, [how])
    if profile.share(UUID) > ENOUGH:
        return Guess({"type": "id"}, [how])
    dated = dates.find(sorted(profile.words)[:500], in_order=[]) is not None
    if names.is_weak_id(profile.name) and unique > 0.5 and not spaced and not dated:
        return Guess({"type": "id"}, [how])
    if integers and unique == 1 and profile.num_present >= 30 and np.ptp(profile.numbers) < 1.5 * profile.num_present:
        return Guess({"type": "id"}, ["counts the rows"])
    if not integers and unique > ENOUGH and profile.num_present >= 30 and profile.share(CODE) > ENOUGH and not dated:
        if profile.share(PHONE) > 0.5 or quantities.written(profile.words, profile.counts):
            return None
        return Guess({"type": "id"}, [f"codes, {how}"])
    if profile.typed is None and profile.share("0[0-9]+") > 0.01 and profile.share("[0-9]+") > ENOUGH and not dated:
        kind = "id" if len(profile.words) > max(1_000, 0.05 * profile.num_present) else "category"
        return Guess({"type": kind}, ["begins with 0: a code, not a number"])
    return None


def category(profile: Profile) -> Guess | None:
    """Few distinct short words. They are listed where hardly a new one is to be expected."""
    distinct = len(profile.words)
    longest = float(np.average(profile.lengths, weights=profile.counts)) if distinct else 0.0
    if longest > 60 or (distinct > MAX_CATEGORIES and distinct > 0.1 * profile.num_present):
        return None
    if distinct > 0.5 * profile.num_present and distinct > 5:
        return None
    made = Guess({"type": "category"}, [balance(profile)])
    merged = spellings(profile.words)
    once = int((profile.counts == 1).sum())
    # Good and Turing: the share of values seen once is the chance that the next one is new
    if len(merged) <= MAX_LISTED and once <= 0.001 * profile.num_present and profile.num_present >= 50:
        made.declaration["values"] = merged if any(merged.values()) else list(merged)
        if any(merged.values()):
            made.warnings.append("spellings that differ by case or spaces are taken as one")
    elif distinct > MAX_LISTED:
        made.notes.append(f"{distinct:,} values")
    return made


def text(profile: Profile) -> Guess:
    """Anything else: words to read, or too many names to tell apart."""
    sample = profile.words[:2_000]
    foreign = Profile("", profile.values, sample, np.ones(len(sample), int)).share(f"(?s).*{HAN}.*{HAN}.*{HAN}.*")
    num_words = float(np.mean([len(word.split()) for word in sample])) if sample else 0.0
    longest = int(profile.lengths.max()) if len(profile.lengths) else 0
    if num_words < 1.5 and foreign < 0.5 and longest <= 80:
        return Guess(
            {"type": "id"}, [f"{len(profile.words):,} different words: names of things, not seen by the model"]
        )
    script = "Chinese, Japanese or Korean" if foreign >= 0.5 else f"{num_words:.0f} words"
    made = Guess({"type": "text"}, [f"{script}, up to {longest:,} characters"])
    if longest > 4_000:
        made.declaration["max_chars"] = 8_000 if longest > 8_000 else longest
        made.notes.append("longer ones are cut at max_chars")
    return made
