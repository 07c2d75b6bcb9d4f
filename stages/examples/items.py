"""Records and the sides of examples in; what is known of each item before validation begins, out.

The query is given no later record: it cannot look into the future, whatever it says.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.columns.items import count_rows
from stages.contract import Contract
from stages.contract.column import is_personal, personal
from stages.contract.loader import declare
from stages.core.errors import DataError
from stages.core.items import carry
from stages.examples import derive
from stages.examples.settings import AS_OF, Section

PATH = "examples.target.items"
Found = tuple[pa.Table, dict[str, Any], list[str]]


def added(records: pa.Table, splits: Mapping[str, pa.Table], contract: Contract, sources: Path) -> Found:
    """The training rows with the items that they carry, the items' part of the report, and reasons against them."""
    known, begin = before_validation(records, splits, contract)
    items = table_of(known, begin, contract, sources)
    target, train = contract.target, splits["train"]
    assert target.items is not None, "asked for only where it is declared"
    assert target.history is not None, "checked by the contract"
    ids = set(count_rows(*(train.column(name).combine_chunks() for name in (target.history, target.column))))
    num_described = len(ids & set(items.column(target.items.key).to_pylist()))
    empty = [name for name in contract.item_columns if items.column(name).null_count == items.num_rows]
    reasons = [f"{target.items.derive}: {name} has no value. Mend the query, or leave {name} out" for name in empty]
    if not num_described:
        reasons.append(
            f"{target.items.derive} gives {items.num_rows:,} rows, and none of the {len(ids):,} items of train is in "
            f"their {target.items.key}. Make the query write ids as {target.history} does"
        )
    report = {
        "rows": items.num_rows,
        "records": f"before {begin.isoformat()}" if begin else "the training rows",
        "items_of_train": len(ids),
        "with_a_row": num_described,
    }
    return carry(train, items), report, reasons


def before_validation(
    records: pa.Table, splits: Mapping[str, pa.Table], contract: Contract
) -> tuple[pa.Table, datetime | None]:
    """What may be known of items: the records before the first date of validation and test, and that date; or,
    where an example is a record and has none, the training rows."""
    section = contract.section("examples", Section)
    if section.as_of is None:
        return splits["train"].select(list(contract.columns)), None
    dates = [pc.min(splits[name].column(AS_OF)).as_py() for name in ("validation", "test")]
    begin: datetime = min((date for date in dates if date is not None), default=datetime.min)  # the verdict tells why
    times = pc.cast(pc.cast(records.column(section.as_of.time), pa.timestamp("us"), safe=False), pa.int64())
    return records.filter(pc.less(times, pa.scalar(int(np.datetime64(begin, "us").astype(np.int64))))), begin


def table_of(known: pa.Table, begin: datetime | None, contract: Contract, sources: Path) -> pa.Table:
    """The query's rows: the key as text, and the declared columns. Raises DataError where an item has two rows."""
    declared, history = contract.target.items, contract.target.history
    assert declared is not None, "asked for only where it is declared"
    assert history is not None, "checked by the contract"
    query, columns = sources / declared.derive, contract.item_columns
    if not query.exists():
        raise DataError(f"{query} does not exist; {PATH}.derive names it")
    is_hidden = is_personal(contract.example_columns[history])
    key = declare(f"{PATH}.key", {"type": "id", "required": True, "personal": is_hidden})
    hidden = personal({**contract.columns, **contract.example_columns, **columns})
    found = derive.run(query, {"records": known}, begin, personal=hidden)
    items = derive.conform(found, {declared.key: key, **columns}, query=declared.derive, path=f"{PATH}.columns")
    counts = pc.value_counts(items.column(declared.key).combine_chunks())
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(twice):
        such = "" if is_hidden else f", such as {twice[0].as_py()!r}"
        raise DataError(
            f"{query.name}: {len(twice):,} of {len(counts):,} values of {declared.key} stand in more than one row"
            f"{such}; expected one row an item. Write group by {declared.key}, and arg_max or any_value of the others"
        )
    return items
