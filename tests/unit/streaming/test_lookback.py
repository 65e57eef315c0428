"""Holes among the trades in Kafka; the reading itself is seen in tests/e2e/collector/outage.py."""

from shared.market.codec import Envelope
from shared.market.events import AggregateTrade, Origin, Side, Source, Trade
from shared.market.instruments import Exchange, Market
from streaming.lookback import Hole, TradesSeen


def origin(market: Market, channel: str, epoch: int = 1) -> Origin:
    return Origin(
        exchange=Exchange.BINANCE,
        market=market,
        symbol="BTCUSDT",
        venue_symbol="BTCUSDT",
        channel=channel,
        source=Source.BINANCE_WEBSOCKET,
        connection="c",
        epoch=epoch,
    )


def record(number: int, of: Origin) -> bytes:
    common = {
        "origin": of,
        "received_ns": 1,
        "event_time": 1,
        "trade_id": str(number),
        "price": "1",
        "quantity": "1",
        "side": Side.BUY,
        "trade_time": 1,
    }
    if of.channel == "trade":
        return Envelope(of, "1.0.0").typed(Trade(**common), 1)
    event = AggregateTrade(**common, first_trade_id="1", last_trade_id="1")
    return Envelope(of, "1.0.0").typed(event, 1)


def holes(*records: bytes) -> list[Hole]:
    seen = TradesSeen()
    for value in records:
        seen.take(value)
    return list(seen.holes())


def test_a_hole_between_two_lives_is_found_whoever_published():
    spot = origin(Market.SPOT, "trade")
    again = origin(Market.SPOT, "trade", epoch=7)
    assert holes(*(record(number, spot) for number in (1, 2, 3))) == []
    found = holes(record(1, spot), record(2, spot), record(9, again), record(5, spot))
    assert found == [Hole(spot, 3, 4), Hole(spot, 6, 8)]


def test_late_and_repeated_records_fill_holes_and_streams_are_apart():
    spot, um = origin(Market.SPOT, "trade"), origin(Market.UM, "aggTrade")
    aggregate = origin(Market.SPOT, "aggTrade")
    records = [record(1, spot), record(3, spot), record(3, spot), record(2, spot)]
    assert holes(*records, record(7, um), record(100, aggregate), record(8, um)) == []


def test_what_cannot_be_fetched_by_id_or_is_no_trade_is_passed_over():
    um = origin(Market.UM, "trade")
    assert holes(record(1, um), record(9, um), b"no json", b'{"schema_version":99}') == []
