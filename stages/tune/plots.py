"""Trials in; history, parallel coordinates, slices and importance as inline SVG out.

Colours are the page's variables, so one drawing is right in light and in dark.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 64, 16, 14, 40


@dataclass(frozen=True)
class Point:
    """One finished trial: `score` is None where it was pruned or could not be scored."""

    number: int
    score: float | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """Places of values on 0 … 1, and which of them to write."""

    place: Callable[[Any], float]
    ticks: Sequence[tuple[float, str]]


def numbers(values: Sequence[float], log: bool = False) -> Axis:
    """A linear or logarithmic axis over finite values."""
    low, high = min(values), max(values)
    low, high = (low - 0.5, high + 0.5) if low == high and not log else (low, high)
    if log and low > 0 and high > low:
        span = math.log(high / low)
        ticks = [low * (high / low) ** share for share in (0, 0.5, 1)]
        return Axis(lambda value: math.log(value / low) / span, [(i / 2, short(tick)) for i, tick in enumerate(ticks)])
    span = (high - low) or 1.0
    ticks = [low + span * share for share in (0, 0.25, 0.5, 0.75, 1)]
    digits = 3 + max(0, math.floor(math.log10(max(abs(low), abs(high)) / span)))  # so that no two ticks read alike
    return Axis(lambda value: (value - low) / span, [(i / 4, short(tick, digits)) for i, tick in enumerate(ticks)])


def words(choices: Sequence[Any]) -> Axis:
    """One place for each choice."""
    labels = [json.dumps(choice) for choice in choices]
    share = 1 / max(len(labels) - 1, 1)
    return Axis(
        lambda value: labels.index(json.dumps(value)) * share, [(i * share, label) for i, label in enumerate(labels)]
    )


def axis_of(of: Any, points: Sequence[Point], name: str) -> Axis:
    if isinstance(of, list):
        return words(of)
    return numbers([of.low, of.high, *(point.values[name] for point in points)], of.log)


def short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}"


def x_of(share: float, width: int = WIDTH) -> float:
    return LEFT + share * (width - LEFT - RIGHT)


def y_of(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def svg(title: str, parts: Sequence[str], width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" role=img aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    cut = words if len(words) <= 22 else words[:21] + "…"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(cut)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, shade: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{shade}"/>'


def frame(across: Axis, up: Axis, below: str) -> list[str]:
    """Grid lines, ticks, and the words below."""
    parts = [line(x_of(0), y_of(place), x_of(1), y_of(place), "grid") for place, _ in up.ticks]
    parts += [text(LEFT - 8, y_of(place) + 4, label, "end") for place, label in up.ticks]
    ends = {0.0: "start", 1.0: "end"} if len(across.ticks) > 1 else {}
    parts += [text(x_of(place), HEIGHT - 22, label, ends.get(place, "middle")) for place, label in across.ticks]
    return [*parts, text(x_of(0.5), HEIGHT - 5, below)]


def dot(x: float, y: float, point: Point, best: bool) -> str:
    said = ", ".join(f"{name} {value}" for name, value in point.values.items())
    title = f"trial {point.number}: {'pruned' if point.score is None else f'{point.score:.5g}'}; {said}"
    shade = "best" if best else "cut" if point.score is None else "dot"
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{5 if best else 4}"'
    return f'<circle {place} class="{shade}"><title>{escape(title)}</title></circle>'


def scored(points: Sequence[Point]) -> list[tuple[Point, float]]:
    return [(point, point.score) for point in points if point.score is not None]


def up_of(points: Sequence[Point], present: float | None) -> Axis:
    """The scores' axis, without those far below the rest: they would press the others flat."""
    now = [] if present is None else [present]
    found = np.array([*now, *(score for _, score in scored(points))])
    near = found[np.abs(found - np.median(found)) <= 4 * max(np.median(np.abs(found - np.median(found))), 1e-12) + 1e-9]
    return numbers([*near.tolist(), *now, *([max(found)] if len(near) < len(found) else [])])


def held(axis: Axis, value: float) -> float:
    return min(max(axis.place(value), 0.0), 1.0)


