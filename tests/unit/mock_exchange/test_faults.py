import json
from dataclasses import dataclass, field

import pytest

from mock_exchange.fault_kinds import FaultError, decode_faults
from mock_exchange.faults import Abort, Answer, Faults, SendClose, SendNotice
from mock_exchange.outgoing import Outgoing
from shared.market.instruments import Market

S = 1_000_000_000
TRADES = "btcusdt@aggTrade"


@dataclass
class Connection:
    number: int
    market: Market = Market.SPOT
    opened_ns: int = 0
    streams: set[str] = field(default_factory=lambda: {TRADES})


ONE = Connection(1)


def frame(number: int) -> str:
    data = {"a": number, "p": "1.5"}
    return json.dumps({"stream": TRADES, "data": data}, separators=(",", ":"))


def active(*faults: dict, seed: int = 1) -> Faults:
    """Faults that began at second 10, while connection 1 was open."""
    found = Faults(seed)
    found.add(decode_faults(list(faults)), 10 * S)
    found.advance(10 * S, [ONE])
    return found


def sent(faults: Faults, *numbers: int, connection: Connection = ONE) -> list[Outgoing]:
    return [
        outgoing
        for number in numbers
        for outgoing in faults.frame(connection, TRADES, frame(number), (number, number, None))
    ]


def ids(frames: list[Outgoing]) -> list[int]:
    return [outgoing.ids[0] for outgoing in frames]


def states(faults: Faults) -> list[tuple[str, int, int | None]]:
    return [(item["state"], item["applied"], item["left"]) for item in faults.report()]


def test_without_faults_a_frame_leaves_as_it_is():
    faults = Faults()
    assert not faults.touches_frames
    assert sent(faults, 1) == [Outgoing(frame(1), (1, 1, None))]
    assert faults.next_ns() is None
    assert faults.report() == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (5, "Expected `object`, got `int`"),
        ({}, "missing required field `kind`"),
        ({"kind": "no"}, "Invalid value 'no' - at `$.kind`"),
        ({"kind": "drip"}, "missing required field `delay_ms`"),
        ({"kind": "drop", "stream": "x"}, "unknown field `stream`"),
        ({"kind": "drop", "streams": ""}, "length >= 1 - at `$.streams`"),
        ({"kind": "drop", "at_s": -1}, ">= 0.0 - at `$.at_s`"),
        ({"kind": "drop", "at_s": 1e300}, "<= 10000000.0 - at `$.at_s`"),
        ({"kind": "drop", "market": "moon"}, "'moon' - at `$.market`"),
        ({"kind": "skip", "count": 1.5}, "got `float` - at `$.count`"),
        ({"kind": "close", "code": 7}, ">= 1000 - at `$.code`"),
        ({"kind": "rest_error", "status": 200}, ">= 400 - at `$.status`"),
        ({"kind": "malform", "field": "p"}, "`field` needs `how: field`"),
        ({"kind": "snapshot"}, "`late_s` or `stale` must be given"),
    ],
)
def test_a_fault_that_cannot_be_used_names_its_entry_and_field(entry, problem):
    with pytest.raises(FaultError) as refused:
        decode_faults([{"kind": "drop"}, entry])
    assert str(refused.value).startswith("entry 2: ")
    assert problem in str(refused.value)


def test_one_fault_may_stand_without_a_list():
    assert decode_faults({"kind": "drop"}) == decode_faults([{"kind": "drop"}])


def test_a_fault_waits_for_its_time_and_ends_after_it():
    faults = Faults()
    later, sooner = {"kind": "silence", "at_s": 5, "for_s": 2}, {"kind": "drop", "at_s": 1}
    assert faults.add(decode_faults([later, sooner]), 10 * S) == [1, 2]
    assert states(faults) == [("waiting", 0, None)] * 2
    assert faults.next_ns() == 11 * S
    assert faults.advance(11 * S - 1, [ONE]) == []
    assert faults.advance(11 * S, [ONE]) == [Abort(1)]
    assert faults.next_ns() == 15 * S
    faults.advance(15 * S, [ONE])
    assert faults.touches_frames
    assert faults.next_ns() == 17 * S
    assert sent(faults, 1) == []
    faults.advance(17 * S, [ONE])
    assert not faults.touches_frames
    assert ids(sent(faults, 2)) == [2]
    assert states(faults) == [("over", 1, None), ("over", 1, None)]


def test_lifting_ends_what_is_active_and_forgets_what_waits():
    faults = active({"kind": "silence"}, {"kind": "skip", "at_s": 5})
    assert faults.lift() == 2
    assert not faults.touches_frames
    assert states(faults) == [("over", 0, None)]
    assert faults.lift() == 0


