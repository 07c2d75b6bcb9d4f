"""The reports and tables of all parts in, whether they are one table and what the stage's report says of them out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from stages.core.errors import DataError
from stages.core.files import hash_json


def with_types(schema: pa.Schema) -> pa.Schema:
    """Without metadata; a column that holds nothing yet is one of text."""
    return pa.schema([(item.name, pa.string() if pa.types.is_null(item.type) else item.type) for item in schema])


def fit(records: pa.Table, schema: pa.Schema, personal: Sequence[str] = ()) -> pa.Table:
    """The records in the types of those before them. Raises DataError where that would change a value.

    Of a column that is `personal`, it does not show the value.
    """
    if records.schema.equals(schema):
        return records
    columns = []
    for item in schema:
        try:
            columns.append(records[item.name].cast(item.type))
        except pa.ArrowException as error:
            said = "its value is not shown, the column is personal" if item.name in personal else error
            raise DataError(
                f"{records['_file'][0]}: {item.name} is {records[item.name].type}, {item.type} before: {said} (record "
                f"{first_unfit(records, item)}). Make the types agree in the source, or write text there."
            ) from None
    return pa.table(columns, schema=schema)


def first_unfit(records: pa.Table, item: pa.Field) -> Any:
    """The number of the first record whose value does not become the type; of all, where none alone says so."""
    for row in range(records.num_rows):
        try:
            records[item.name].slice(row, 1).cast(item.type)
        except pa.ArrowException:
            return records["_record"][row]
    return records["_record"][0]


def require_types(report: Mapping[str, Any], first: Mapping[str, Any], name: str) -> None:
    """Raise DataError where a part has other types than the first one: they are one table."""
    changed = [f"{c} is {t}, {first['types'][c]} in the first file" for c, t in report["types"].items()
               if t != first["types"][c]]  # fmt: skip
    if changed:
        raise DataError(f"{name}: {'; '.join(changed)}. Make the types of the files agree.")


def summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of all parts together; what was detected alike in many files stands there once."""
    total: dict[str, Any] = {name: sum(report[name] for report in reports) for name in ("records", "malformed")}
    total["columns_left_out"] = sorted({name for report in reports for name in report["columns_left_out"]})
    skipped: Counter[str] = Counter()
    alike: dict[str, dict[str, Any]] = {}
    for report in reports:
        skipped.update(report["skipped"])
    for name, found in sorted(item for report in reports for item in report["detected"].items()):
        alike.setdefault(hash_json(found), {**found, "first_file": name, "files": 0})["files"] += 1
    more = {
        "columns_absent": {file: names for report in reports for file, names in report["lacks"].items() if names},
        "skipped": {what: count for what, count in sorted(skipped.items()) if count},
        "detected": list(alike.values()),
    }
    return total | {name: value for name, value in more.items() if value}
