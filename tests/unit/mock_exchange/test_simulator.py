from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_exchange.listings import LISTINGS
from mock_exchange.simulator import Simulator
from mock_exchange.trade_memory import Page
from shared.market.instruments import Market
from streaming.exchanges.binance_events import translator

START_MS = 1_700_000_000_000


def simulator(market: Market = Market.SPOT, seed: str = "s", start_ms: int = START_MS) -> Simulator:
    return Simulator(LISTINGS["BTCUSDT"], market, f"{seed}:{market}", seed, start_ms, 20)


def run(sim: Simulator, seconds: int) -> list:
    steps = range(1, seconds * 10 + 1)
    return [message for step in steps for message in sim.advance(sim.start_ms + step * 100)]


def test_the_same_seed_makes_the_same_market():
    assert run(simulator(), 10) == run(simulator(), 10)
    assert run(simulator(), 10) != run(simulator(seed="t"), 10)


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=5), st.sampled_from([Market.SPOT, Market.UM]))
def test_a_book_kept_from_snapshot_and_deltas_shows_every_quote_that_is_sent(seed, market):
    sim = simulator(market, seed)
    snapshot = sim.snapshot()
    bids = {Decimal(price): Decimal(lots) for price, lots in snapshot["bids"]}
    asks = {Decimal(price): Decimal(lots) for price, lots in snapshot["asks"]}
    last, same, quotes = snapshot["lastUpdateId"], 0, {}
    for channel, data in run(sim, 20):
        if channel == "bookTicker":
            quotes[data["u"]] = data
        if channel != "depth@100ms":
            continue
        assert (data["U"] == last + 1) if market is Market.SPOT else (data["pu"] == last)
        last = data["u"]
        for side, levels in ((bids, data["b"]), (asks, data["a"])):
            for price, lots in levels:
                side[Decimal(price)] = Decimal(lots)
                if not Decimal(lots):
                    del side[Decimal(price)]
        bid, ask = max(bids), min(asks)
        assert bid < ask
        if last in quotes:
            same += 1
            quote = quotes[last]
            assert (bid, bids[bid]) == (Decimal(quote["b"]), Decimal(quote["B"]))
            assert (ask, asks[ask]) == (Decimal(quote["a"]), Decimal(quote["A"]))
    assert same


def test_candles_are_the_sum_of_the_trades_and_aggregates_span_them():
    messages = run(simulator(), 130)
    trades = [data for channel, data in messages if channel == "trade"]
    ids = [data["t"] for data in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    aggregates = [data for channel, data in messages if channel == "aggTrade"]
    assert [n for data in aggregates for n in range(data["f"], data["l"] + 1)] == ids
    closed = [data["k"] for channel, data in messages if channel == "kline_1m"]
    assert len(closed) >= 2
    for candle in closed[1:]:
        inside = [data for data in trades if candle["t"] <= data["T"] <= candle["T"]]
        assert candle["n"] == len(inside)
        assert (candle["f"], candle["L"]) == (inside[0]["t"], inside[-1]["t"])
        prices = [Decimal(data["p"]) for data in inside]
        assert (Decimal(candle["h"]), Decimal(candle["l"])) == (max(prices), min(prices))
        assert Decimal(candle["v"]) == sum(Decimal(data["q"]) for data in inside)
        notional = [Decimal(data["p"]) * Decimal(data["q"]) for data in inside]
        assert Decimal(candle["q"]) == sum(notional)
        bought = [Decimal(data["q"]) for data in inside if not data["m"]]
        assert Decimal(candle["V"]) == sum(bought)


def test_every_message_is_one_that_the_collector_understands():
    for market in (Market.SPOT, Market.UM):
        sim = simulator(market)
        for channel, data in [*run(sim, 5), sim.candle_message()]:
            decoder, translate = translator(channel)
            frame = msgspec.json.encode({"stream": "x", "data": data})
            assert translate(decoder.decode(frame).data, None, 1) is not None


def test_a_future_tells_a_mark_price_near_its_index_once_a_second():
    marks = [data for channel, data in run(simulator(Market.UM), 60) if channel == "markPrice@1s"]
    assert [data["E"] for data in marks] == [START_MS + second * 1000 for second in range(1, 61)]
    for data in marks:
        assert abs(Decimal(data["p"]) / Decimal(data["i"]) - 1) < Decimal("0.003")
        assert abs(Decimal(data["r"]) - (Decimal(data["p"]) / Decimal(data["i"]) - 1)) < Decimal(
            "1e-8"
        )
        assert data["T"] % 28_800_000 == 0
        assert 0 < data["T"] - data["E"] <= 28_800_000
    assert len({data["p"] for data in marks}) > 50
    assert "markPrice@1s" not in {channel for channel, _ in run(simulator(), 5)}


def test_spot_and_future_of_one_symbol_stay_together():
    last = {
        market: Decimal(
            [d["b"] for channel, d in run(simulator(market), 600) if channel == "bookTicker"][-1]
        )
        for market in (Market.SPOT, Market.UM)
    }
    assert abs(last[Market.UM] / last[Market.SPOT] - 1) < Decimal("0.0005")


def test_a_later_start_never_repeats_an_id():
    last = [data["t"] for channel, data in run(simulator(), 60) if channel == "trade"][-1]
    later = run(simulator(start_ms=START_MS + 61_000), 5)
    assert min(data["t"] for channel, data in later if channel == "trade") > last


def test_rest_rows_agree_with_each_other():
    sim = simulator()
    run(sim, 70)
    rows = sim.kline_rows()
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert all(Decimal(row[3]) <= Decimal(row[1]) <= Decimal(row[2]) for row in rows)


def test_rest_tells_the_trades_that_were_sent_by_their_ids():
    for market in (Market.SPOT, Market.UM):
        sim = simulator(market)
        messages = run(sim, 20)
        sent = [data for channel, data in messages if channel == "aggTrade"]
        rows = sim.aggregate_rows(Page(1000, sent[3]["a"]))
        assert rows == [{key: data[key] for key in rows[0]} for data in sent[3:]][:1000]
        fills = [data for channel, data in messages if channel == "trade"]
        told = sim.trade_rows(Page(50, fills[7]["t"]))
        assert [
            (row["id"], row["price"], row["qty"], row["time"], row["isBuyerMaker"]) for row in told
        ] == [(data["t"], data["p"], data["q"], data["T"], data["m"]) for data in fills[7:57]]
        quotes = [Decimal(row["price"]) * Decimal(row["qty"]) for row in told]
        assert [Decimal(row["quoteQty"]) for row in told] == quotes
        assert ("isBestMatch" in told[0]) == (market is Market.SPOT)


def test_a_skewed_clock_shows_in_event_times_only():
    straight, skewed = simulator(), simulator()
    skewed.skew_ms = -700
    for (_, one), (_, other) in zip(run(straight, 5), run(skewed, 5), strict=True):
        assert other == one | ({"E": one["E"] - 700} if "E" in one else {})
