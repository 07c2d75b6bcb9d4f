"""A table of training rows and one of the catalogue's items in, one table that carries both out, and back.

The items travel in the training rows' schema: whatever is fitted on these rows, a fold's model too, finds what was
known of the items then, and no other file can fall out of step with them.
"""

import pyarrow as pa

from stages.core.errors import DataError

ITEMS = b"ingot.items"  # in the schema's metadata: an Arrow stream
MAX_BYTES = 32 << 20  # readers hold a Parquet file's metadata in memory as a whole, and many stop at 100 MB


def carry(rows: pa.Table, items: pa.Table) -> pa.Table:
    """Raises DataError where the items are more than MAX_BYTES."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, items.schema) as writer:
        writer.write_table(items)
    content = sink.getvalue().to_pybytes()
    if len(content) > MAX_BYTES:
        raise DataError(
            f"the columns of {items.num_rows:,} items hold {len(content):,} bytes; at most {MAX_BYTES:,} are possible. "
            "Declare fewer of examples.target.items.columns, or a smaller max_chars"
        )
    return rows.replace_schema_metadata({**(rows.schema.metadata or {}), ITEMS: content})


def carried(rows: pa.Table) -> pa.Table:
    """The items of a table of training rows. Raises DataError where it has none."""
    content = (rows.schema.metadata or {}).get(ITEMS)
    if content is None:
        raise DataError("the training rows carry no items, which examples.target.items declares. Run examples again")
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
