"""Examples and their sides in; the rows that a later side knows already out, by each kind of sameness.

Kinds are `duplicates` (equal inputs), `near` (near duplicates of one column) and `groups` (an equal key).
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stages.contract import Contract
from stages.contract.column import is_personal, shown
from stages.duplicates import near
from stages.duplicates.join import by_keys
from stages.examples.split import LEFT_OUT, SIDES, hash_rows

LISTED = 20  # in the report
SAVED = 1_000  # in leaks.parquet
SHOWN = 80  # characters of a value
WORDS = {"duplicates": "the same inputs as", "near": "a near duplicate of {} in", "groups": "the same {} as"}
SCHEMA = pa.schema(
    [
        (name, pa.string() if name not in ("row", "same_as_row") else pa.int64())
        for name in ("kind", "row", "split", "same_as_row", "same_as_split", "values")
    ]
)


def declared(settings: Any) -> dict[str, str]:
    """What is to be done about each kind that is looked for."""
    found = {"duplicates": settings.duplicates}
    if settings.near:
        found["near"] = settings.near.then
    if settings.groups:
        found["groups"] = settings.groups.then
    return found


def keys(table: pa.Table, contract: Contract, settings: Any) -> dict[str, np.ndarray]:
    """int64 [N] by kind: rows with an equal number are the same thing."""
    same = {"duplicates": hash_rows(table, list(contract.input_columns))}
    if settings.near:
        column, values = contract.example_columns[settings.near.column], table.column(settings.near.column)
        same["near"] = near.groups(column, near.signatures(column, values), values, settings.near.similarity)
    if settings.groups:
        same["groups"] = hash_rows(table, settings.groups.keys)
        absent = np.zeros(table.num_rows, bool)
        for name in settings.groups.keys:
            absent |= np.asarray(table.column(name).is_null())
        # Rows without a key belong to no group: each is its own (a collision costs one row).
        same["groups"][absent] = hash_rows(pa.table({"row": np.flatnonzero(absent)}), ["row"])
    return same


def together(groups: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """int64 [N]: one number for all rows that are joined by `groups` or `others`, directly or through rows between.

    It is the smallest of `groups` among them: rows that are joined to none keep their own, and so their side.
    """
    joined = by_keys(groups, *others)
    smallest = groups.copy()
    np.minimum.at(smallest, joined, groups)
    return np.asarray(smallest[joined])


def across(same: np.ndarray, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a row's key stands on a later side too (train < validation < test), bool [N], and where first, int [N].

    Leaving the named rows out ends every leak and touches no test row.
    """
    _, places = np.unique(same, return_inverse=True)
    latest = np.full(places.max(initial=-1) + 1, LEFT_OUT, np.int8)
    np.maximum.at(latest, places, sides)
    leaked = (sides != LEFT_OUT) & (latest[places] > sides)
    twins = np.full(len(latest), len(same))
    on_latest = np.flatnonzero(sides == latest[places])
    np.minimum.at(twins, places[on_latest], on_latest)
    return leaked, twins[places]


def summary(leaked: np.ndarray) -> dict[str, Any]:
    return {"leaked": int(leaked.sum()), "rows": np.flatnonzero(leaked)[:LISTED].tolist()}


def blocked(found: Mapping[str, Mapping[str, Any]], settings: Any) -> list[str]:
    """Reasons to refuse, one for each kind that was found and is to block."""
    reasons = []
    for kind, then in declared(settings).items():
        if found[kind]["leaked"] and then != "drop":
            names = {"near": settings.near and settings.near.column}
            names["groups"] = settings.groups and " and ".join(settings.groups.keys)
            where = "duplicates" if kind == "duplicates" else f"{kind}: {{…, then"
            end = "" if kind == "duplicates" else "}"
            reasons.append(
                f"{found[kind]['leaked']:,} training or validation rows have {WORDS[kind].format(names.get(kind))} a "
                f"row of a later split, such as rows {found[kind]['rows'][:5]}; leaks.parquet lists them. Keep them "
                f"together with leaks: {{{where}: together{end}}} or split: {{by: group, key: …}}, or leave them out "
                f"with leaks: {{{where}: drop{end}}}"
            )
    return reasons


def listed(
    kind: str, leaked: tuple[np.ndarray, np.ndarray], sides: np.ndarray, table: pa.Table, columns: Mapping[str, Any]
) -> pa.Table:
    """The first SAVED leaked rows, each with a row that it equals; personal values are masked."""
    rows = np.flatnonzero(leaked[0])[:SAVED]
    twins = leaked[1][rows]
    held = table.select([name for name in table.column_names if name in columns]).take(pa.array(rows)).to_pylist()
    values = [
        json.dumps({key: show(columns[key], value) for key, value in row.items()}, ensure_ascii=False) for row in held
    ]
    return pa.table(
        {
            "kind": [kind] * len(rows),
            "row": rows,
            "split": [SIDES[side] for side in sides[rows]],
            "same_as_row": twins,
            "same_as_split": [SIDES[side] for side in sides[twins]],
            "values": values,
        },
        schema=SCHEMA,
    )


def show(column: Any, value: Any) -> Any:
    if value is None or is_personal(column):
        return shown(column, value)
    if column.type in ("image", "audio"):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
