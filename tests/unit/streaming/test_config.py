from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.settings import BinanceSettings
from streaming.binance_websocket import plan, protocol
from streaming.config import ConnectLimits, Endpoint, RestLimits, in_shard, spread


def subscription(market: Market, channel: str, symbol: str = "BTCUSDT") -> Subscription:
    return Subscription(Instrument(Exchange.BINANCE, market, symbol, symbol), channel)


ENDPOINT = Endpoint(
    "e",
    Exchange.BINANCE,
    Market.SPOT,
    "ws",
    "http",
    RestLimits(100, "used"),
    2,
    60,
    4,
    ConnectLimits(9, 1),
    9,
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
    made = protocol(item, 10)
    assert [stream.subscription for stream in made.streams()] == list(item.subscriptions)


def test_coin_margined_symbols_have_a_connection_of_their_own():
    (item,) = plan(BinanceSettings(), [subscription(Market.CM, "depth@100ms", "BTCUSD_PERP")])
    assert (item.name, item.endpoint.ws_url) == (
        "binance-cm-0",
        "wss://dstream.binance.com/stream",
    )


def test_an_instance_is_part_of_the_names():
    (item,) = plan(BinanceSettings(), [subscription(Market.SPOT, "trade")], (), "b")
    assert (item.name, item.endpoint.name) == ("binance-spot-b-0", "binance-spot-b")


def test_shards_share_the_symbols_among_them():
    instruments = [
        subscription(Market.SPOT, "trade", f"S{number}").instrument for number in range(300)
    ]
    parts = [[item for item in instruments if in_shard(item, f"{i}/3")] for i in range(3)]
    assert sorted(item for part in parts for item in part) == sorted(instruments)
    assert all(len(part) > 60 for part in parts)
