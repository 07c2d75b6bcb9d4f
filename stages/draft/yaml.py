"""Plain values in, YAML 1.2 in flow style out, quoted wherever a reader might see something else."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

PLAIN = re.compile(r"[^\W\d_][\w./+-]*(?: [\w./+-]+)*|_\w[\w.-]*")
WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "none", "t", "f", "infinity"}


def scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return f"{value:_}"
    if isinstance(value, float):
        return f"{value:.12g}" if value != round(value) or abs(value) >= 1e15 else f"{int(value):_}"
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else json.dumps(text, ensure_ascii=True)


def flow(value: Any) -> str:
    """`{type: number, min: 0}`"""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def comment(texts: Sequence[str]) -> str:
    """Texts joined behind a `#`, on one line whatever they hold."""
    joined = "; ".join(texts)
    printable = "".join(c if c.isprintable() else " " for c in joined)
    return f" # {' '.join(printable.split())}" if printable.strip() else ""
