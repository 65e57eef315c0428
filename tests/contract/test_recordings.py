"""Every recording of a venue through its protocol: what is known of the files must come out."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.market.book_sync import BookSync, SyncState, binance_rule
from shared.market.events import (
    BestQuote,
    BookDelta,
    DeadLetter,
    Event,
    StreamState,
    StreamStatus,
    Trade,
)
from shared.market.instruments import (
    Exchange,
    Instrument,
    Market,
    Subscription,
    contract_usd,
)
from shared.market.recording import Frame, read_frames
from streaming.exchanges.binance import BinanceProtocol
from streaming.exchanges.protocol import FetchSnapshot

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures"
pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the recordings in ../shared are not on this machine"
)


@dataclass(frozen=True)
class Known:
    """What SOURCES.md and README.md say of a recording."""

    market: Market
    files: tuple[str, ...]
    deltas: int
    same_quotes: int
    trades: tuple[int, int] | None = None
    by_last_quote: bool = False


def _nkaz(*names: str) -> tuple[str, ...]:
    return tuple(f"nkaz001-hftbacktest_{name}.jsonl.gz" for name in names)


KNOWN = {
    "spot-2021": Known(Market.SPOT, ("binance_spot_20211012.jsonl.gz",), 177, 159, by_last_quote=True),
    "um-2021": Known(Market.UM, ("binance_um_20210722.jsonl.gz",), 764, 744, by_last_quote=True),
    "spot-btc": Known(
        Market.SPOT, _nkaz("spot_btcusdt_20240808", "spot_btcusdt_20240809"), 6495, 1072,
        (3735683259, 3735703162),
    ),
    "spot-eth": Known(
        Market.SPOT, _nkaz("spot_ethusdt_20240808", "spot_ethusdt_20240809"), 6470, 1056,
        (1520538925, 1520553439),
    ),
    "um-btc": Known(
        Market.UM, _nkaz("usdm_btcusdt_20240808"), 6551, 629, (5266583935, 5266605247)
    ),
    "um-eth": Known(
        Market.UM, _nkaz("usdm_ethusdt_20240808"), 6586, 551, (4308068523, 4308082598)
    ),
}  # fmt: skip


def frames(known: Known) -> list[Frame]:
    return [frame for file in known.files for frame in read_frames(CAPTURES / file)]


def protocol_for(known: Known, recorded: list[Frame]) -> BinanceProtocol:
    names = {
        json.loads(frame.raw)["stream"] for frame in recorded if frame.raw.startswith('{"stream"')
    }
    subscriptions = []
    for name in sorted(names):
        symbol, _, channel = name.partition("@")
        instrument = Instrument(Exchange.BINANCE, known.market, symbol.upper(), symbol.upper())
        subscriptions.append(Subscription(instrument, channel))
    protocol = BinanceProtocol(known.market, "c", subscriptions)
    protocol.open(0)
    return protocol


def feed(protocol: BinanceProtocol, recorded: list[Frame]) -> Iterator[Event]:
    for frame in recorded:
        if frame.kind == "ws":
            yield from protocol.receive(frame.raw, frame.recv_ns)
            continue
        for subscription in [stream.subscription for stream in protocol.streams()]:
            is_book = subscription.channel.startswith("depth")
            if is_book and f"symbol={subscription.instrument.symbol}&" in frame.url + "&":
                request = FetchSnapshot(subscription, "", 0)
                yield from protocol.receive_snapshot(request, frame.raw.encode(), frame.recv_ns)


@pytest.fixture(scope="module", params=KNOWN, ids=str)
def played(request) -> tuple[Known, list[Frame], list[Event]]:
    known = KNOWN[request.param]
    recorded = frames(known)
    return known, recorded, list(feed(protocol_for(known, recorded), recorded))


def test_nothing_is_refused_and_no_id_is_missing(played):
    known, _, events = played
    assert [event for event in events if isinstance(event, DeadLetter)] == []
    states = [event.state for event in events if isinstance(event, StreamStatus)]
    assert StreamState.GAP not in states
    assert sum(isinstance(event, BookDelta) for event in events) == known.deltas


def test_trade_ids_are_those_of_the_file(played):
    known, _, events = played
    ids = [int(event.trade_id) for event in events if isinstance(event, Trade)]
    if known.trades is None:
        assert ids == []
    else:
        assert ids == list(range(known.trades[0], known.trades[1] + 1))


def test_the_rebuilt_top_of_book_is_the_venues_best_quote(played):
    known, recorded, events = played
    rule = binance_rule(known.market)
    books: dict[str, BookSync] = {}
    quotes: dict[str, dict[int, BestQuote]] = {}
    for event in events:
        if isinstance(event, BestQuote):
            quotes.setdefault(event.origin.symbol, {})[event.update_id] = event
    snapshots = {
        symbol: frame
        for frame in recorded
        if frame.kind == "http" and "/depth" in frame.url
        for symbol in [frame.url.partition("symbol=")[2].partition("&")[0]]
    }
    same = 0
    for event in events:
        if not isinstance(event, BookDelta):
            continue
        symbol = event.origin.symbol
        sync = books.get(symbol)
        if sync is None:
            sync = books[symbol] = BookSync(rule)
            body = json.loads(snapshots[symbol].raw)
            bids, asks = ([tuple(level) for level in body[side]] for side in ("bids", "asks"))
            sync.snapshot(body["lastUpdateId"], bids, asks)
        assert sync.apply(event) is None
        if sync.state is not SyncState.LIVE:
            continue
        quote = _quote_at(quotes.get(symbol, {}), event.last_update_id, known.by_last_quote)
        if quote is not None:
            same += 1
            assert sync.book.best_bids(1) == [(quote.bid_price, quote.bid_quantity)]
            assert sync.book.best_asks(1) == [(quote.ask_price, quote.ask_quantity)]
    assert same == known.same_quotes


def test_a_delta_left_out_is_one_gap_and_the_book_recovers():
    known = KNOWN["um-btc"]
    recorded = frames(known)
    depth = [number for number, frame in enumerate(recorded) if "@depth" in frame.raw[:60]]
    left_out = depth[len(depth) // 2]
    protocol = protocol_for(known, recorded)
    events = list(feed(protocol, recorded[:left_out] + recorded[left_out + 1 :]))
    gaps = [
        event
        for event in events
        if isinstance(event, StreamStatus) and event.state is StreamState.GAP
    ]
    before = json.loads(recorded[depth[len(depth) // 2 - 1]].raw)["data"]["u"]
    after = json.loads(recorded[depth[len(depth) // 2 + 1]].raw)["data"]["U"]
    assert [(gap.expected, gap.received) for gap in gaps] == [(before, after)]


def test_a_delta_that_comes_twice_changes_nothing():
    known = KNOWN["spot-btc"]
    recorded = frames(known)[:20_000]
    twice = [
        copy
        for frame in recorded
        for copy in ([frame, frame] if "@depth" in frame.raw[:60] else [frame])
    ]
    events = list(feed(protocol_for(known, twice), twice))
    assert StreamState.GAP not in [
        event.state for event in events if isinstance(event, StreamStatus)
    ]


def test_mutated_frames_become_events_or_dead_letters_and_never_an_exception():
    known = KNOWN["um-2021"]
    recorded = frames(known)
    protocol = protocol_for(known, recorded)
    chance = random.Random(7)
    refused = 0
    for frame in recorded * 20:
        data = bytearray(frame.raw.encode())
        for _ in range(chance.randint(1, 4)):
            match chance.randrange(3):
                case 0:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                case 1:
                    del data[chance.randrange(len(data)) :]
                    data += b"}" * chance.randrange(3)
                case _:
                    data.insert(chance.randrange(len(data) + 1), chance.choice(b'"{}[],0-eE.'))
            if not data:
                data += b" "
        for event in protocol.receive(bytes(data), frame.recv_ns):
            refused += isinstance(event, DeadLetter)
            if isinstance(event, DeadLetter):
                assert event.reason
        protocol.commands()
    assert refused > 1000


def _quote_at(quotes: dict[int, BestQuote], update_id: int, by_last: bool) -> BestQuote | None:
    """The quote of that very update, or (2021 files) the last one up to it."""
    if not by_last:
        return quotes.get(update_id)
    earlier = [number for number in quotes if number <= update_id]
    return quotes[max(earlier)] if earlier else None


def test_contracts_are_of_the_sizes_that_the_venue_lists() -> None:
    (answer,) = (
        json.loads(frame.raw)
        for frame in read_frames(CAPTURES / "binance_cm_20210722.jsonl.gz")
        if "exchangeInfo" in frame.url
    )
    sizes = {item["symbol"]: item["contractSize"] for item in answer["symbols"]}
    assert len(sizes) == 36
    assert {symbol: contract_usd(symbol) for symbol in sizes} == sizes
