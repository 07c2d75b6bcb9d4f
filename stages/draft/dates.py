"""Distinct values in, the strptime format that reads them as times, and how sure that is, out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, product

import numpy as np

DAYS = [
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d", "%Y年%m月%d日"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"),
    *("%b %d %Y", "%d/%b/%Y", "%a %d %b %Y", "%a, %d %b %Y", "%a %b %d %Y"),
]  # fmt: skip
CLOCKS = [
    "",
    " %H:%M",
    " %H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
    ", %H:%M",
    " %H:%M:%S.%f",
    "T%H:%M:%S",
    ":%H:%M:%S",
    " %H:%M:%S %z",
    " %H:%M:%S%z",
]
COMPACT = {r"[12]\d{7}": "%Y%m%d", r"[12]\d{13}": "%Y%m%d%H%M%S"}
LIKELY = re.compile(r"(?=.*\d)(?=.*[-./: 年]).{6,40}", re.DOTALL)
TRIED, CHECKED = 40, 3_000
ENOUGH = 0.9
EPOCHS = {"s": 1, "ms": 10**3, "us": 10**6}
EARLIEST, LATEST = 1900, 2100


@dataclass(frozen=True)
class Moments:
    """`format` is None for ISO 8601. `other` is a second format that reads the values as well."""

    format: str | None
    first: datetime
    last: datetime
    share: float
    other: str | None = None
    because: str = ""


def spread(values: Sequence[str], count: int) -> list[str]:
    return [values[place] for place in np.unique(np.linspace(0, len(values) - 1, count).astype(int))] if values else []


def parse(text: str, form: str | None) -> datetime | None:
    try:
        moment = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=None) if EARLIEST <= moment.year <= LATEST else None


def share_of(values: Sequence[str], form: str | None) -> float:
    return sum(parse(value, form) is not None for value in values) / max(len(values), 1)


def find(values: Sequence[str], *, in_order: Sequence[str]) -> Moments | None:
    """The format of the distinct `values`; `in_order` are values as the file has them, for what is ambiguous."""
    few = spread(values, TRIED)
    for pattern, form in COMPACT.items():
        if len(few) >= 5 and all(re.fullmatch(pattern, value) for value in few) and share_of(few, form) >= 0.99:
            return describe(form, values)
    if sum(LIKELY.fullmatch(value) is not None for value in few) < ENOUGH * len(few) or not few:
        return None
    if share_of(few, None) >= ENOUGH:
        return describe(None, values)
    many = spread(values, CHECKED)
    forms = [day + clock for day, clock in product(DAYS, CLOCKS)]
    fitting = [form for form in forms if share_of(few, form) >= ENOUGH / 2]  # both of d/m and m/d, until all are seen
    scores = {form: share_of(many, form) for form in fitting}
    best = max(scores, key=lambda form: scores[form], default=None)
    if best is None or scores[best] < ENOUGH:
        return None
    rivals = [form for form in scores if form != best and scores[form] >= scores[best] and swapped(form) == best]
    return settle(best, rivals[0], values, in_order) if rivals else describe(best, values, scores.get(swapped(best)))


def swapped(form: str) -> str:
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def describe(form: str | None, values: Sequence[str], rival: float | None = None) -> Moments:
    many = spread(values, CHECKED)
    moments = [moment for value in many if (moment := parse(value, form))]
    because = ""
    if form and rival is not None:
        decided = [value for value in many if parse(value, form) and not parse(value, swapped(form))]
        because = f'"{decided[0]}" is no {human(swapped(form))}' if decided else ""
    return Moments(form, min(moments), max(moments), len(moments) / len(many), None, because)


def settle(form: str, rival: str, values: Sequence[str], in_order: Sequence[str]) -> Moments:
    """Two readings fit every value: take the one under which the file is sorted; else say that it is a guess."""
    rises = {one: rising(in_order, one) for one in (form, rival)}
    best = max(rises, key=lambda one: rises[one])
    other = rival if best == form else form
    found = describe(best, values)
    if rises[best] >= 0.95 > rises[other] or rises[other] <= 0.05 < rises[best]:
        return Moments(best, found.first, found.last, found.share, None, "so read, the file is in order of time")
    month_first = min(form, rival, key=lambda one: one.find("%m")) if "/" in form else form
    day_first = max(form, rival, key=lambda one: one.find("%m"))
    chosen = month_first if "/" in form else day_first
    found = describe(chosen, values)
    return Moments(chosen, found.first, found.last, found.share, swapped(chosen))


def rising(values: Sequence[str], form: str) -> float:
    moments = [moment for value in values if (moment := parse(value, form))]
    steps = [later >= earlier for earlier, later in pairwise(moments)]
    return sum(steps) / max(len(steps), 1)


def human(form: str) -> str:
    """`%d/%m/%Y %H:%M` as `day/month/year`."""
    return re.sub(
        r"[T,: ]*%[HI].*",
        "",
        form.replace("%d", "day").replace("%m", "month").replace("%Y", "year").replace("%y", "year"),
    )


def since(value: float, unit: str) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=value / EPOCHS[unit])
