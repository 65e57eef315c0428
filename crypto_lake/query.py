"""SQL over the lake: DuckDB in this process, with the tables that a query names and nothing else."""

import re

import duckdb
import pyarrow as pa

from crypto_lake.errors import QueryError
from crypto_lake.tables import Lake

LISTING = "lake_tables"
"""A table of the tables, always there."""
_LITERAL = re.compile(r"'(?:[^']|'')*'")


def run(lake: Lake, sql: str) -> pa.Table:
    """Answer one query; it can read the lake's tables, and no file or address beside them.

    Raises:
        QueryError: bad SQL, or an unknown table; the text says what DuckDB found.
    """
    with duckdb.connect(":memory:") as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set enable_external_access = false")
        try:
            named = _words(sql)
            for name in sorted(named & set(lake.names)):
                connection.register(name, lake.dataset(name))
            if LISTING in named:
                connection.register(LISTING, pa.table({"table_name": lake.names}))
            connection.execute("set lock_configuration = true")
            answer = connection.sql(sql)
            if answer is None:
                raise QueryError("that is no query: it returns no rows")
            return answer.to_arrow_table()
        except duckdb.Error as error:
            known = ", ".join(lake.names)
            raise QueryError(f"{error}\nTables: {known}") from error


def _words(sql: str) -> set[str]:
    """Return every word that may name a table.

    DuckDB's own answer binds columns, so a join by USING or ASOF fails while its tables are not there.
    """
    return set(re.findall(r"\w+", _LITERAL.sub("", sql).lower()))
