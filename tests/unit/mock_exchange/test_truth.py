import pytest

from mock_exchange.truth import Ledger, Receipts, Truth, ids_of, ids_of_trade
from shared.market.instruments import Market


def ledger(*messages: tuple[int, int, int | None] | None) -> Ledger:
    account = Ledger()
    for ids in messages:
        account.add(ids)
    return account


def test_ids_that_follow_make_one_range():
    account = ledger((5, 5, None), (6, 9, None), (10, 10, None)).account()
    assert (account["count"], account["first"], account["last"]) == (3, 5, 10)
    assert account["ranges"] == [[5, 10]]


def test_updates_that_name_what_they_follow_make_a_chain_of_their_own():
    assert ledger((5, 7, 1), (20, 22, 7), (40, 41, 30)).account()["ranges"] == [[5, 22], [40, 41]]


def test_a_hole_a_repeat_and_a_late_frame_each_begin_a_range():
    numbers = (1, 2, 4, 4, 3, 5)
    account = ledger(*((number, number, None) for number in numbers)).account()
    assert account["ranges"] == [[1, 2], [4, 4], [4, 4], [3, 3], [5, 5]]
    assert account["count"] == 6


def test_messages_without_ids_are_counted():
    account = ledger(None, None).account()
    assert (account["count"], account["first"], account["ranges"]) == (2, None, [])


def test_the_latest_ranges_are_kept_and_the_others_counted():
    account = ledger(*((2 * number, 2 * number, None) for number in range(1500))).account()
    assert len(account["ranges"]) == 1000
    assert account["ranges"][-1] == [2998, 2998]
    assert account["ranges_forgotten"] == 500
    assert account["first"] == 0


@pytest.mark.parametrize(
    ("channel", "data", "ids"),
    [
        ("aggTrade", {"a": 7, "t": 1}, (7, 7, None)),
        ("trade", {"t": 8}, (8, 8, None)),
        ("depth@100ms", {"U": 1, "u": 3}, (1, 3, None)),
        ("depth", {"U": 1, "u": 3, "pu": 0}, (1, 3, 0)),
        ("bookTicker", {"u": 3}, None),
    ],
)
def test_ids_are_those_of_the_channel(channel, data, ids):
    assert ids_of(channel, data) == ids


def test_ids_of_recorded_trades_are_read_from_the_frame():
    assert ids_of_trade("aggTrade", '{"stream":"x","data":{"e":"aggTrade","a":7}}') == (7, 7, None)
    assert ids_of_trade("trade", '{"stream":"x","data":{"t":8,"a":"1.0"}}') == (8, 8, None)
    assert ids_of_trade("bookTicker", '{"stream":"x","data":{"a":"1.0"}}') is None


def test_the_truth_shows_the_venue_beside_every_connection_that_got_the_stream():
    truth = Truth()
    for number in range(1, 6):
        truth.venue(Market.SPOT, "x").add((number, number, None))
    first, second = Receipts(1, Market.SPOT, 10), Receipts(2, Market.SPOT, 20)
    other, um = Receipts(3, Market.SPOT, 30), Receipts(4, Market.UM, 40)
    first.add("x", (1, 1, None))
    first.add_spoiled("x")
    second.add("x", (4, 4, None))
    other.add("y", None)
    um.add("x", None)
    truth.gone(first, 15)
    account = truth.account(Market.SPOT, "x", [second, other, um])
    assert account["venue"]["ranges"] == [[1, 5]]
    assert [item["client"] for item in account["clients"]] == [1, 2]
    assert account["clients"][0]["closed_ns"] == 15
    assert account["clients"][0]["spoiled"] == 1
    assert account["clients"][0]["ranges"] == [[1, 1]]
    assert account["clients"][1]["closed_ns"] is None


def test_of_a_stream_that_was_never_sent_there_is_no_account():
    assert Truth().account(Market.SPOT, "x", []) is None


def test_only_the_last_connections_that_went_are_kept():
    truth = Truth()
    truth.venue(Market.SPOT, "x").add(None)
    for number in range(60):
        receipts = Receipts(number, Market.SPOT, number)
        receipts.add("x", None)
        truth.gone(receipts, number)
    clients = truth.account(Market.SPOT, "x", [])["clients"]
    assert [item["client"] for item in clients] == list(range(10, 60))
