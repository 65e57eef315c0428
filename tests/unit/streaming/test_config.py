import pytest

from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.settings import BinanceSettings
from streaming.binance_websocket import plan, protocol
from streaming.config import Endpoint, split


def subscription(market: Market, channel: str, symbol: str = "BTCUSDT") -> Subscription:
    return Subscription(Instrument(Exchange.BINANCE, market, symbol, symbol), channel)


def test_streams_spread_over_as_many_connections_as_the_limit_asks():
    endpoint = Endpoint("e", Exchange.BINANCE, Market.SPOT, "ws", "http", 2, 60)
    wanted = [subscription(Market.SPOT, "trade", f"S{number}") for number in range(5)]
    plans = split(endpoint, wanted)
    assert [item.name for item in plans] == ["e-0", "e-1", "e-2"]
    assert [one for item in plans for one in item.subscriptions] == wanted


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
