"""A query over SQLite files and over a live PostgreSQL: types, streaming, errors, and what is said of reproducing."""

import sqlite3
import tempfile
from decimal import Decimal

import pyarrow as pa
import pytest

from stages.core.errors import ContractError, DataError, SourceError
from stages.ingest import sql


@pytest.fixture
def rows(reader):
    return reader(sql)


def database(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    return connection.serialize()


SHOP = database(
    "CREATE TABLE sale (id INTEGER, word TEXT, price REAL, photo BLOB)",
    "INSERT INTO sale VALUES (1, 'é', 1.5, x'00ff'), (2, NULL, NULL, NULL), (3, '', 2.0, x'')",
)


def test_a_query_gives_typed_records(rows):
    records, malformed = rows({"shop.db": SHOP}, query="SELECT * FROM sale WHERE id < 3 ORDER BY id")
    assert records == [
        {"id": 1, "word": "é", "price": 1.5, "photo": b"\x00\xff", "_file": "shop.db", "_record": 1},
        {"id": 2, "word": None, "price": None, "photo": None, "_file": "shop.db", "_record": 2},
    ]
    assert malformed == []


def test_the_query_may_stand_beside_the_lock(run, tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "query.sql").write_text("SELECT id AS n, word FROM sale ORDER BY id DESC")
    columns = {"n": {"type": "number"}}
    report, records, _ = run({"shop.db": SHOP}, {"format": "sql"}, columns)
    assert [row["n"] for row in records] == [3, 2, 1]
    assert report == {"files": 1, "parts": 1, "records": 3, "malformed": 0, "columns_left_out": ["word"]}
    (tmp_path / "sources" / "query.sql").write_text("SELECT id AS n FROM sale WHERE id = 2")
    assert [row["n"] for row in run({}, {"format": "sql"}, columns)[1]] == [2]  # a new query is read anew
    with pytest.raises(ContractError, match=r"there is both ingest\.query and .*query\.sql"):
        run({}, {"format": "sql", "query": "SELECT 1"}, columns)


def test_no_query_is_a_contract_error(rows):
    with pytest.raises(ContractError, match=r"there is neither ingest\.query nor .*query\.sql\. Write the query"):
        rows({"shop.db": SHOP})


@pytest.mark.parametrize(
    ("content", "query", "message"),
    [
        (b"id,n\n1,2\n", "SELECT 1", "shop.db is no SQLite database"),
        (SHOP, "SELECT nope FROM sale", "shop.db: the query failed: (?s:.*)no such column: nope(?s:.*)Mend the query"),
        (SHOP, "DELETE FROM sale", "shop.db: the query failed: .*readonly"),
        (SHOP[:4096], "SELECT * FROM sale", "shop.db: the query failed: .*malformed"),
    ],
)
def test_what_cannot_be_queried_is_a_data_error(rows, content, query, message):
    with pytest.raises(DataError, match=message):
        rows({"shop.db": content}, query=query)


def test_a_column_that_changes_its_type_late_is_a_data_error_with_the_fix(rows, monkeypatch):
    monkeypatch.setattr(sql, "BATCH_ROWS", 2)
    mixed = database("CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2), ('three')")
    with pytest.raises(DataError, match=r"The first 2 rows are of that type\. Write CAST\(… AS TEXT\) in the query"):
        rows({"a.db": mixed}, query="SELECT a FROM t")
    records, _ = rows({"a.db": mixed}, query="SELECT CAST(a AS TEXT) AS a FROM t")
    assert [(row["a"], row["_record"]) for row in records] == [("1", 1), ("2", 2), ("three", 3)]


def test_any_other_database_is_read_through_sqlalchemy_and_never_from_the_store(run, tmp_path, monkeypatch):
    path = tmp_path / "live.db"
    path.write_bytes(SHOP)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{path}")
    settings = {"format": "sql", "url_env": "SHOP_URL", "query": "SELECT id AS n FROM sale ORDER BY id"}
    report, records, _ = run({}, settings, {"n": {"type": "number"}})
    assert [(row["n"], row["_file"], row["_record"]) for row in records] == [
        (1, "query.sql", 1), (2, "query.sql", 2), (3, "query.sql", 3)
    ]  # fmt: skip
    assert report["not_reproducible"].startswith("read from the live database that SHOP_URL names")
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM sale WHERE id = 1")
    connection.close()
    assert [row["n"] for row in run({}, settings, {"n": {"type": "number"}})[1]] == [2, 3]


@pytest.fixture
def live(run, tmp_path, monkeypatch):
    """Rows of a live database, two a batch, by way of SQLAlchemy."""
    monkeypatch.setattr(sql, "BATCH_ROWS", 2)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path / 'live.db'}")

    def read(query: str, kind: str, *statements: str):
        (tmp_path / "live.db").write_bytes(database("CREATE TABLE t (a)", *statements))
        settings = {"format": "sql", "url_env": "SHOP_URL", "query": query}
        return [row["a"] for row in run({}, settings, {"a": {"type": kind}})[1]]

    return read


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("(NULL), (NULL), (1.5), (NULL)", [None, None, "1.5", None]),
        ("(NULL), (NULL), (7), ('late')", [None, None, "7", "late"]),
        ("(1), (2), (NULL), (NULL)", [1, 2, None, None]),
        ("(NULL), (NULL), (NULL)", [None, None, None]),
    ],
)
def test_a_live_column_without_a_value_in_the_first_rows_is_read_as_text(live, values, found):
    assert live("SELECT a FROM t", "text", f"INSERT INTO t VALUES {values}") == found