def test_connections_are_chosen_by_stream_market_and_number():
    open_now = [
        Connection(1),
        Connection(2, Market.UM),
        Connection(3, streams={"ethusdt@trade", "btcusdt@depth@100ms"}),
        Connection(4, streams=set()),
    ]

    def dropped(**fields: object) -> list[int]:
        faults = Faults()
        faults.add(decode_faults({"kind": "drop", **fields}), 0)
        return [action.connection for action in faults.advance(0, open_now)]

    assert dropped() == [1, 2, 3, 4]
    assert dropped(market="um") == [2]
    assert dropped(streams="btcusdt@*") == [1, 2, 3]
    assert dropped(streams="btcusdt@depth*") == [3]
    assert dropped(connection=3) == [3]
    assert dropped(connection=3, streams=TRADES) == []


def test_a_close_carries_its_code_and_reason():
    faults = Faults()
    faults.add(decode_faults({"kind": "close", "code": 1008, "reason": "24 h"}), 0)
    assert faults.advance(0, [ONE]) == [SendClose(1, 1008, "24 h")]


def test_a_shutdown_gives_notice_and_closes_who_is_still_there():
    faults = Faults()
    faults.add(decode_faults({"kind": "server_shutdown", "close_after_s": 3}), 0)
    assert faults.advance(0, [ONE, Connection(2)]) == [SendNotice(1), SendNotice(2)]
    assert faults.next_ns() == 3 * S
    assert ids(sent(faults, 1)) == [1]
    # 1 left on the notice, 3 came since.
    closed = faults.advance(3 * S, [Connection(2), Connection(3)])
    assert closed == [SendClose(2, 1001, "server shutdown")]
    assert states(faults) == [("over", 2, None)]


def test_silence_is_of_matching_streams_and_may_spare_open_connections():
    faults = active({"kind": "silence", "streams": "*@trade"})
    assert ids(sent(faults, 1)) == [1]
    faults = active({"kind": "silence", "new_connections": True})
    assert ids(sent(faults, 1)) == [1]
    assert sent(faults, 2, connection=Connection(2, opened_ns=10 * S)) == []
    assert states(faults) == [("active", 1, None)]


def test_skip_loses_the_next_frames_only():
    faults = active({"kind": "skip", "count": 2, "market": "spot"})
    um = Connection(2, Market.UM)
    assert ids(sent(faults, 1, connection=um)) == [1]
    assert ids(sent(faults, 1, 2, 3)) == [3]
    assert states(faults) == [("over", 2, 0)]


def test_repeat_sends_twice():
    assert ids(sent(active({"kind": "repeat", "count": 2}), 1, 2, 3)) == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [2, 5])
def test_reorder_holds_and_then_sends_the_same_frames_in_another_order(seed, count):
    faults = active({"kind": "reorder", "count": count}, seed=seed)
    numbers = list(range(count))
    assert sent(faults, *numbers[:-1]) == []
    # Another connection's frames go on meanwhile.
    assert ids(sent(faults, 7, connection=Connection(2))) == [7]
    found = ids(sent(faults, numbers[-1]))
    assert sorted(found) == numbers
    assert found != numbers
    assert ids(sent(faults, 8, 9)) == [8, 9]
    again = active({"kind": "reorder", "count": count}, seed=seed)
    assert ids(sent(again, *numbers)) == found


def test_a_reorder_begins_anew_when_its_connection_goes():
    faults = active({"kind": "silence", "streams": "none"}, {"kind": "reorder", "count": 2})
    assert sent(faults, 1) == []
    faults.gone(Connection(2))
    assert states(faults)[1] == ("active", 1, 1)
    faults.gone(ONE)
    assert states(faults)[1] == ("active", 1, 2)
    assert ids(sent(faults, 2, 3, connection=Connection(2))) == [3, 2]


def test_malform_cuts_short():
    (cut,) = sent(active({"kind": "malform"}), 1)
    assert frame(1).startswith(cut.text)
    assert 0 < len(cut.text) < len(frame(1))
    assert not cut.is_whole


def test_malform_sends_what_is_no_json():
    (cut,) = sent(active({"kind": "malform", "how": "text"}), 1)
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.text)


def test_malform_puts_an_object_where_a_value_belongs():
    (named,) = sent(active({"kind": "malform", "how": "field", "field": "p"}), 1)
    assert json.loads(named.text) == {"stream": TRADES, "data": {"a": 1, "p": {}}}
    (chosen,) = sent(active({"kind": "malform", "how": "field"}), 1)
    assert list(json.loads(chosen.text)["data"].values()).count({}) == 1
    faults = active({"kind": "malform", "how": "field", "field": "p"})
    (raw,) = faults.frame(ONE, TRADES, '{"a":1,"p":"1"}', None)
    assert json.loads(raw.text) == {"a": 1, "p": {}}


