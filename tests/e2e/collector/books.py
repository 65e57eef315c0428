"""Claim: a book that is published is the venue's book, and a fault in one disturbs no other.

Generated deltas of a hundred books go through the venue's protocol, fifty on spot and fifty on um,
with seeded faults: lost, repeated, reordered and crossing deltas, and snapshots that are too old. An
oracle keeps the true books in plain dicts; every published snapshot must equal it level by level.
"""

import random
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import msgspec

from shared.market.events import BookDelta, BookSnapshot, Event, StreamState, StreamStatus
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.exchanges.binance import BinanceProtocol, stream_name
from streaming.exchanges.protocol import FetchSnapshot
from tests.e2e.collector.verdict import Verdict, main

KINDS = ("skip", "repeat", "reorder", "old snapshot", "cross")
CHANNEL = "depth@100ms"
LEVELS = 120
# Between two deltas of one book, so that many of them begin a minute and publish a snapshot.
STEP_MS = 25_000
_REMEMBERED = 12
# A snapshot is answered when so many deltas of its book have gone by, and an old one is so old.
_ANSWER_AFTER = (1, 6)
_OLD_BY = 8

Levels = dict[int, int]


class Oracle:
    """One true book: prices in ticks, quantities in lots, and how it stood after the latest ids."""

    def __init__(self, symbol: str, market: Market, generator: random.Random) -> None:
        self.symbol = symbol
        self.market = market
        self._random = generator
        self._middle = 10_000
        self.last_id = generator.randrange(10**9, 10**10)
        self.bids = {self._middle - away: self._lots() for away in range(1, LEVELS)}
        self.asks = {self._middle + away: self._lots() for away in range(1, LEVELS)}
        self.stood: deque[tuple[int, Levels, Levels]] = deque(maxlen=_REMEMBERED)
        self._remember()

    def _lots(self) -> int:
        return self._random.randrange(1, 10**6)

    def _remember(self) -> None:
        self.stood.append((self.last_id, self.bids.copy(), self.asks.copy()))

    def advance(self, time_ms: int, jump: int) -> bytes:
        """Change some levels; return the frame that tells it. Ids jump by `jump` on um."""
        generator = self._random
        self._middle += generator.choice((-1, 0, 0, 0, 1))
        changed: dict[bool, Levels] = {True: {}, False: {}}
        for is_bid, side in ((True, self.bids), (False, self.asks)):
            sign = -1 if is_bid else 1
            for ticks in [item for item in side if (item - self._middle) * sign <= 0]:
                changed[is_bid][ticks] = 0
            for _ in range(generator.randrange(4)):
                ticks = self._middle + sign * generator.randrange(1, LEVELS)
                changed[is_bid][ticks] = 0 if generator.random() < 0.2 else self._lots()
            for ticks, lots in changed[is_bid].items():
                if lots:
                    side[ticks] = lots
                else:
                    side.pop(ticks, None)
        before, first = self.last_id, self.last_id + 1 + jump
        self.last_id = first + generator.randrange(5)
        self._remember()
        return self._frame(time_ms, first, before, changed)

    def crossing(self, frame: bytes) -> bytes:
        """Return a delta's frame with a bid above every ask."""
        document = msgspec.json.decode(frame)
        document["data"]["b"].append([_price(max(self.asks) + 5), "1.000"])
        return msgspec.json.encode(document)

    def snapshot(self, back: int = 0) -> bytes:
        """Return the REST body of the book as it stands, or `back` deltas ago."""
        number, bids, asks = self.stood[max(0, len(self.stood) - 1 - back)]
        body = {"lastUpdateId": number, "bids": ordered(bids, -1), "asks": ordered(asks, 1)}
        return msgspec.json.encode(body)

    def equals(self, event: BookSnapshot) -> bool:
        """Say whether a published snapshot is the book after that id."""
        for number, bids, asks in self.stood:
            if number == event.last_update_id:
                return event.bids == ordered(bids, -1) and event.asks == ordered(asks, 1)
        return False

    def _frame(self, time_ms: int, first: int, before: int, changed: dict[bool, Levels]) -> bytes:
        data: dict[str, Any] = {"e": "depthUpdate", "E": time_ms, "s": self.symbol}
        data |= {"U": first, "u": self.last_id}
        if self.market is Market.UM:
            data |= {"T": time_ms, "pu": before}
        for name, is_bid in (("b", True), ("a", False)):
            data[name] = [(_price(item), _size(lots)) for item, lots in changed[is_bid].items()]
        name = f"{self.symbol.lower()}@{CHANNEL}"
        return msgspec.json.encode({"stream": name, "data": data})


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02}"