def test_values_of_no_common_type_are_named_by_their_types_alone():
    with pytest.raises(
        DataError, match=r"column 'a' holds int and str, which fit no common type\. Write CAST"
    ) as caught:
        sql.to_array([7, "late"], "a")
    assert "late" not in str(caught.value)


def test_a_live_column_that_changes_its_type_late_is_a_data_error(live):
    with pytest.raises(DataError, match=r"^query\.sql: a is string, int64 before"):
        live("SELECT a FROM t", "number", "INSERT INTO t VALUES (1), (2), ('three')")


def test_decimals_that_grow_between_batches_are_text_as_those_of_postgresql():
    small, large = ["1.50", None], ["12345678.25", "1E-7"]
    for texts in (small, large):
        found = sql.to_array([None if text is None else Decimal(text) for text in texts], "price")
        assert (found.type, found.to_pylist()) == (pa.string(), texts)


def test_a_variable_that_is_not_set_or_a_wrong_password_never_shows_one(run, monkeypatch):
    settings = {"format": "sql", "url_env": "SHOP_URL", "query": "SELECT 1 AS n"}
    monkeypatch.delenv("SHOP_URL", raising=False)
    with pytest.raises(SourceError, match="SHOP_URL, which is not set"):
        run({}, settings, {"n": {"type": "number"}})
    monkeypatch.setenv("SHOP_URL", "postgresql://me:secret-word@127.0.0.1:1/none")
    with pytest.raises(SourceError, match="the database that SHOP_URL names") as caught:
        run({}, settings, {"n": {"type": "number"}})
    assert "secret-word" not in str(caught.value)


@pytest.mark.slow  # starting a server takes 3 s
def test_postgresql(run, monkeypatch):
    pgserver = pytest.importorskip("pgserver")
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # a short path: it holds a socket
        server = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            server.psql(
                "CREATE TABLE sale (id int, word text, price numeric(10,2), at timestamptz, day date, ok bool,"
                " tags text[], key uuid, photo bytea);"
                "INSERT INTO sale SELECT i, 'é' || i, i / 4.0, '2020-01-31 12:00+01', '2020-01-31', i % 2 = 0, "
                "'{a,b}', '00000000-0000-0000-0000-000000000001', '\\x00ff' FROM generate_series(1, 200000) i"
            )
            monkeypatch.setenv("SHOP_URL", server.get_uri())
            columns = {name: {"type": "text"} for name in ("id", "word", "price", "at", "day", "ok", "photo")}
            settings = {"format": "sql", "url_env": "SHOP_URL", "query": "SELECT * FROM sale ORDER BY id"}
            report, records, _ = run({}, settings, columns)
            assert (report["records"], len(records)) == (200_000, 200_000)
            first = {name: records[0][name] for name in ("id", "word", "price", "ok", "photo", "_file", "_record")}
            assert first == {"id": 1, "word": "é1", "price": "0.25", "ok": False, "photo": b"\x00\xff",
                             "_file": "query.sql", "_record": 1}  # fmt: skip
            assert records[0]["at"].isoformat() == "2020-01-31T11:00:00+00:00"
            assert records[0]["day"].isoformat() == "2020-01-31"
            assert records[-1]["_record"] == 200_000
            with pytest.raises(SourceError, match="read-only transaction"):
                run({}, settings | {"query": "DELETE FROM sale RETURNING id"}, {"id": {"type": "id"}})
        finally:
            server.cleanup()