def history(points: Sequence[Point], present: float | None, sign: int, metric: str) -> str:
    """Scores in the order of the trials, the best so far, and the present setting's as a dashed line."""
    up, across = up_of(points, present), numbers([1, max(len(points), 2)])
    ticks = sorted({1, (1 + len(points)) // 2, len(points)})
    across = Axis(across.place, [(across.place(tick), str(tick)) for tick in ticks])
    best: float | None = None
    steps = []
    for point, score in scored(points):
        previous = best
        best = score if previous is None else max(previous, score, key=lambda value: sign * value)
        if previous is not None:
            steps.append(f"{x_of(across.place(point.number)):.1f},{y_of(held(up, previous)):.1f}")
        steps.append(f"{x_of(across.place(point.number)):.1f},{y_of(held(up, best)):.1f}")
    parts = frame(across, up, "trial")
    if present is not None:
        parts.append(line(x_of(0), y_of(held(up, present)), x_of(1), y_of(held(up, present)), "now"))
    parts.append(f'<polyline points="{" ".join(steps)}" class="path"/>')
    for point in points:
        y = y_of(0) if point.score is None else y_of(held(up, point.score))
        parts.append(dot(x_of(across.place(point.number)), y, point, point.score is not None and point.score == best))
    return svg(f"{metric} of each trial", parts)


def slices(name: str, of: Any, points: Sequence[Point], present: float | None, sign: int) -> str:
    """The score over one parameter."""
    across, up = axis_of(of, points, name), up_of(points, present)
    best = max((sign * score for _, score in scored(points)), default=None)
    parts = frame(across, up, name)
    for point, score in scored(points):
        x = x_of(across.place(point.values[name]))
        parts.append(dot(x, y_of(held(up, score)), point, sign * score == best))
    return svg(f"score over {name}", parts)


def parallel(ranges: Mapping[str, Any], points: Sequence[Point], present: float | None, sign: int, metric: str) -> str:
    """One line a trial across all parameters to its score: the better, the stronger."""
    up, names = up_of(points, present), list(ranges)
    axes = [axis_of(ranges[name], points, name) for name in names]
    width = max(WIDTH, 130 * (len(names) + 1))
    shares = [place / len(names) for place in range(len(names) + 1)]
    parts = []
    for point, score in sorted(scored(points), key=lambda pair: sign * pair[1]):
        heights = [axis.place(point.values[name]) for axis, name in zip(axes, names, strict=True)] + [held(up, score)]
        places = [f"{x_of(share, width):.1f},{y_of(y):.1f}" for share, y in zip(shares, heights, strict=True)]
        strength = heights[-1] if sign > 0 else 1 - heights[-1]
        parts.append(
            f'<polyline points="{" ".join(places)}" class="path" style="opacity:{0.08 + 0.92 * strength**2:.2f}"/>'
        )
    for place, (axis, name) in enumerate(zip([*axes, up], [*names, metric], strict=True)):
        x, last = x_of(shares[place], width), place == len(names)
        parts.append(line(x, y_of(0), x, y_of(1), "axis"))
        parts.append(
            text(x, HEIGHT - 20 + 14 * (place % 2), name, "start" if place == 0 else "end" if last else "middle")
        )
        parts += [
            text(x + (-6 if last else 6), y_of(at) + 4, label, "end" if last else "start") for at, label in axis.ticks
        ]
    return svg("all parameters of each trial", parts, width)


def importance(found: Mapping[str, float]) -> str:
    """Bars: the share of the scores' variance that each parameter explains."""
    parts = []
    for place, (name, share) in enumerate(sorted(found.items(), key=lambda pair: -pair[1])):
        y = TOP + 34 * place
        parts.append(text(170, y + 16, name, "end"))
        parts.append(f'<rect x="180" y="{y}" width="{max(share, 0.002) * 380:.1f}" height="22" rx="3" class="bar"/>')
        parts.append(text(188 + share * 380, y + 16, f"{share:.0%}", "start"))
    height = TOP + 34 * len(found)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role=img aria-label="importance">{"".join(parts)}</svg>'
