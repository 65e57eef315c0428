import pytest

from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.settings import BinanceSettings
from streaming.binance_websocket import plan, protocol
from streaming.config import Endpoint, RestLimits, spread


def subscription(market: Market, channel: str, symbol: str = "BTCUSDT") -> Subscription:
    return Subscription(Instrument(Exchange.BINANCE, market, symbol, symbol), channel)


ENDPOINT = Endpoint(
    "e", Exchange.BINANCE, Market.SPOT, "ws", "http", RestLimits(100, "used"), 2, 60
)


def streams(*symbols: str) -> list[Subscription]:
    return [subscription(Market.SPOT, "trade", symbol) for symbol in symbols]


def carried(plans):
    return {item.name: [one.instrument.symbol for one in item.subscriptions] for item in plans}


def test_streams_spread_over_as_many_connections_as_the_limit_asks():
    plans = spread(ENDPOINT, streams("A", "B", "C", "D", "E"))
    assert carried(plans) == {"e-0": ["A", "B"], "e-1": ["C", "D"], "e-2": ["E"]}


def test_a_new_stream_moves_no_other_to_another_connection():
    before = spread(ENDPOINT, streams("B", "C", "D"))
    after = spread(ENDPOINT, streams("A", "B", "C", "D", "E"), before)
    assert carried(after) == {"e-0": ["B", "C"], "e-1": ["A", "D"], "e-2": ["E"]}


def test_a_freed_place_is_filled_and_an_empty_connection_goes():
    before = spread(ENDPOINT, streams("A", "B", "C"))
    assert carried(spread(ENDPOINT, streams("A", "D"), before)) == {"e-0": ["A", "D"]}
    assert carried(spread(ENDPOINT, streams("C"), before)) == {"e-1": ["C"]}


def test_connections_of_other_endpoints_are_left_out():
    um = plan(BinanceSettings(), [subscription(Market.UM, "trade")])
    assert carried(spread(ENDPOINT, streams("A"), um)) == {"e-0": ["A"]}


def test_um_streams_go_to_the_route_that_delivers_them():
    channels = ["aggTrade", "trade", "depth@100ms", "kline_1m", "bookTicker"]
    plans = plan(BinanceSettings(), [subscription(Market.UM, channel) for channel in channels])
    carried = {item.endpoint.ws_url: {one.channel for one in item.subscriptions} for item in plans}
    assert carried == {
        "wss://fstream.binance.com/public/stream": {"trade", "depth@100ms", "bookTicker"},
        "wss://fstream.binance.com/market/stream": {"aggTrade", "kline_1m"},
    }


def test_a_plan_becomes_a_protocol_of_its_market():
    item = plan(BinanceSettings(), [subscription(Market.SPOT, "trade")])[0]
    assert protocol(item, 10).silent() == list(item.subscriptions)


def test_a_market_that_is_not_collected_is_named():
    with pytest.raises(ConfigurationError, match=r"exchanges\.binance\.cm"):
        plan(BinanceSettings(), [subscription(Market.CM, "trade")])