def test_what_is_damaged_is_not_damaged_again():
    both = active({"kind": "malform", "how": "text"}, {"kind": "malform", "how": "field"})
    assert sent(both, 1) == sent(active({"kind": "malform", "how": "text"}), 1)


def test_huge_pads_to_the_byte_and_stays_readable():
    (large,) = sent(active({"kind": "huge", "bytes": 5000}), 1)
    assert len(large.text.encode()) == 5000
    assert json.loads(large.text)["data"] == {"a": 1, "p": "1.5"}
    assert large.is_whole
    assert sent(active({"kind": "huge", "bytes": 10}), 1) == sent(Faults(), 1)


def test_drip_delays_and_delays_add_up():
    faults = active({"kind": "drip", "delay_ms": 250}, {"kind": "drip", "delay_ms": 500})
    assert [outgoing.delay_s for outgoing in sent(faults, 1, 2)] == [0.75, 0.75]


def test_faults_that_are_active_together_apply_in_order():
    faults = active({"kind": "skip"}, {"kind": "repeat"}, {"kind": "drip", "delay_ms": 1000})
    frames = sent(faults, 1, 2, 3)
    assert ids(frames) == [2, 2, 3]
    assert {outgoing.delay_s for outgoing in frames} == {1.0}


def test_rest_calls_are_refused_by_pattern_and_count():
    faults = active(
        {"kind": "rest_error", "status": 429, "retry_after_s": 7, "calls": "depth", "count": 1},
        {"kind": "rest_error", "status": 503, "market": "um"},
    )
    assert faults.answer(Market.SPOT, "klines", "X") == Answer()
    assert faults.answer(Market.SPOT, "depth", "X") == Answer(429, 7)
    assert faults.answer(Market.SPOT, "depth", "X") == Answer()
    assert faults.answer(Market.UM, "depth", "X") == Answer(503)
    assert ids(sent(faults, 1)) == [1]


def test_snapshots_are_late_or_stale_for_matching_symbols():
    faults = active(
        {"kind": "snapshot", "symbols": "BTC*", "late_s": 2.5, "stale": True, "count": 1},
        {"kind": "snapshot", "symbols": "ETHUSDT", "stale": True},
    )
    assert faults.answer(Market.SPOT, "klines", "BTCUSDT") == Answer()
    assert faults.answer(Market.SPOT, "depth", "SOLUSDT") == Answer()
    assert faults.answer(Market.SPOT, "depth", "BTCUSDT") == Answer(delay_s=2.5, is_stale=True)
    assert faults.answer(Market.SPOT, "depth", "BTCUSDT") == Answer()
    assert faults.answer(Market.SPOT, "depth", "ETHUSDT") == Answer(is_stale=True)


def test_new_connections_are_refused_in_one_market():
    faults = active({"kind": "refuse", "for_s": 5, "market": "um", "status": 403})
    assert faults.refusal(Market.SPOT) is None
    assert faults.refusal(Market.UM) == 403
    faults.advance(15 * S, [])
    assert faults.refusal(Market.UM) is None


def test_skews_add_up_per_market():
    faults = active(
        {"kind": "clock_skew", "ms": -500}, {"kind": "clock_skew", "ms": 50, "market": "um"}
    )
    assert faults.skew_ms(Market.SPOT) == -500
    assert faults.skew_ms(Market.UM) == -450


ZIP = "/data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-08-08.zip"


@pytest.mark.parametrize(
    ("how", "of_file", "of_checksum"),
    [("checksum", False, True), ("cut", True, False), ("late", True, True), ("hole", True, True)],
)
def test_an_archive_fault_touches_the_file_its_checksum_or_both(how, of_file, of_checksum):
    faults = active({"kind": "archive", "how": how, "files": "*BTCUSDT*2024-08-08*"})
    assert (how in faults.archive(Market.SPOT, ZIP)) is of_file
    assert (how in faults.archive(Market.SPOT, f"{ZIP}.CHECKSUM")) is of_checksum
    assert faults.archive(Market.SPOT, ZIP.replace("08-08", "08-09")) == frozenset()


def test_an_archive_fault_is_over_after_so_many_answers():
    faults = active({"kind": "archive", "how": "late", "count": 2})
    assert [faults.archive(Market.SPOT, ZIP) for _ in range(3)] == [{"late"}, {"late"}, frozenset()]
