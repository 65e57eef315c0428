"""Gold of real recordings, every row of it, against a second computation; and what one late trade changes.

The lake holds eight minutes about midnight of two symbols, the book of one of them for ten, and two and a
half days of trades of a third, and made-up mark prices of the first one's future. Two trades and a mark
price are held back at first and come late, and of one trade the price and quantity are wrong until the
archive tells them.
"""

import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import groupby, pairwise
from statistics import median
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace
from pyspark.sql import Row, SparkSession

from crypto_pipeline.assets.gold_assets import GOLD
from crypto_pipeline.gold_tables import SLIPPAGE_NOTIONALS
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms.indicators import WARM_UP
from crypto_pipeline.utils import hudi_utils
from shared.market.events import (
    BookDelta,
    BookSnapshot,
    Event,
    MarkPrice,
    Origin,
    Side,
    Source,
    Trade,
)
from shared.market.instruments import Exchange, Market
from tests import gold_reference
from tests.gold_reference import Level, same
from tests.integration.conftest import CAPTURES, fresh_topics, needs_captures
from tests.integration.crypto_pipeline.conftest import Lake, open_lake, recorded_events

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.spark,
    pytest.mark.timeout(900),  # the lake is filled once, in the first test's time
    needs_captures,
]

BTC, ETH = (
    [f"nkaz001-hftbacktest_spot_{symbol}usdt_202408{day}.jsonl.gz" for day in ("08", "09")]
    for symbol in ("btc", "eth")
)
MIDNIGHT_US = 1_723_161_600_000_000
ARCHIVE = CAPTURES.parent / "archives" / "freqtrade_XRP_ETH-trades.feather"
SECONDS = {"5m": 300, "1h": 3600, "24h": 86_400}
SILVER = ("silver_trades", "silver_book", "silver_marks")
SOURCES = ("bronze_trades", "bronze_depth", "bronze_quotes", *SILVER)

Snapshot = dict[str, dict[tuple[Any, ...], Row]]


def archived_trades() -> list[Trade]:
    origin = Origin(
        Exchange.BINANCE, Market.SPOT, "XRPETH", "XRPETH", "trade", Source.REPLAY, "file", 1
    )
    return [
        Trade(
            origin=origin,
            received_ns=row["timestamp"] * 1_000_000,
            event_time=row["timestamp"] * 1000,
            trade_id=row["id"],
            price=f"{Decimal(repr(row['price'])):f}",
            quantity=f"{Decimal(repr(row['amount'])):f}",
            side=Side(row["side"]),
            trade_time=row["timestamp"] * 1000,
        )
        for row in pl.read_ipc(ARCHIVE).iter_rows(named=True)
    ]


def mark_prices() -> list[MarkPrice]:
    """Return one a second of the future, some missing; in one minute the venue tells no index."""
    origin = Origin(
        Exchange.BINANCE, Market.UM, "BTCUSDT", "BTCUSDT", "markPrice@1s", Source.REPLAY, "file", 1
    )
    return [
        MarkPrice(
            origin=origin,
            received_ns=(MIDNIGHT_US + at * 1_000_000) * 1000,
            event_time=MIDNIGHT_US + at * 1_000_000,
            mark_price=f"{55_000 + at * 37 % 101 / Decimal(7):.8f}",
            index_price=None if 120 <= at < 180 else f"{55_000 + at * 53 % 89 / Decimal(13):.8f}",
            settle_price=None,
            funding_rate=f"{at / 1_000_000:.8f}",
            next_funding_time=MIDNIGHT_US + 28_800_000_000,
        )
        for at in range(-240, 240)
        if at % 7
    ]


def is_near_midnight(event: Event) -> bool:
    return isinstance(event, Trade) and abs(event.trade_time - MIDNIGHT_US) < 240_000_000


def instrument(row: Row) -> tuple[str, str, str]:
    return row.exchange, row.market, row.symbol


def second(time: datetime) -> int:
    return int(time.timestamp())