def _size(lots: int) -> str:
    return f"{lots // 1000}.{lots % 1000:03}"


def ordered(side: Levels, sign: int) -> list[tuple[str, str]]:
    """Return a side's levels best first, as the venue writes them."""
    return [(_price(item), _size(side[item])) for item in sorted(side, key=lambda t: sign * t)]


class Bench:
    """One book on the bench: its oracle, the fault it has, and the snapshot it waits for."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.fault: str | None = None
        self.is_live = False
        self.held: bytes | None = None
        self.wants_old = False
        self.answer_in = 0
        self.request: FetchSnapshot | None = None
        self.deltas_out = 0


class Trial:
    """All books of one market through one protocol; counts what happened, and what must not."""

    def __init__(self, market: Market, books: int, generator: random.Random) -> None:
        self._random = generator
        self._market = market
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.benches: dict[str, Bench] = {}
        subscriptions = []
        for number in range(books):
            symbol = f"BOOK{number:03}"
            self.benches[symbol] = Bench(Oracle(symbol, market, generator))
            instrument = Instrument(Exchange.BINANCE, market, symbol, symbol)
            subscriptions.append(Subscription(instrument, CHANNEL))
        self._protocol = BinanceProtocol(market, "books", subscriptions)
        self._streams = {stream_name(item): item for item in subscriptions}
        self._protocol.open(1)
        self._protocol.commands()

    @property
    def resyncing(self) -> int:
        """How many books wait for a snapshot."""
        return sum(not bench.is_live for bench in self.benches.values())

    def run(self, deltas: int, planned: list[str]) -> None:
        """Send so many deltas, with these faults at random places; then let all books recover."""
        places = set(self._random.sample(range(deltas // 50, deltas - deltas // 20), len(planned)))
        waiting = deque(planned)
        due = 0
        names = list(self.benches)
        time_ms = 1_700_000_000_000
        for number in range(deltas):
            due += number in places
            bench = self.benches[self._random.choice(names)]
            time_ms += STEP_MS // len(names)
            fault = None
            if due and bench.is_live and bench.fault is None and bench.held is None:
                due -= 1
                fault = waiting.popleft()
            self._advance(bench, time_ms, fault)
        for bench in self.benches.values():
            while not bench.is_live:
                time_ms += 1
                self._advance(bench, time_ms, None)
                bench.answer_in = min(bench.answer_in, 1)
        if waiting:
            self.faults.append(f"{len(waiting)} faults found no book")

    def _advance(self, bench: Bench, time_ms: int, fault: str | None) -> None:
        jump = self._random.randrange(1, 50) if self._market is Market.UM else 0
        frame = bench.oracle.advance(time_ms, jump)
        self.counts["deltas"] += 1
        if fault is not None:
            self.counts[f"planted {fault}"] += 1
        for item in self._delivered(bench, frame, fault):
            self._deliver(bench, item, time_ms)
        self._answer(bench, time_ms)

    def _delivered(self, bench: Bench, frame: bytes, fault: str | None) -> Iterator[bytes]:
        """Yield what arrives in place of one delta."""
        held, bench.held = bench.held, None
        if fault in {"skip", "old snapshot"}:
            bench.fault, bench.wants_old = fault, fault == "old snapshot"
        elif fault == "reorder":
            bench.fault, bench.held = fault, frame
        elif fault == "cross":
            bench.fault = fault
            yield bench.oracle.crossing(frame)
        else:
            yield frame
        if fault == "repeat":
            self.counts["harmless by rule: repeat"] += 1
            yield frame
        if held is not None:
            yield held

    def _deliver(self, bench: Bench, frame: bytes, time_ms: int) -> None:
        events = self._protocol.receive(frame, time_ms * 10**6)
        if not events or not isinstance(events[0], BookDelta):
            self.faults.append(f"no delta came out of {frame[:80]!r}")
        bench.deltas_out += 1
        if bench.is_live and self.resyncing:
            self.counts["deltas of other books while one resyncs"] += 1
        self._take(bench, events)

    def _take(self, bench: Bench, events: list[Event]) -> None:
        for event in events:
            if event.origin.symbol != bench.oracle.symbol:
                self.faults.append(f"{event.origin.symbol} answers for {bench.oracle.symbol}")
            if isinstance(event, BookSnapshot):
                self._judge(bench, event)
            elif isinstance(event, StreamStatus):
                self._note(bench, event)
        for command in self._protocol.commands():
            if isinstance(command, FetchSnapshot):
                bench.request = command
                bench.answer_in = self._random.randrange(*_ANSWER_AFTER)

    def _judge(self, bench: Bench, event: BookSnapshot) -> None:
        self.counts["snapshots published"] += 1
        if self.resyncing:
            self.counts["snapshots of other books while one resyncs"] += 1
        if not bench.oracle.equals(event):
            self.faults.append(f"{bench.oracle.symbol} at {event.last_update_id} is not the truth")

    def _note(self, bench: Bench, event: StreamStatus) -> None:
        if event.state is StreamState.RESYNCED:
            bench.is_live = True
            if bench.fault is not None:
                self.counts[f"recovered {bench.fault}"] += 1
            bench.fault, bench.wants_old = None, False
        elif event.state is StreamState.GAP:
            self._note_gap(bench, event)

    def _note_gap(self, bench: Bench, event: StreamStatus) -> None:
        is_old = event.reason.startswith("snapshot too old")
        if is_old:
            self.counts["snapshots refused as too old"] += 1
        if bench.fault is None and bench.deltas_out > _REMEMBERED and not is_old:
            self.faults.append(f"{bench.oracle.symbol}: a gap without a fault: {event.reason}")
        if bench.is_live and bench.fault is not None:
            self.counts[f"detected {bench.fault}"] += 1
            is_cross = event.reason == "crossed book"
            if is_cross is not (bench.fault == "cross"):
                self.faults.append(f"{bench.fault} is told as {event.reason}")
        bench.is_live = False

    def _answer(self, bench: Bench, time_ms: int) -> None:
        """Let the snapshot come that the book waits for, when its time is there."""
        if bench.request is None:
            return
        bench.answer_in -= 1
        if bench.answer_in > 0:
            return
        request, bench.request = bench.request, None
        is_old, bench.wants_old = bench.wants_old, False
        if is_old:
            self.counts["old snapshots served"] += 1
        body = bench.oracle.snapshot(_OLD_BY if is_old else 0)
        self._take(bench, self._protocol.receive_snapshot(request, body, time_ms * 10**6))


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Send 1,000,000 deltas with 1,000 faults (full), or 30,000 with 30."""
    deltas, faults = (1_000_000, 1_000) if full else (30_000, 30)
    verdict = Verdict(f"books: {deltas:,} deltas over 100 books with {faults:,} faults")
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for market in (Market.SPOT, Market.UM):
        generator = random.Random(f"{seed}:{market}")
        planned = [KINDS[number % len(KINDS)] for number in range(faults // 2)]
        generator.shuffle(planned)
        trial = Trial(market, 50, generator)
        trial.run(deltas // 2, planned)
        counts += trial.counts
        wrong += trial.faults
    judge(verdict, counts, wrong, deltas, faults)
    return verdict


def judge(
    verdict: Verdict, counts: Counter[str], wrong: list[str], deltas: int, faults: int
) -> None:
    """Add the figures of a run: every fault planted, found and recovered from, nothing else wrong."""
    verdict.at_least("deltas", counts["deltas"], deltas)
    verdict.equals("faults planted", sum(counts[f"planted {kind}"] for kind in KINDS), faults)
    for kind in KINDS:
        if kind == "repeat":
            verdict.note("repeat: planted, no gap and no change", counts["planted repeat"])
            continue
        planted = counts[f"planted {kind}"]
        verdict.equals(f"{kind}: named by a gap", counts[f"detected {kind}"], planted)
        verdict.equals(f"{kind}: resynced", counts[f"recovered {kind}"], planted)
    verdict.equals(
        "old snapshots served", counts["old snapshots served"], counts["planted old snapshot"]
    )
    verdict.at_least(
        "snapshots refused as too old",
        counts["snapshots refused as too old"],
        counts["planted old snapshot"],
    )
    verdict.at_least("snapshots published", counts["snapshots published"], deltas // 10)
    for name in ("deltas", "snapshots"):
        key = f"{name} of other books while one resyncs"
        verdict.at_least(f"{name} of other books while one resyncs", counts[key], faults)
    for text in wrong[:10]:
        verdict.note("WRONG", text)
    verdict.equals("snapshots, gaps or events that are wrong", len(wrong), 0)


if __name__ == "__main__":
    main(prove, __doc__)
