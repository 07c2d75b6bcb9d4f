"""Numbers as people write them in; their decimal and thousands marks, units and natural bounds out."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.draft import names

CURRENCY = r"(?:[$€£¥₹₩₽฿₺₫₴₦]|R\$|US\$|[A-Z]{3}|kr|Fr|Rs)\.?"
WRITTEN = re.compile("(" + CURRENCY + r")?\s*([+-]?\s*\d[\d.,'’ \u00a0\u202f]*|[+-]?\s*[.,]\d+)\s*([^\d.,]{0,12})")
SPACES = " \u00a0\u202f"
MAX_UNITS = 6
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
ENOUGH = 0.9


@dataclass(frozen=True)
class Written:
    """How a column's numbers are written. `sure` is false where "1,234" may be either."""

    decimal: str
    thousands: str
    units: tuple[str, ...]
    example: str
    sure: bool = True

    def options(self) -> dict[str, Any]:
        """What a column of type number calls this."""
        marks: dict[str, Any] = {"decimal": self.decimal} if self.decimal != "." else {}
        if self.thousands:
            marks["thousands"] = self.thousands
        return marks | ({"units": dict.fromkeys(self.units, 1)} if self.units else {})

    def explain(self) -> str:
        said = [f'with a decimal "{self.decimal}"'] if self.decimal != "." else []
        said += [f'with "{self.thousands}" between thousands'] if self.thousands else []
        said += [f"with {', '.join(self.units)}"] if self.units else []
        return " and ".join(said) + f', such as "{self.example}"'

    def warnings(self) -> list[str]:
        found = [] if self.sure else [f'a guess: "{self.example}" could have a decimal comma']
        if len(self.units) > 1:
            found.append(f"mixed units {', '.join(self.units)}: say what each is worth")
        return found


def written(words: list[str], counts: np.ndarray) -> Written | None:
    """How the numbers are written, or None where most values are none."""
    units: Counter[str] = Counter()
    cores: list[tuple[str, str]] = []
    fitting = 0
    for word, count in zip(words, counts.tolist(), strict=True):
        match = WRITTEN.fullmatch(word)
        if match is None:
            continue
        before, core, after = (match[1] or "").strip(), match[2].strip(), match[3].strip()
        if before and after:
            continue
        fitting += count
        units[before or after] += count
        cores.append((core, word))
    named = [unit for unit, _ in units.most_common() if unit]
    if fitting < ENOUGH * counts.sum() or len(named) > MAX_UNITS or not cores:
        return None
    return marks_of(cores, tuple(named))


def marks_of(cores: list[tuple[str, str]], units: tuple[str, ...]) -> Written | None:
    text = [core for core, _ in cores]
    space = next((mark for mark in (*SPACES, "'", "’") if any(re.search(rf"\d{mark}\d", core) for core in text)), "")
    comma, dot = any("," in core for core in text), any("." in core for core in text)
    both = [core for core in text if "," in core and "." in core]
    sure, decimal, thousands = True, ".", space
    if both:
        decimal = "," if both[0].rfind(",") > both[0].rfind(".") else "."
        thousands = "." if decimal == "," else ","
    elif comma:
        whole = [re.fullmatch(r"[+-]?\s*\d{1,3}(,\d{3})+", core) for core in text if "," in core]
        if all(whole):
            thousands, sure = ",", any(core.count(",") > 1 for core in text)
        else:
            decimal = ","
            if dot:
                thousands = "."
    if decimal == "." and not thousands and not units:
        return None
    mark = decimal if decimal == "," else thousands
    example = next((word for core, word in cores if not mark or mark in core), cores[0][1])
    return Written(decimal, thousands, units, example, sure)


def seen(values: np.ndarray) -> str:
    """What was seen, and round bounds around it for a person to consider."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return f"{plain(low)} … {plain(high)}"


def plain(value: float) -> str:
    return f"{value:,.0f}".replace(",", "_") if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"


def outward(low: float, high: float) -> tuple[float, float]:
    """Bounds of one or two digits beyond what was seen."""

    def rounded(value: float, up: bool) -> float:
        if value == 0:
            return 0.0
        step = 10.0 ** np.floor(np.log10(abs(value)))
        return float((np.ceil if up else np.floor)(value / step) * step)

    return rounded(low, False), rounded(high, True)


def natural_bounds(name: str, values: np.ndarray) -> dict[str, float]:
    """Bounds that follow from what the number is: a share, a percentage, a count. None from the sample alone."""
    low, high = values.min(), values.max()
    whole = bool((values == np.round(values)).all())
    if low >= 0 and high <= 1 and names.has(name, names.SHARE_WORDS):
        return {"min": 0, "max": 1}
    if low >= 0 and high <= 100 and names.has(name, names.PERCENT_WORDS):
        return {"min": 0, "max": 100}
    if low >= 0 and whole and names.has(name, names.COUNT_WORDS):
        return {"min": 0}
    return {}


def remark(values: np.ndarray, counts: np.ndarray, notes: list[str], warnings: list[str]) -> None:
    """Suggest bounds; point at values far off."""
    counts, values = counts[np.isfinite(values)], values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    order = np.argsort(values)
    places = np.cumsum(counts[order]) / counts.sum()
    usual_low, usual_high = (float(values[order][np.searchsorted(places, share)]) for share in (0.01, 0.99))
    width = max(usual_high - usual_low, 1e-12)
    if len(values) >= 20 and (high - usual_high > 20 * width or usual_low - low > 20 * width):
        far = high if high - usual_high > usual_low - low else low
        bound = "max" if far == high else "min"
        warnings.append(
            f"{plain(far)} is far off (99% lie in {plain(usual_low)} … {plain(usual_high)}); wrong? set a {bound}"
        )
    elif len(values) >= 20:
        below, above = outward(low, high)
        notes.append(f"perhaps min: {plain(below)}, max: {plain(above)}")