@dataclass
class Gold:
    """The tables before and after the late trades came, and as all trades at once make them."""

    lake: Lake
    late: list[Trade | MarkPrice]
    before: Snapshot
    after: Snapshot
    at_once: Snapshot
    silver: dict[str, list[Row]]

    def rows(self, name: str) -> list[Row]:
        assert self.after[name], f"{name} has rows"
        return list(self.after[name].values())

    def candles(self, interval: str) -> dict[tuple[str, str, str], dict[int, Row]]:
        found: dict[tuple[str, str, str], dict[int, Row]] = {}
        for row in sorted(self.rows("gold_ohlcv"), key=lambda row: row.window_start):
            if row.interval == interval:
                found.setdefault(instrument(row), {})[second(row.window_start)] = row
        return found


def snapshot(lake: Lake) -> Snapshot:
    return {
        name: {
            tuple(row[column] for column in TABLES[name].key): row
            for row in lake.read(name).collect()
        }
        for name in GOLD
    }


@pytest.fixture(scope="module")
def gold(
    kafka_broker: str,
    spark_server: str,
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gold]:
    """A lake of the recordings, the late trades among them, and one that is corrected."""
    events: list[Event] = [
        event
        for event in recorded_events(Market.SPOT, *BTC)
        if isinstance(event, BookDelta | BookSnapshot) or is_near_midnight(event)
    ]
    events += filter(is_near_midnight, recorded_events(Market.SPOT, *ETH))
    events += archived_trades()
    trades = [event for event in events if isinstance(event, Trade)]
    of_btc = [event for event in trades if event.origin.symbol == "BTCUSDT"]
    of_xrp = [event for event in trades if event.origin.symbol == "XRPETH"]
    late = [
        of_btc[3 * len(of_btc) // 4],
        of_xrp[len(of_xrp) // 2],
        of_btc[3 * len(of_btc) // 4 + 20],
    ]
    closing = max(
        (trade for trade in of_btc if trade.trade_time < MIDNIGHT_US + 60_000_000),
        key=lambda trade: (trade.trade_time, int(trade.trade_id)),
    )
    late.append(closing)
    wrong = replace(late[2], price=str(2 * Decimal(late[2].price)), quantity="500")
    archive = replace(late[2].origin, source=Source.BINANCE_ARCHIVE)
    corrected = [*late[:2], replace(late[2], origin=archive), closing]
    marks = mark_prices()
    last_of_a_minute = next(mark for mark in marks if mark.event_time == MIDNIGHT_US - 121_000_000)
    folder = tmp_path_factory.mktemp("gold")
    with fresh_topics(kafka_broker) as bootstrap, pytest.MonkeyPatch.context() as monkeypatch:
        lake = open_lake(bootstrap, spark_server, spark, folder, monkeypatch)
        lake.publish(event for event in events if event not in late)
        lake.publish([wrong, *(mark for mark in marks if mark is not last_of_a_minute)])
        lake.tick(*SOURCES, *GOLD)
        before = snapshot(lake)
        lake.publish([*corrected, last_of_a_minute])
        lake.tick(*SOURCES, *GOLD)
        silver = {name: lake.read(name).collect() for name in SILVER}
        again = open_lake(bootstrap, spark_server, spark, folder / "again", monkeypatch)
        for name in silver:
            shutil.copytree(f"{lake.lakehouse.lake}/{name}", f"{again.lakehouse.lake}/{name}")
        again.tick(*GOLD)
        held_back = [*late, last_of_a_minute]
        yield Gold(lake, held_back, before, snapshot(lake), snapshot(again), silver)


def levels(side: list[Row]) -> list[Level]:
    return [(Fraction(level.price), Fraction(level.quantity)) for level in side]


def test_book_metrics_are_those_of_each_second(gold: Gold) -> None:
    rows = gold.after["gold_book_metrics"]
    assert len(rows) == len(gold.silver["silver_book"]) > 500
    for book in gold.silver["silver_book"]:
        row = rows[*instrument(book), book.channel, book.second]
        for name, value in gold_reference.book_metrics(
            levels(book.bids), levels(book.asks)
        ).items():
            if isinstance(row[name], Decimal):
                assert Fraction(row[name]) == value, name
            else:
                assert same(row[name], value), (book.second, name)


def test_slippage_is_that_of_walking_the_book_and_null_beyond_it(gold: Gold) -> None:
    rows = gold.after["gold_liquidity"]
    unknown = 0
    for book in gold.silver["silver_book"]:
        row = rows[*instrument(book), book.channel, book.second]
        bids, asks = levels(book.bids), levels(book.asks)
        mid = (bids[0][0] + asks[0][0]) / 2
        assert Fraction(row.ask_notional) == sum(price * quantity for price, quantity in asks)
        for name, size in SLIPPAGE_NOTIONALS.items():
            for order, side in (("buy", asks), ("sell", bids)):
                expected = gold_reference.slippage_bps(side, mid, size)
                assert same(row[f"{order}_slippage_bps_{name}"], expected), (book.second, name)
                unknown += expected is None
    assert unknown


def test_spread_episodes_are_the_runs_over_twice_the_usual(gold: Gold) -> None:
    expected = {}
    metrics = sorted(
        gold.rows("gold_book_metrics"), key=lambda row: (instrument(row), row.window_start)
    )
    for book, group in groupby(metrics, key=lambda row: (*instrument(row), row.channel)):
        spreads = {second(row.window_start): row.spread_bps for row in group}
        run: list[int] = []
        for at, spread in spreads.items():
            history = [value for start, value in spreads.items() if at - 600 <= start < at]
            is_wide = len(history) >= 60 and spread > 2 * median(history)
            if is_wide and run and at - run[-1] <= 60:
                run.append(at)
            elif is_wide:
                run, usual = [at], median(history)
            else:
                run = []
            if run:
                expected[*book, run[0]] = (run[-1] + 1, len(run), max(map(spreads.get, run)), usual)
    found = {
        (*instrument(row), row.channel, second(row.window_start)): (
            second(row.window_end), row.seconds, row.peak_spread_bps, row.usual_spread_bps,
        )
        for row in gold.rows("gold_spread_episodes")
    }  # fmt: skip
    assert found == expected


def test_the_volume_profile_holds_every_fill_in_its_bin(gold: Gold) -> None:
    expected: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for trade in gold.silver["silver_trades"]:
        at, price = second(trade.trade_time), units(trade.price)
        day, third = at - at % 86_400, at % 86_400 // 28_800
        quantity, is_buy = units(trade.quantity), trade.side == "buy"
        added = (quantity, units(trade.quote_quantity, 16), quantity * is_buy,
                 quantity * (not is_buy), 1)  # fmt: skip
        low = price - price % bin_width(price)
        session = f"{third * 8:02}-{third * 8 + 8:02}"
        for name, start in (
            ("minute", at - at % 60),
            ("quarter", at - at % 900),
            ("hour", at - at % 3600),
            (session, day + third * 28_800),
            ("day", day),
        ):
            key = (*instrument(trade), name, start, low)
            sums = expected.get(key, (0,) * 5)
            expected[key] = tuple(map(sum, zip(sums, added, strict=True)))
    rows = [row for row in gold.rows("gold_volume_profile") if row.trade_count]
    found = {
        (*instrument(row), row.session, second(row.window_start), units(row.price_low)): (
            units(row.volume),
            units(row.quote_volume, 16),
            units(row.buy_volume),
            units(row.sell_volume),
            row.trade_count,
        )
        for row in rows
    }
    assert found == expected
    windows: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.price_low):
        windows.setdefault((*instrument(row), row.session, row.window_start), []).append(row)
    for bins in windows.values():
        check_value_area(bins)


def test_a_bin_that_a_correction_has_emptied_says_so(gold: Gold) -> None:
    keys = [key for key, row in gold.after["gold_volume_profile"].items() if not row.trade_count]
    assert len(keys) == 5, (
        "of the minute, of the quarter, of the hour, of the session and of the day"
    )
    for key in keys:
        before, after = (rows["gold_volume_profile"][key] for rows in (gold.before, gold.after))
        assert (before.volume, before.trade_count) == (500, 1)
        assert before.is_point_of_control
        sums = (after.volume, after.quote_volume, after.buy_volume, after.sell_volume)
        assert sums == (0, 0, 0, 0)
        assert not after.is_point_of_control
        assert not after.in_value_area


def units(value: Decimal, digits: int = 8) -> int:
    """Return a decimal as a whole number of its last digit."""
    return int(value.scaleb(digits))


@cache
def bin_width(price: int) -> int:
    """The greatest of 1, 2, 5 times a power of ten that goes into the price 2,000 times."""
    return max(
        step * 10**power for power in range(14) for step in (1, 2, 5)
        if step * 10**power * 2000 <= price
    )  # fmt: skip


def check_value_area(bins: list[Row]) -> None:
    total = sum(row.volume for row in bins)
    (peak,) = [row for row in bins if row.is_point_of_control]
    assert peak.volume == max(row.volume for row in bins)
    inside = [number for number, row in enumerate(bins) if row.in_value_area]
    assert inside == list(range(inside[0], inside[-1] + 1)), "one stretch"
    assert bins.index(peak) in inside
    held = sum(bins[number].volume for number in inside)
    assert held * 10 >= total * 7
    if len(inside) > 1:
        ends = (bins[inside[0]].volume, bins[inside[-1]].volume)
        assert any((held - end) * 10 < total * 7 for end in ends), "no wider than it must be"


def test_volatility_of_every_minute_and_window(gold: Gold) -> None:
    prices = {
        key: {
            at: (Fraction(row.open), Fraction(row.high), Fraction(row.low), Fraction(row.close))
            for at, row in rows.items()
        }
        for key, rows in gold.candles("1m").items()
    }
    rows = gold.rows("gold_volatility")
    assert len(rows) == 3 * sum(map(len, prices.values()))
    for row in rows[:: len(rows) // 700]:
        expected = gold_reference.volatility(
            prices[instrument(row)], second(row.minute), SECONDS[row.interval] // 60
        )
        for name, value in expected.items():
            assert same(row[name], value), (row, name)


def test_spikes_are_the_windows_over_two_deviations(gold: Gold) -> None:
    found = {
        (*instrument(row), row.interval, second(row.window_start)): row
        for row in gold.rows("gold_volume_spikes")
    }
    seen = 0
    for interval in ("1m", "5m", "15m", "1h"):
        for key, rows in gold.candles(interval).items():
            volumes = {at: float(row.volume) for at, row in rows.items()}
            for at, candle in rows.items():
                expected = gold_reference.spike(volumes, at)
                row = found.get((*key, interval, at))
                if expected is None or expected["z_score"] <= 2:
                    assert row is None or not row.is_spike
                    continue
                assert row is not None
                assert row.is_spike
                assert row.volume == candle.volume
                assert all(same(row[name], value) for name, value in expected.items()), row
                seen += 1
    assert seen == sum(row.is_spike for row in found.values()) > 50


def test_indicators_of_every_candle_warm_across_midnight(gold: Gold) -> None:
    rows = gold.rows("gold_indicators")
    candles = {interval: gold.candles(interval) for interval in ("1m", "5m", "1h")}
    assert len(rows) == sum(len(part) for each in candles.values() for part in each.values())
    seconds = {"1m": 60, "5m": 300, "1h": 3600}
    for row in rows[:: len(rows) // 400]:
        at = second(row.window_start)
        reach = WARM_UP * seconds[row.interval]
        part = [
            candle
            for start, candle in candles[row.interval][instrument(row)].items()
            if at - reach <= start <= at
        ]
        assert row.candles == len(part)
        columns = ([float(candle[name]) for candle in part] for name in ("high", "low", "close"))
        for name, value in gold_reference.indicators(*columns).items():
            assert same(row[name], value, 100 if name == "rsi_14" else float(row.close)), (
                row,
                name,
            )


def test_correlation_of_the_pair_that_traded_at_the_same_time(gold: Gold) -> None:
    closes = {
        key: {at: Fraction(row.close) for at, row in rows.items()}
        for key, rows in gold.candles("1m").items()
    }
    rows = gold.rows("gold_correlation")
    assert {(row.symbol, row.other_symbol) for row in rows} == {("BTCUSDT", "ETHUSDT")}
    for row in rows:
        other = closes[row.other_exchange, row.other_market, row.other_symbol]
        returns, expected = gold_reference.pearson(
            closes[instrument(row)], other, second(row.window_end), SECONDS[row.interval]
        )
        assert row.returns == returns
        assert same(row.correlation, expected), row


def test_funding_and_basis_of_each_minute(gold: Gold) -> None:
    told_of = {mark.event_time: mark for mark in mark_prices()}
    minutes: dict[int, list[Row]] = {}
    assert len(gold.silver["silver_marks"]) == len(told_of)
    for row in gold.silver["silver_marks"]:
        mark = told_of[round(row.event_time.timestamp() * 1_000_000)]
        for name in ("mark_price", "index_price", "funding_rate"):
            text = getattr(mark, name)
            assert row[name] == (None if text is None else Decimal(text)), name
    for mark in sorted(gold.silver["silver_marks"], key=lambda row: row.event_time):
        minutes.setdefault(second(mark.event_time) // 60 * 60, []).append(mark)
    spot = gold.candles("1m")["binance", "spot", "BTCUSDT"]
    rows = gold.rows("gold_funding_basis")
    assert {second(row.window_start) for row in rows} == minutes.keys()
    assert sum(row.index_price is None for row in rows) == 1
    for row in rows:
        told = minutes[second(row.window_start)]
        assert row.messages == len(told)
        for name in ("mark_price", "index_price", "funding_rate", "next_funding_time"):
            assert row[name] == told[-1][name], name
        assert row.spot_price == spot[second(row.window_start)].close
        shares = [
            Fraction(mark.mark_price) / Fraction(mark.index_price) - 1
            for mark in told
            if mark.index_price is not None
        ]
        if shares:
            assert row.basis == row.mark_price - row.index_price
            assert same(row.basis_bps, shares[-1] * 10_000)
            assert same(row.mean_basis_bps, sum(shares) / len(shares) * 10_000)
        else:
            assert (row.basis, row.basis_bps, row.mean_basis_bps) == (None, None, None)
        above_spot = Fraction(row.mark_price) / Fraction(row.spot_price) - 1
        assert same(row.spot_basis_bps, above_spot * 10_000)


def test_a_day_is_summed_up(gold: Gold) -> None:
    days = gold.candles("1d")
    rows = gold.rows("gold_daily_summary")
    assert len(rows) == sum(map(len, days.values())) == 7
    minutes, metrics = gold.candles("1m"), gold.rows("gold_book_metrics")
    for row in rows:
        (day,) = [item for item in days[instrument(row)].values() if item.date == row.date]
        for name in ("open", "high", "low", "close", "volume", "quote_volume", "trade_count",
                     "taker_buy_volume", "first_trade_id", "last_trade_id", "vwap"):  # fmt: skip
            assert row[name] == day[name], name
        assert same(row.buy_share, Fraction(day.taker_buy_volume) / Fraction(day.volume))
        closes = [
            Fraction(item.close)
            for item in minutes[instrument(row)].values()
            if item.date == row.date
        ]
        squares = [gold_reference.log_change(a, b) ** 2 for a, b in pairwise(closes)]
        assert same(row.realized_volatility, math.sqrt(math.fsum(squares)))
        spreads = [
            item.spread_bps
            for item in metrics
            if (instrument(item), item.date) == (instrument(row), row.date)
        ]
        assert row.book_seconds == len(spreads)
        assert same(row.spread_bps_avg, math.fsum(spreads) / len(spreads) if spreads else None)
        assert same(row.spread_bps_median, median(spreads) if spreads else None)
        assert row.volume_spikes == sum(
            spike.is_spike
            for spike in gold.rows("gold_volume_spikes")
            if (instrument(spike), spike.date) == (instrument(row), row.date)
            and spike.interval == "1m"
        )


EPOCH = datetime.fromtimestamp(0, UTC)
LENGTH = {"1s": 60, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400,
          "24h": 86_400, "minute": 60, "quarter": 900, "hour": 3600, "day": 86_400}  # fmt: skip


def depends_on(name: str, row: Row) -> tuple[int, int]:
    """Return from and up to which second a row's trades lie; a touched minute takes its seconds along."""
    values = row.asDict()
    length = LENGTH.get(values.get("interval", values.get("session", "")), 28_800)
    day = int(datetime.fromisoformat(f"{row.date}T00:00+00:00").timestamp())
    at = second(
        values.get("window_start") or values.get("minute") or values.get("window_end") or EPOCH
    )
    ranges = {
        "gold_ohlcv": (at - at % 60, at - at % 60 + length),
        "gold_volume_profile": (at, at + length),
        "gold_volatility": (at - length, at + 60),
        "gold_volume_spikes": (at - 86_400, at + length),
        "gold_indicators": (at - WARM_UP * length, at + length),
        "gold_correlation": (at - length - 60, at),
        "gold_funding_basis": (at, at + 60),
        "gold_daily_summary": (day - 86_400, day + 86_400),
    }
    return ranges.get(name, (0, 0))


def reached(name: str, row: Row, late: Trade | MarkPrice) -> bool:
    """Tell whether a trade or mark price may have a part in a row."""
    if isinstance(late, MarkPrice) and name != "gold_funding_basis":
        return False
    first, end = depends_on(name, row)
    symbols = {row.symbol, row.asDict().get("other_symbol")}
    at_us = late.trade_time if isinstance(late, Trade) else late.event_time
    return late.origin.symbol in symbols and first <= (at_us or 0) // 1_000_000 < end


@pytest.mark.parametrize("name", GOLD)
def test_a_late_trade_rewrites_rows_that_it_reaches_and_no_other(gold: Gold, name: str) -> None:
    before, after = gold.before[name], gold.after[name]
    assert before.keys() <= after.keys()
    written = [
        row
        for key, row in after.items()
        if key not in before or before[key].row_order != row.row_order
    ]
    outside = [row for row in written if not any(reached(name, row, late) for late in gold.late)]
    assert outside == []
    untouched = {"gold_book_metrics", "gold_liquidity", "gold_spread_episodes"}
    assert bool(written) == (name not in untouched)
    assert len(written) < len(after)


def facts(name: str, rows: Iterable[Row]) -> set[tuple[Any, ...]]:
    """Return rows without their order and without those that were taken back."""
    columns = [column.name for column in TABLES[name].columns if column.name != "row_order"]
    withdrawn = {
        "gold_volume_spikes": ("is_spike", False),
        "gold_volume_profile": ("trade_count", 0),
        "gold_spread_episodes": ("state", "withdrawn"),
    }
    column, value = withdrawn.get(name, ("symbol", None))
    return {tuple(row[key] for key in columns) for row in rows if row[column] != value}


@pytest.mark.parametrize("name", GOLD)
def test_after_a_late_trade_every_row_is_as_if_it_had_come_in_time(gold: Gold, name: str) -> None:
    late, at_once = (facts(name, rows[name].values()) for rows in (gold.after, gold.at_once))
    assert late == at_once
    assert late


def test_a_tick_with_nothing_new_writes_nothing(gold: Gold) -> None:
    idle = gold.lake.tick(*GOLD)
    assert {name: meta["rows"] for name, meta in idle.items()} == dict.fromkeys(GOLD, 0)


def test_no_table_is_taken_for_one_of_another_version(gold: Gold) -> None:
    lake = gold.lake.lakehouse.lake
    written = [name for name, spec in TABLES.items() if hudi_utils.commits(lake, spec)]
    assert {*SILVER, *GOLD, *SOURCES} <= set(written)
    assert not [name for name in written if hudi_utils.has_other_schema(lake, TABLES[name])]
