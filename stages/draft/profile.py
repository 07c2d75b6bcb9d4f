"""One raw column in; its distinct values with counts, and which of them mean "no value", out."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.values import NUMBER, SPACE
from stages.contract.column import MISSING

SPELLINGS = [
    *("?", "??", "-", "--", "---", ".", "..", "#N/A", "#NA", "<NA>", "(null)", "(none)", "(blank)", "nil", "n/d"),
    *("n.d.", "n.d", "k.A.", "k. A.", "n.a.", "N.A.", "unknown", "undefined", "missing", "not available", "not known"),
    *("not specified", "unspecified", "tbd", "#VALUE!", "#REF!", "#DIV/0!", "无", "空", "未知", "不详", "暂无", "なし"),
    *("不明", "없음", "desconocido", "inconnu", "unbekannt", "sconosciuto", "null", "none", "na", "n/a", "nan"),
]  # fmt: skip
LOWER = {word.lower() for word in SPELLINGS}
SENTINELS = (-9, -99, -999, -9999, -99999, -999999, 999, 9999, 99999, 999999, 9999999)


@dataclass(frozen=True)
class Profile:
    """Distinct trimmed values, most frequent first. `typed` where the source has types of its own."""

    name: str
    values: pa.Array
    words: list[str]
    counts: np.ndarray
    missing: dict[str, int] = field(default_factory=dict)  # spellings beyond the defaults, with counts
    typed: pa.DataType | None = None

    @property
    def num_rows(self) -> int:
        return len(self.values)

    @cached_property
    def num_present(self) -> int:
        return int(self.counts.sum())

    @property
    def missing_share(self) -> float:
        return 1 - self.num_present / max(self.num_rows, 1)

    def share(self, pattern: str) -> float:
        """The share of the present rows whose whole value matches a regular expression."""
        if not self.words:
            return 0.0
        hits = np.asarray(pc.match_substring_regex(pa.array(self.words), f"^(?:{pattern})$"))
        return float(self.counts[hits].sum() / self.num_present)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The distinct values that are plain numbers, as float64, NaN where not, in the order of `words`."""
        return to_numbers(self.words)

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.array([len(word) for word in self.words])

    def examples(self, count: int = 3) -> list[str]:
        return self.words[:count]


def to_numbers(words: list[str]) -> np.ndarray:
    if not words:
        return np.zeros(0)
    plain = pa.array(words)
    fits = pc.match_substring_regex(plain, f"^(?:{NUMBER.pattern})$")
    unsigned = pc.if_else(fits, pc.replace_substring_regex(plain, r"^\+", ""), None)
    try:
        return np.asarray(pc.fill_null(pc.cast(unsigned, pa.float64()), np.nan))
    except pa.ArrowInvalid:  # such as 1e999
        return np.array([float(word) if word else np.nan for word in unsigned.to_pylist()])


def profile(name: str, values: pa.Array) -> Profile:
    """Count the distinct values. Anything but text is spelled out as text."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if is_bytes(kind):
        counts = np.ones(len(values) - values.null_count, int)
        return Profile(
            name, values, [f"{len(value):,} bytes" for value in values.drop_null().to_pylist()], counts, {}, kind
        )
    text = values if pa.types.is_string(kind) else spelled(values)
    counted = pc.value_counts(pc.utf8_trim(text.drop_null(), SPACE))
    words = np.array(counted.field("values").to_pylist(), object)
    counts = np.asarray(counted.field("counts"))
    order = np.argsort(-counts, kind="stable")
    words, counts = words[order], counts[order]
    absent = np.array([word in MISSING for word in words], bool)
    words, counts = words[~absent], counts[~absent]
    typed = None if pa.types.is_string(kind) else kind
    extra = {} if typed else spelled_missing(words.tolist(), counts)
    kept = np.array([word not in extra for word in words], bool)
    return Profile(name, values, words[kept].tolist(), counts[kept], extra, typed)


def is_bytes(kind: pa.DataType | None) -> bool:
    return kind is not None and (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


def spelled(values: pa.Array) -> pa.Array:
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # lists, structures, bytes
        return pa.array([None if value is None else repr(value)[:200] for value in values.to_pylist()], pa.string())


def spelled_missing(words: list[str], counts: np.ndarray) -> dict[str, int]:
    """Values that look like "no value": known words, and numbers such as -999 that stand far off."""
    found = {word: int(count) for word, count in zip(words, counts, strict=True) if word.lower() in LOWER}
    if len(found) == len(words):
        return {}
    numbers = to_numbers(words)
    present = numbers[~np.isnan(numbers)]
    if len(present) < 5:
        return found
    for place in np.flatnonzero(np.isin(numbers, SENTINELS)).tolist():
        value, rest = numbers[place], present[~np.isin(present, SENTINELS)]
        if len(rest) >= 5 and counts[place] >= 2 and stands_off(value, rest):
            found[words[place]] = int(counts[place])
    return found


def stands_off(value: float, rest: np.ndarray) -> bool:
    """A code, not a value: beyond all others by more than half of their range, and with another sign or size."""
    gap = max(rest.min() - value, value - rest.max())
    if gap <= 0.5 * np.ptp(rest):
        return False
    return bool(value < 0 <= rest.min() or abs(value) >= 3 * np.abs(rest).max())


def spellings(words: list[str]) -> dict[str, list[str]]:
    """Each value with the rarer spellings that differ by case or inner spaces alone."""
    merged: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for word in words:
        key = " ".join(word.casefold().replace("_", " ").replace("-", " ").split())
        if key in first:
            merged[first[key]].append(word)
        else:
            first[key] = word
            merged[word] = []
    return merged
