from dataclasses import replace

import pytest

from shared.market.events import StreamState
from shared.market.id_ranges import IdRanges
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.archive_healing import outcomes
from streaming.holes import Hole

HOLE = Hole(
    Subscription(Instrument(Exchange.BINANCE, Market.UM, "BTCUSDT", "BTCUSDT"), "aggTrade"), 10, 19
)


def ranges(*pairs: tuple[int, int]) -> IdRanges:
    made = IdRanges()
    for first, last in pairs:
        made.add(first, last)
    return made


@pytest.mark.parametrize(
    ("files", "healed", "unhealable"),
    [
        ([ranges((1, 30))], [(10, 19)], []),
        ([ranges((1, 9)), ranges((20, 30))], [], [(10, 19)]),
        (
            [ranges((1, 12)), ranges((15, 16), (19, 40))],
            [(10, 12), (15, 16), (19, 19)],
            [(13, 14), (17, 18)],
        ),
        ([ranges((1, 12))], [(10, 12)], []),
        ([ranges((1, 9))], [], []),
        ([ranges()], [], []),
        ([ranges((12, 30))], [(12, 19)], [(10, 11)]),
    ],
)
def test_the_files_say_which_ids_there_are_up_to_their_last(files, healed, unhealable):
    told = outcomes(HOLE, files)
    by_state = {
        state: [(item.first_id, item.last_id) for item in told if item.state is state]
        for state in (StreamState.HEALED, StreamState.UNHEALABLE)
    }
    assert by_state == {StreamState.HEALED: healed, StreamState.UNHEALABLE: unhealable}
    assert [item.first_id for item in told] == sorted(item.first_id for item in told)
    assert {item.reason for item in told if item.state is StreamState.UNHEALABLE} <= {
        "no good row in the archive's files of its days"
    }


def test_of_an_enclosed_range_the_files_say_all():
    told = outcomes(replace(HOLE, is_enclosed=True), [ranges((1, 12))])
    assert [(item.state, item.first_id, item.last_id) for item in told] == [
        (StreamState.HEALED, 10, 12),
        (StreamState.UNHEALABLE, 13, 19),
    ]
