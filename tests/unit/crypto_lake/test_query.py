"""Which tables a query is given, on tables in memory."""

import pyarrow as pa
import pytest

from crypto_lake import query


class Tables:
    """A lake of two tables that remembers which were read."""

    names = ("quotes", "trades", "unread")

    def __init__(self) -> None:
        self.read_names: list[str] = []

    def dataset(self, name: str) -> pa.Table:
        self.read_names.append(name)
        return pa.table({"symbol": ["A", "A"], "second": [1, 5], name: [10, 50]})


@pytest.mark.parametrize(
    "sql",
    [
        "select t.trades, quotes from trades t asof join quotes using (symbol, second)",
        "select t.trades, q.quotes from trades t join quotes q using (symbol, second) where symbol <> 'unread'",
        "with pairs as (select t.trades, q.quotes from Trades t join QUOTES q using (second)) from pairs",
    ],
)
def test_tables_may_be_joined_in_every_way(sql):
    lake = Tables()
    rows = sorted(query.run(lake, sql).to_pylist(), key=lambda row: row["trades"])
    assert rows == [{"trades": 10, "quotes": 10}, {"trades": 50, "quotes": 50}]
    assert lake.read_names == ["quotes", "trades"], "and no other is read"


def test_the_listing_is_a_table_too():
    rows = query.run(Tables(), "from lake_tables order by all").to_pylist()
    assert [row["table_name"] for row in rows] == ["quotes", "trades", "unread"]
