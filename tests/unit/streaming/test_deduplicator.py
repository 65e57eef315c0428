import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    DeadLetter,
    Event,
    Kline,
    MarkPrice,
    Origin,
    Side,
    Source,
    StreamState,
    StreamStatus,
    Trade,
)
from shared.market.instruments import Exchange, Market
from streaming import deduplicator as module
from streaming.deduplicator import Deduplicator

ONE = "1"
OLD = Origin(
    Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT", "x", Source.BINANCE_WEBSOCKET, "c-0", 1
)
NEW = structs.replace(OLD, epoch=2)
INTERLEAVING = st.lists(st.booleans(), max_size=60)


def common(origin: Origin = OLD) -> dict[str, object]:
    return {"origin": origin, "received_ns": 5, "event_time": 7}


def trade(number: int) -> Trade:
    return Trade(
        **common(), trade_id=str(number), price=ONE, quantity=ONE, side=Side.BUY, trade_time=1
    )


def aggregate(number: int) -> AggregateTrade:
    spans = {"first_trade_id": "1", "last_trade_id": "2"}
    fields = structs.asdict(trade(number))
    del fields["execution_type"]
    return AggregateTrade(**fields, **spans)


def spot_delta(number: int) -> BookDelta:
    """Return the delta of updates 10 n + 1 to 10 n + 10."""
    return BookDelta(
        **common(),
        first_update_id=10 * number + 1,
        last_update_id=10 * number + 10,
        previous_update_id=None,
        bids=[],
        asks=[],
    )


def um_delta(number: int) -> BookDelta:
    """Return a delta whose ids jump, as they do on futures; only `pu` links it."""
    return structs.replace(
        spot_delta(number),
        first_update_id=10 * number - 3,
        last_update_id=10 * number,
        previous_update_id=10 * (number - 1),
    )


def snapshot(last_id: int) -> BookSnapshot:
    return BookSnapshot(**common(), last_update_id=last_id, bids=[], asks=[])


def quote(number: int) -> BestQuote:
    prices = dict.fromkeys(("bid_price", "bid_quantity", "ask_price", "ask_quantity"), ONE)
    return BestQuote(**common() | {"event_time": None}, update_id=number, **prices)


def mark(number: int) -> MarkPrice:
    told = dict.fromkeys(("mark_price", "index_price", "settle_price", "funding_rate"), ONE)
    return MarkPrice(**common() | {"event_time": 100 + number}, **told, next_funding_time=9)


def candle(number: int) -> Kline:
    """Return every third message closed, as a minute of two open ones and a closed one."""
    prices = dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), ONE)
    return Kline(
        **common() | {"event_time": 100 + number},
        **prices,
        interval="1m",
        open_time=number // 3,
        close_time=number // 3,
        trade_count=1,
        taker_buy_volume=ONE,
        taker_buy_quote_volume=ONE,
        first_trade_id=None,
        last_trade_id=None,
        is_closed=number % 3 == 2,
    )


def through(event: Event, origin: Origin) -> Event:
    return structs.replace(event, origin=origin)


def busy() -> Deduplicator:
    found = Deduplicator()
    found.begin()
    return found


def passed(old: list[Event], new: list[Event], turns: list[bool]) -> list[Event]:
    """Return what passes of two sockets' events, where a true turn is the new socket's."""
    found, queues = busy(), {False: old[::-1], True: new[::-1]}
    result = []
    for turn in [*turns, *[False] * len(old), *[True] * len(new)]:
        if queues[turn]:
            event = queues[turn].pop()
            if found.is_new(through(event, NEW if turn else OLD)):
                result.append(event)
    return result


@pytest.mark.parametrize("kind", [trade, aggregate, spot_delta, um_delta, quote, mark, candle])
@given(turns=INTERLEAVING)
def test_two_copies_of_a_stream_give_each_event_once_and_in_order(kind, turns):
    stream = [kind(number) for number in range(1, 20)]
    assert passed(stream, stream, turns) == stream


@given(turns=INTERLEAVING, begins=st.integers(0, 15), ends=st.integers(5, 20))
def test_no_trade_is_lost_or_doubled_however_far_the_new_socket_runs_ahead(turns, begins, ends):
    stream = [trade(number) for number in range(20)]
    old, new = stream[: max(begins, ends)], stream[begins:]
    result = passed(old, new, turns)
    assert sorted(result, key=lambda event: int(event.trade_id)) == stream


@pytest.mark.parametrize("kind", [spot_delta, um_delta])
@given(turns=INTERLEAVING, begins=st.integers(1, 15))
def test_a_new_socket_that_runs_ahead_tears_no_hole_into_a_book(kind, turns, begins):
    stream = [kind(number) for number in range(20)]
    assert passed(stream, stream[begins:], [False, *turns]) == stream


def test_a_socket_that_brought_the_last_delta_may_leave_a_gap_of_its_own():
    found = busy()
    assert found.is_new(spot_delta(1))
    assert found.is_new(spot_delta(3))
    assert not found.is_new(spot_delta(2))
    assert not found.is_new(through(spot_delta(5), NEW))
    assert found.is_new(through(spot_delta(4), NEW))


def test_a_closed_candle_passes_after_the_next_one_has_begun_but_never_twice():
    found = busy()
    assert found.is_new(candle(0))
    assert found.is_new(through(candle(3), NEW))
    assert not found.is_new(candle(1)), "an open one that is behind"
    assert found.is_new(candle(2))
    assert not found.is_new(through(candle(2), NEW))


def test_a_snapshot_behind_the_deltas_or_told_already_does_not_pass():
    found = busy()
    found.is_new(spot_delta(1))
    assert not found.is_new(through(snapshot(10), NEW))
    assert found.is_new(snapshot(20))
    assert not found.is_new(through(snapshot(20), NEW))
    assert found.is_new(through(snapshot(30), NEW))


def test_streams_do_not_know_each_other():
    found = busy()
    others = [("symbol", "ETHUSDT"), ("market", Market.UM), ("channel", "y")]
    assert found.is_new(trade(1))
    for name, value in others:
        assert found.is_new(through(trade(1), structs.replace(OLD, **{name: value})))


def test_statuses_and_dead_letters_always_pass():
    found = busy()
    status = StreamStatus(**common(), state=StreamState.FIRST_DATA, reason="")
    for event in (status, DeadLetter(**common(), reason="", payload="")):
        assert found.is_new(event)
        assert found.is_new(event)


def test_idle_it_lets_everything_through_and_remembers_nothing():
    found = Deduplicator()
    assert found.is_idle
    assert found.is_new(trade(1))
    found.begin()
    assert not found.is_idle
    assert found.is_new(trade(1))
    assert not found.is_new(trade(1))
    found.end()
    assert found.is_idle
    found.begin()
    assert found.is_new(trade(1))


def test_with_too_many_holes_the_oldest_ids_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "_MOST_RANGES", 3)
    found = busy()
    assert all(found.is_new(trade(number)) for number in (1, 3, 5, 7, 9))
    assert not any(found.is_new(trade(number)) for number in (5, 7, 9))
    assert found.is_new(trade(1)), "rather twice than never"


def test_once_a_socket_has_ended_nobody_waits_for_its_deltas():
    found = busy()
    assert found.is_new(through(spot_delta(1), OLD))
    assert not found.is_new(through(spot_delta(5), NEW)), "early: the old socket is on its way"
    found.socket_ended(NEW)
    assert not found.is_new(through(spot_delta(5), NEW))
    found.socket_ended(OLD)
    assert found.is_new(through(spot_delta(6), NEW))
