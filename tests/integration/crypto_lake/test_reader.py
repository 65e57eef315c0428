"""`crypto-lake` on a real lake: what the pipeline wrote is found, asked, exported and verified."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import functions as F

import crypto_lake
from crypto_lake import query, verify
from crypto_lake.cli import main
from crypto_lake.errors import QueryError
from crypto_lake.tables import Lake as Reader
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.events import AggregateTrade, Origin, Side, Source, Trade
from shared.market.instruments import Exchange, Market
from tests.integration.crypto_pipeline.conftest import Lake, lake

__all__ = ["lake"]
pytestmark = [pytest.mark.kafka, pytest.mark.spark]
START_US = 1_723_161_300_000_000


def fills() -> list[Trade | AggregateTrade]:
    """Ten trades; and aggregate trades for the last two of them and for five more that came alone."""
    events: list[Trade | AggregateTrade] = []
    for number in range(15):
        common = {
            "received_ns": 1,
            "event_time": START_US + number,
            "price": Decimal(100 + number % 4),
            "quantity": Decimal("0.5"),
            "side": Side.BUY if number % 2 else Side.SELL,
            "trade_time": START_US + number * 13_000_000,
        }
        origin = Origin(
            Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT", "trade", Source.REPLAY, "t", 1
        )
        if number < 10:
            events.append(Trade(origin=origin, trade_id=str(number), **common))
        if number >= 8:
            merged = Origin(
                Exchange.BINANCE,
                Market.SPOT,
                "BTCUSDT",
                "BTCUSDT",
                "aggTrade",
                Source.REPLAY,
                "t",
                1,
            )
            first = last = str(number)
            events.append(
                AggregateTrade(
                    origin=merged,
                    trade_id=str(number),
                    first_trade_id=first,
                    last_trade_id=last,
                    **common,
                )
            )
    return events


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["crypto-lake", *arguments])
    try:
        main()
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    return code, capsys.readouterr().out


def test_the_lake_is_listed_asked_exported_and_verified(lake: Lake, tmp_path, monkeypatch, capsys):
    lake.publish(fills())
    lake.tick()
    where = ("--data-dir", str(tmp_path))
    code, listing = run(monkeypatch, capsys, *where, "tables", "--format", "json")
    assert code == 0
    rows = {row["table"]: row["rows"] for row in json.loads(listing)}
    assert rows["silver_trades"] == 17
    code, answer = run(
        monkeypatch, capsys, *where, "sql",
        "select sum(trade_count) as fills, sum(volume) as volume from gold_ohlcv where \"interval\" = '1m'",
        "--format", "json",
    )  # fmt: skip
    assert json.loads(answer) == [{"fills": "15", "volume": "7.50000000"}], "each fill counts once"
    assert run(monkeypatch, capsys, *where, "head", "gold_ohlcv", "--rows", "2")[0] == 0
    assert "decimal128" in run(monkeypatch, capsys, *where, "schema", "gold_ohlcv")[1]
    assert "binance-trades" in run(monkeypatch, capsys, *where, "offsets", "--format", "csv")[1]
    target = tmp_path / "out.parquet"
    exported = ("sql", "from silver_trades", "--format", "parquet", "--output", str(target))
    assert run(monkeypatch, capsys, *where, *exported)[0] == 0
    assert pl.read_parquet(target).height == 17
    code, verdicts = run(monkeypatch, capsys, *where, "verify")
    assert code == 0, verdicts
    _spoil(lake)
    code, verdicts = run(monkeypatch, capsys, *where, "verify")
    assert code == 1
    assert "gold_ohlcv 1m: equals its fills" in verdicts


def _spoil(lake: Lake) -> None:
    """Write one candle anew with a volume that its fills do not add up to."""
    candles = lake.read("gold_ohlcv").where("interval = '1m'").limit(1)
    wrong = candles.withColumns(
        {"volume": (F.col("volume") + 1).cast("decimal(30,8)"), "row_order": F.col("row_order") + 1}
    )
    hudi_utils.write(wrong, TABLES["gold_ohlcv"], lake.lakehouse.lake, {})


def test_python_reads_a_symbol_and_a_range_of_days(lake: Lake, tmp_path: Path):
    lake.publish(fills())
    lake.tick("bronze_trades", "silver_trades")
    day = date(2024, 8, 8)
    rows = crypto_lake.read("silver_trades", "BTCUSDT", day, day, tmp_path)
    assert rows.num_rows == 17
    frame = crypto_lake.read_polars("silver_trades", "BTCUSDT", data_dir=tmp_path)
    assert frame["price"].dtype == pl.Decimal(17, 8)
    assert (
        crypto_lake.read(
            "silver_trades", "BTCUSDT", date(2024, 8, 9), date(2024, 8, 9), tmp_path
        ).num_rows
        == 0
    )
    reader = Reader(str(tmp_path / "lake"))
    assert verify.verify(reader, verify.checks()[1]) is None, "no klines yet"
    for sql in (
        "select * from nowhere",
        "selekt 1",
        "copy silver_trades to '/tmp/x'",
        "from '/etc/passwd'",
    ):
        with pytest.raises(QueryError, match=r"Tables|no query"):
            query.run(reader, sql)
    with pytest.raises(QueryError, match="no such table"):
        reader.read("nowhere")
