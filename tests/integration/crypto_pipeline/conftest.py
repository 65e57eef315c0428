"""A lake of its own for each test: real broker, real Spark, fresh topics and folder."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crypto_pipeline.assets.bronze_assets import collect_dead_letters, ingest
from crypto_pipeline.assets.gold_assets import GOLD
from crypto_pipeline.assets.increments import advance
from crypto_pipeline.assets.quality_assets import QUALITY
from crypto_pipeline.assets.silver_assets import SILVER
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import BRONZE_FEEDS, TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.events import Event, Origin, Side, Trade
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.market.recording import read_frames
from shared.market.topics import Feed, topic_name
from streaming.exchanges.binance import BinanceProtocol
from streaming.exchanges.protocol import FetchSnapshot
from tests.conftest import free_port
from tests.integration.conftest import CAPTURES, mock_exchange, publish, publish_values


@dataclass
class Lake:
    """A lakehouse resource, and the steps of a tick as plain calls."""

    lakehouse: LakehouseResource
    spark: SparkSession
    bootstrap: str

    def publish(self, events: Iterable[Event]) -> None:
        """Send events as the collector would."""
        publish(self.bootstrap, events)

    def publish_values(self, values: Iterable[tuple[str, str, bytes]]) -> None:
        """Send (topic, key, value) as they are."""
        publish_values(self.bootstrap, values)

    def tick(self, *names: str) -> dict[str, dict[str, Any]]:
        """Run these tables' assets (all by default) in order; returns their metadata."""
        steps: dict[str, Callable[[LakehouseResource], Any]] = {}
        for feed in BRONZE_FEEDS:
            steps[f"bronze_{feed.replace('-', '_')}"] = partial(ingest, feed=feed)
        steps["quality_dead_letters"] = collect_dead_letters
        for name, build in {**SILVER, **GOLD}.items():
            steps[name] = partial(advance, spec=TABLES[name], build=build)
        steps |= QUALITY
        return {
            name: dict(step(self.lakehouse).metadata)
            for name, step in steps.items()
            if not names or name in names
        }

    def read(self, name: str) -> DataFrame:
        """Return a table as Spark reads it."""
        return hudi_utils.read(self.spark, TABLES[name], self.lakehouse.lake)


def open_lake(
    bootstrap: str,
    spark_server: str,
    spark: SparkSession,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lake:
    """Return an empty lake whose symbols are those of the recordings."""
    folder.mkdir(exist_ok=True)
    symbols = folder / "symbols.yaml"
    symbols.write_text(
        json.dumps(
            {
                "version": 1,
                "exchanges": {
                    "binance": {
                        "spot": {"BTCUSDT": {}, "ETHUSDT": {}, "XRPETH": {}},
                        "um": {"BTCUSDT": {}, "ETHUSDT": {}},
                        "cm": {"BTCUSD_PERP": {}, "ETCUSD_PERP": {}},
                    }
                },
            }
        )
    )
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", str(folder))
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(symbols))
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", bootstrap)
    monkeypatch.setenv("CRYPTO_SPARK__REMOTE", spark_server)
    return Lake(LakehouseResource(), spark, bootstrap)


@pytest.fixture
def lake(
    topics: str,
    spark_server: str,
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lake:
    """An empty lake of the test's own."""
    return open_lake(topics, spark_server, spark, tmp_path, monkeypatch)


@pytest.fixture
def beside(
    lake: Lake,
    spark_server: str,
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Lake]:
    """Return what opens another lake, in a folder of that name, with the test's own silver trades."""

    def opened(name: str) -> Lake:
        silver = Path(lake.lakehouse.lake) / "silver_trades"
        shutil.copytree(silver, tmp_path / name / "lake" / "silver_trades")
        return open_lake(lake.bootstrap, spark_server, spark, tmp_path / name, monkeypatch)

    return opened


def bought(origin: Origin, number: int, at_us: int, price: str, quantity: str) -> Trade:
    """Return a taker's buy, received as it happened."""
    return Trade(
        origin=origin,
        received_ns=at_us * 1000,
        event_time=at_us,
        trade_id=str(number),
        price=price,
        quantity=quantity,
        side=Side.BUY,
        trade_time=at_us,
    )


def recorded_events(market: Market, *files: str) -> list[Event]:
    """Return the events of recordings of one market, through the collector's own protocol."""
    frames = [frame for file in files for frame in read_frames(CAPTURES / file)]
    streams = {
        frame.raw[11 : frame.raw.index('"', 11)]
        for frame in frames
        if frame.kind == "ws" and frame.raw.startswith('{"stream":"')
    }
    subscriptions = {}
    for stream in streams:
        symbol, _, channel = stream.partition("@")
        instrument = Instrument(Exchange.BINANCE, market, symbol.upper(), symbol.upper())
        subscriptions[stream] = Subscription(instrument, channel)
    protocol = BinanceProtocol(market, "test", subscriptions.values())
    events = protocol.open(0)
    for frame in frames:
        if frame.kind == "ws":
            events += protocol.receive(frame.raw, frame.recv_ns)
            continue
        for subscription in subscriptions.values():
            if (
                f"symbol={subscription.instrument.symbol}&" in f"{frame.url}&"
                and subscription.channel.startswith("depth")
            ):
                request = FetchSnapshot(subscription, "", 0)
                events += protocol.receive_snapshot(request, frame.raw.encode(), frame.recv_ns)
    return events


TRADES_TOPIC = topic_name(Exchange.BINANCE, Feed.TRADES)


def write_days(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Write the rows as the venue's day files; returns the days."""
    days: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        day = datetime.fromtimestamp(row["T"] / 1000, UTC).date().isoformat()
        days[day].append(
            ",".join(str(row[key]) for key in ("a", "p", "q", "f", "l", "T", "m", "M"))
        )
    place = folder / "data" / "spot" / "daily" / "aggTrades" / "XRPETH"
    place.mkdir(parents=True, exist_ok=True)
    for day, lines in days.items():
        (place / f"XRPETH-aggTrades-{day}.csv").write_text("\n".join(lines) + "\n")
    return sorted(days)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a mock exchange's archive; this process's settings lead to it."""
    folder = tmp_path / "archive-files"
    arguments = ("simulate", "--symbols", "", "--archive", str(folder))
    folder.mkdir()
    with mock_exchange(free_port(), tmp_path / "mock.log", *arguments) as venue:
        for name, value in venue.environment.items():
            monkeypatch.setenv(name, value)
        yield folder
