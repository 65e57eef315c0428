"""The asset checks as Dagster runs them, over what real records made of the tables."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from dagster import AssetCheckEvaluation, AssetSelection, DagsterInstance, materialize
from msgspec import structs

from crypto_pipeline import check_pace, check_runs
from crypto_pipeline.checks import CHECKS
from crypto_pipeline.definitions import TICK_ASSETS
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES
from shared.market.events import Kline, Origin, Source, Trade
from shared.market.instruments import Exchange, Market
from shared.market.topics import Feed
from tests.integration.crypto_pipeline.conftest import TRADES_TOPIC, Lake, bought

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US
# Yesterday at noon: only the gaps of the latest days count as open.
START_US = int(time.time() * 1_000_000) // DAY_US * DAY_US - DAY_US // 2
ORIGIN = Origin(
    Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT", "trade", Source.REPLAY, "test", 1
)
Verdicts = dict[tuple[str, str], AssetCheckEvaluation]


def trade(number: int, minute: int) -> Trade:
    return bought(ORIGIN, number, START_US + minute * MINUTE_US + number, str(100 + number), "1")


def candle(minute: int, first: int, last: int, **wrong: Any) -> Kline:
    """Return the closed candle of trades `first` to `last`."""
    opened = START_US + minute * MINUTE_US
    numbers = range(first, last + 1)
    kline = Kline(
        origin=structs.replace(ORIGIN, channel="kline_1m"),
        received_ns=(opened + MINUTE_US) * 1000,
        event_time=opened + MINUTE_US,
        interval="1m",
        open_time=opened,
        close_time=opened + MINUTE_US - 1000,
        open=str(100 + first),
        high=str(100 + last),
        low=str(100 + first),
        close=str(100 + last),
        volume=str(len(numbers)),
        quote_volume=str(sum(100 + number for number in numbers)),
        trade_count=len(numbers),
        taker_buy_volume=str(len(numbers)),
        taker_buy_quote_volume=str(sum(100 + number for number in numbers)),
        first_trade_id=str(first),
        last_trade_id=str(last),
        is_closed=True,
    )
    return structs.replace(kline, **wrong)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def verdicts(lake: Lake, instance: DagsterInstance, *names: str) -> Verdicts:
    """Materialize tables with their checks; returns what the checks said."""
    done = materialize(
        [*TICK_ASSETS, *CHECKS],
        instance=instance,
        resources={"lakehouse": lake.lakehouse},
        selection=AssetSelection.assets(*names),
    )
    return {
        (said.asset_key.to_user_string(), said.check_name): said
        for said in done.get_asset_check_evaluations()
    }


def reds(said: Verdicts) -> dict[tuple[str, str], str | None]:
    return {key: each.description for key, each in said.items() if not each.passed}


def test_the_checks_of_a_tick_turn_from_green_to_red_and_say_so_again_without_news(
    lake: Lake, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_pace, "_SHORT_S", float("inf"))
    tables = (
        "bronze_trades",
        "bronze_klines",
        "quality_dead_letters",
        "silver_trades",
        "silver_klines",
        "gold_ohlcv",
        "quality_completeness",
        "quality_gaps",
    )
    lake.publish([*(trade(number, 0) for number in (1, 2, 3)), candle(0, 1, 3)])
    said = verdicts(lake, instance, *tables)
    assert reds(said) == {}
    assert said["gold_ohlcv", "venue_candles"].description.startswith("0 minutes")
    assert said["silver_trades", "bronze_balance"].metadata["bronze keys"].value == 3
    assert len(said) == 12

    lake.publish([*(trade(number, 1) for number in (6, 7)), candle(1, 6, 7, volume="2.5")])
    lake.publish_values([(TRADES_TOPIC, "spot:BTCUSDT", b"{")])
    said = verdicts(lake, instance, *tables)
    assert reds(said) == {
        ("gold_ohlcv", "venue_candles"): "1 minutes that differ from the venue's",
        ("quality_dead_letters", "nothing_refused"): (
            "1 refused records and lost ranges of the last 24 hours"
        ),
        ("quality_gaps", "no_open_gap"): "1 gaps are open",
    }
    assert said["bronze_trades", "kafka_balance"].metadata["dead letters"].value == 1

    again = verdicts(lake, instance, "quality_dead_letters", "gold_ohlcv", "bronze_trades")
    assert reds(again) == {key: text for key, text in reds(said).items() if key in again}
    assert len(reds(again)) == 2
    assert {each.metadata["state"].value for each in again.values()} == {
        "no commit since the last look"
    }


def test_a_look_at_every_row_is_followed_by_a_rest_and_then_takes_in_what_came_meanwhile(
    lake: Lake, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_pace, "_SHORT_S", 0)
    monkeypatch.setattr(check_pace, "_LOOK_ONE_IN", 1_000_000)
    monkeypatch.setattr(check_runs, "JOB", "__ephemeral_asset_job__")
    tables = "bronze_trades", "silver_trades"
    day_us = 86_400_000_000
    for numbers, state, keys in (((1, 2), None, 2), ((3,), "a short while ago", 2)):
        lake.publish([trade(number, 0) for number in numbers])
        said = verdicts(lake, instance, *tables)
        looked = said["silver_trades", "bronze_balance"].metadata
        assert ("state" not in looked) if state is None else looked["state"].value.endswith(state)
        assert looked["bronze keys"].value == keys
        assert "state" not in said["bronze_trades", "kafka_balance"].metadata, "it reads no rows"
    monkeypatch.setattr(check_pace, "_LOOK_ONE_IN", 0)
    lake.publish([structs.replace(trade(4, 0), trade_time=trade(4, 0).trade_time + day_us)])
    looked = verdicts(lake, instance, *tables)["silver_trades", "bronze_balance"].metadata
    assert looked["bronze keys"].value == 4, "of both days, although the last commit wrote to one"

    # Longer than it may take: a symbol at a time, and without a commit in between.
    monkeypatch.setattr(check_pace, "_LONG_S", 0)
    ether = structs.replace(ORIGIN, symbol="ETHUSDT", venue_symbol="ETHUSDT")
    lake.publish([trade(5, 0), *(structs.replace(trade(n, 0), origin=ether) for n in (1, 2))])
    for partitions, keys in (("1 of 2", 4), ("1 of 1", 2)):
        looked = verdicts(lake, instance, *tables)["silver_trades", "bronze_balance"].metadata
        assert looked["partitions"].value == partitions
        assert looked["bronze keys"].value == keys
    again = verdicts(lake, instance, *tables)["silver_trades", "bronze_balance"].metadata
    assert again["state"].value == "no commit since the last look"


def test_what_was_wrong_stays_red_until_it_was_looked_at_again_and_keeps_nobody_waiting(
    lake: Lake, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_runs, "JOB", "__ephemeral_asset_job__")
    monkeypatch.setattr(check_pace, "_LONG_S", 0)
    wrong = {"ETHUSDT"}
    looked: list[set[str]] = []

    def look(_lakehouse: LakehouseResource, scope: check_runs.Scope) -> check_runs.Finding:
        looked.append({symbol for symbol, _ in scope.pairs})
        return check_runs.Finding(len(looked[-1] & wrong), "faults", {})

    spec = TABLES["silver_trades"]
    probe = check_runs.check("probe", spec, "No fault", look, is_scan=True)
    ether = structs.replace(ORIGIN, symbol="ETHUSDT", venue_symbol="ETHUSDT")

    def verdict(*new: Trade) -> tuple[bool, str | None]:
        if new:
            lake.publish(new)
            lake.tick("bronze_trades", "silver_trades")
        done = materialize(
            [*TICK_ASSETS, probe],
            instance=instance,
            resources={"lakehouse": lake.lakehouse},
            selection=AssetSelection.checks(probe),
        )
        (said,) = done.get_asset_check_evaluations()
        return said.passed, said.description

    assert verdict(trade(1, 0), structs.replace(trade(1, 0), origin=ether)) == (True, "0 faults")
    assert verdict() == (False, "1 faults")
    assert verdict(trade(2, 0)) == (False, "1 faults")
    passed, text = verdict()
    assert not passed
    assert text == "0 faults, but 1 partitions that were wrong have yet to be looked at again"
    wrong.clear()
    assert verdict(trade(3, 0)) == (True, "0 faults")
    assert looked == [{"BTCUSDT"}, {"ETHUSDT"}, {"ETHUSDT"}, {"BTCUSDT"}, {"ETHUSDT"}]


def test_offsets_that_expired_unread_are_out_of_balance(
    lake: Lake, instance: DagsterInstance
) -> None:
    tables = ("bronze_trades", "quality_dead_letters")
    lake.publish([trade(1, 0)])
    said = verdicts(lake, instance, *tables)
    assert reds(said) == {}
    assert said["quality_dead_letters", "nothing_refused"].metadata["state"].value == "no rows yet"
    lake.publish([trade(number, 0) for number in (2, 3, 4)])
    held = lake.lakehouse.watermarks(Feed.TRADES)
    (partition,) = [number for number, end in held.end[TRADES_TOPIC].items() if end == 4]
    admin = AdminClient({"bootstrap.servers": lake.bootstrap})
    (future,) = admin.delete_records([TopicPartition(TRADES_TOPIC, partition, 3)]).values()
    future.result(30)
    # Not every tick checks; what one met is told by the next that does.
    lake.tick("bronze_trades")
    lake.publish([trade(5, 0)])
    assert reds(verdicts(lake, instance, *tables)) == {
        ("bronze_trades", "kafka_balance"): "2 offsets without a row or letter",
        ("quality_dead_letters", "nothing_refused"): (
            "1 refused records and lost ranges of the last 24 hours"
        ),
    }
