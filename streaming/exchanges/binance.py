"""Binance's language on one connection, spot, um and cm.

Facts: the venue's "WebSocket Streams" pages for spot and USDⓈ-M futures. The rules here, by number:

1. Frames are those of a combined stream: {"stream": name, "data": {…}}. The name is the lower-case
   symbol, `@`, and the channel.
2. One SUBSCRIBE carries any number of streams; the server takes 5 messages a second at most, so
   every change is one message. An acknowledgement is no proof that data will come.
3. Data may come before its acknowledgement. Errors are flat {"code", "msg"} or nested {"error": …}.
4. Spot sends `serverShutdown` shortly before it closes: roll over at once.
5. A book starts from the REST snapshot (`shared.market.book_sync`); one that cannot be joined is
   fetched again, later each time, so that a storm does not end in a ban.
6. Aggregate trade ids are contiguous in every market, trade ids on spot only: on futures they jump
   without a loss (insurance fund, ADL).
7. A stream that stays silent is asked for anew; if that does not help, the connection is replaced.
"""

from collections.abc import Iterable, Iterator
from typing import Self

import msgspec
from msgspec import structs

from shared.market.events import Event, Origin, Source, StreamState
from shared.market.instruments import Exchange, Market, Subscription
from shared.market.topics import CONTROL_SYMBOL
from streaming.exchanges.amounts import require_levels
from streaming.exchanges.binance_stream import Stream
from streaming.exchanges.binance_wire import Control, DepthSnapshot
from streaming.exchanges.liveness import Remedy
from streaming.exchanges.protocol import (
    Command,
    FetchSnapshot,
    Reconnect,
    RollOver,
    SendText,
    dead_letter,
)

_STREAM_HEAD = b'{"stream":"'
_SNAPSHOT_LIMIT = 1000
_SNAPSHOT = {
    Market.SPOT: ("/api/v3/depth", 50),
    Market.UM: ("/fapi/v1/depth", 20),
    Market.CM: ("/dapi/v1/depth", 20),
}
# A snapshot is asked again after 0.5, 1, 2 … 60 s.
_FIRST_RETRY_NS = 500_000_000
_LONGEST_RETRY_NS = 60_000_000_000

# What a decoder or a check raises; JSON nested without end overruns the decoder's stack.
_REFUSED = (ValueError, RecursionError)

_control_decoder = msgspec.json.Decoder(Control)
_snapshot_decoder = msgspec.json.Decoder(DepthSnapshot)


def stream_name(subscription: Subscription) -> str:
    """Return what the venue calls a subscription: `btcusdt@depth@100ms`."""
    return f"{subscription.instrument.venue_symbol.lower()}@{subscription.channel}"


class BinanceProtocol:
    """One connection; see `streaming.exchanges.protocol.ExchangeProtocol`.

    Args:
        market: spot, um or cm.
        connection: the connection's name, kept in every event.
        subscriptions: what to ask for when it opens.
        book_levels: levels per side of a `BookSnapshot`.
    """

    def __init__(
        self,
        market: Market,
        connection: str,
        subscriptions: Iterable[Subscription],
        book_levels: int = 1000,
        source: Source = Source.BINANCE_WEBSOCKET,
    ) -> None:
        self._market = market
        self._connection = connection
        self._book_levels = book_levels
        self._source = source
        self._epoch = 0
        self._request_id = 0
        self._is_open = False
        self._waits_for_other = False
        self._pending: dict[int, list[Stream]] = {}
        self._commands: list[Command] = []
        self._streams = {stream_name(item).encode(): self._stream(item) for item in subscriptions}
        self.control_origin = self._origin(CONTROL_SYMBOL, CONTROL_SYMBOL, "control")

    @property
    def has_commands(self) -> bool:
        """Whether `commands` would return any."""
        return bool(self._commands)

    def streams(self) -> Iterator[Stream]:
        """Yield every subscription with its state."""
        yield from self._streams.values()

    def commands(self) -> list[Command]:
        """Return and forget what is wanted of the shell, in order."""
        commands, self._commands = self._commands, []
        return commands

    def open(self, now_ns: int, *, beside: bool = False, epoch: int | None = None) -> list[Event]:
        """Begin an epoch: ask for every subscription in one message (rule 2).

        `beside` another connection that still carries them, no book is fetched until `adopt`.
        """
        self._epoch = epoch or self._epoch + 1
        self._is_open = True
        self._waits_for_other = beside
        self._pending.clear()
        self.control_origin = self._origin(CONTROL_SYMBOL, CONTROL_SYMBOL, "control")
        return self._begin(self._streams.values(), now_ns)

    def adopt(self, before: Self, now_ns: int) -> list[Event]:
        """Go on where the connection beside which this one was opened ends."""
        self._waits_for_other = False
        events: list[Event] = []
        for name, stream in self._streams.items():
            other = before._streams.get(name)
            if other is not None:
                events += stream.adopt(other, now_ns)
            elif stream.life.is_proved:
                stream.wants_snapshot = stream.waiting_book is not None
            if stream.wants_snapshot:
                self._fetch(stream, now_ns)
        return events

    def joins(self, before: Self) -> bool:
        """Say whether `adopt` would leave no hole: the other has come to where this one began."""
        return all(
            name not in before._streams or stream.joins(before._streams[name])
            for name, stream in self._streams.items()
        )

    def excuse(self, now_ns: int) -> None:
        """Learn that nothing was read for a while; the silence is ours, not the streams'."""
        for stream in self._streams.values():
            stream.life.excuse(now_ns)

    def close(self, reason: str, now_ns: int, *, planned: bool = False) -> list[Event]:
        """End the epoch: every subscription is broken, or `planned` closed."""
        self._is_open = False
        self._commands.clear()
        state = StreamState.CLOSED if planned else StreamState.BROKEN
        for stream in self._streams.values():
            stream.life.end(state)
        return [stream.status(state, reason, now_ns) for stream in self._streams.values()]

    def subscribe(self, wanted: Iterable[Subscription], now_ns: int) -> list[Event]:
        """Ask for what is new and let go of what is no longer wanted; the rest goes on untouched."""
        names = {stream_name(item).encode(): item for item in wanted}
        gone = [self._streams.pop(name) for name in list(self._streams) if name not in names]
        new = {
            name: self._stream(item) for name, item in names.items() if name not in self._streams
        }
        self._streams |= new
        events: list[Event] = []
        if self._is_open:
            events += self._begin(new.values(), now_ns)
            self._request("UNSUBSCRIBE", gone)
        events += [stream.status(StreamState.CLOSED, "unsubscribed", now_ns) for stream in gone]
        return events

    def receive(self, frame: str | bytes, received_ns: int) -> list[Event]:
        """Translate one frame; never raises on what the venue sends."""
        data = frame.encode() if isinstance(frame, str) else frame
        end = data.find(b'"', len(_STREAM_HEAD))
        stream = self._streams.get(data[len(_STREAM_HEAD) : end])
        if stream is None or not data.startswith(_STREAM_HEAD):
            return self._control(data, received_ns)
        try:
            message = stream.decoder.decode(data).data
            event = stream.translate(message, stream.origin, received_ns)
        except _REFUSED as error:
            return [dead_letter(stream.origin, data, str(error), received_ns)]
        stream.life.seen(received_ns)
        if stream.is_followed:
            return [event]
        events = stream.follow(event, received_ns)
        if stream.wants_snapshot and not self._waits_for_other:
            self._fetch(stream, received_ns)
        return events

    def receive_snapshot(
        self, request: FetchSnapshot, body: bytes, received_ns: int
    ) -> list[Event]:
        """Start a book from a REST body; a book that does not wait for one ignores it."""
        stream = self._streams.get(stream_name(request.subscription).encode())
        book = None if stream is None else stream.waiting_book
        if stream is None or book is None:
            return []
        try:
            snapshot = _snapshot_decoder.decode(body)
            require_levels(snapshot.bids)
            require_levels(snapshot.asks)
        except _REFUSED as error:
            self._fetch(stream, received_ns)
            return [dead_letter(stream.origin, body, f"depth snapshot: {error}", received_ns)]
        number = snapshot.lastUpdateId
        gap = book.snapshot(number, snapshot.bids, snapshot.asks, _SNAPSHOT_LIMIT)
        if gap is not None:
            self._fetch(stream, received_ns)
            return [stream.gap(gap, f"snapshot too old: {gap.reason}", received_ns)]
        return [stream.status(StreamState.RESYNCED, f"at {number}", received_ns)]

    def snapshot_failed(self, request: FetchSnapshot, now_ns: int) -> None:
        """Ask again later, if the book still waits."""
        stream = self._streams.get(stream_name(request.subscription).encode())
        if stream is not None and stream.waiting_book is not None:
            self._fetch(stream, now_ns)

    def tick(self, now_ns: int) -> list[Event]:
        """Look at every subscription's silence, about once a second (rule 7)."""
        events: list[Event] = []
        again: list[Stream] = []
        for stream in self._streams.values() if self._is_open else ():
            state = stream.life.look(now_ns)
            if state is not None:
                events.append(stream.status(state, _why(stream, now_ns), now_ns))
            remedy = stream.life.remedy(now_ns)
            if remedy is Remedy.MOVE:
                self._commands.append(RollOver(f"{stream_name(stream.subscription)} stays silent"))
            elif remedy is Remedy.RESUBSCRIBE:
                again.append(stream)
        if again and len(again) == len(self._streams) > 1:
            self._commands.append(RollOver("every stream is silent"))
        else:
            self._request("UNSUBSCRIBE", again)
            self._request("SUBSCRIBE", again)
            events += [
                stream.status(StreamState.SUBSCRIBED, f"again: {_why(stream, now_ns)}", now_ns)
                for stream in again
            ]
        return events

    def _control(self, data: bytes, received_ns: int) -> list[Event]:
        try:
            message = _control_decoder.decode(data)
        except _REFUSED as error:
            return [dead_letter(self.control_origin, data, str(error), received_ns)]
        if message.stream == "!serverShutdown" or b'"e":"serverShutdown"' in data:
            self._commands.append(RollOver("serverShutdown", is_urgent=True))
            return []
        if message.stream is not None:
            reason = f"stream {message.stream} is not subscribed"
            return [dead_letter(self.control_origin, data, reason, received_ns)]
        asked = self._pending.pop(message.id, []) if isinstance(message.id, int) else []
        failure = message.error.msg if message.error else message.msg
        if message.error or message.code is not None:
            self._commands.append(Reconnect(f"request refused: {failure}"))
            return [dead_letter(self.control_origin, data, failure, received_ns)]
        return [
            stream.status(StreamState.ACKNOWLEDGED, "", received_ns)
            for stream in asked
            if stream.life.acknowledge()
        ]

    def _request(self, method: str, streams: list[Stream]) -> None:
        if not streams:
            return
        self._request_id += 1
        if method == "SUBSCRIBE":
            self._pending[self._request_id] = streams
        names = [stream_name(stream.subscription) for stream in streams]
        text = msgspec.json.encode({"method": method, "params": names, "id": self._request_id})
        self._commands.append(SendText(text.decode()))

    def _fetch(self, stream: Stream, now_ns: int) -> None:
        path, weight = _SNAPSHOT[self._market]
        symbol = stream.subscription.instrument.venue_symbol
        wait = 0
        if stream.attempts:
            wait = min(_FIRST_RETRY_NS << min(stream.attempts - 1, 16), _LONGEST_RETRY_NS)
        stream.attempts += 1
        stream.wants_snapshot = False
        self._commands.append(
            FetchSnapshot(
                stream.subscription,
                f"{path}?symbol={symbol}&limit={_SNAPSHOT_LIMIT}",
                weight,
                now_ns + wait,
            )
        )

    def _stream(self, subscription: Subscription) -> Stream:
        instrument, channel = subscription.instrument, subscription.channel
        origin = self._origin(instrument.symbol, instrument.venue_symbol, channel)
        return Stream(subscription, self._market, self._book_levels, origin)

    def _begin(self, streams: Iterable[Stream], now_ns: int) -> list[Event]:
        begun = list(streams)
        for stream in begun:
            stream.begin(structs.replace(stream.origin, epoch=self._epoch), now_ns)
        self._request("SUBSCRIBE", begun)
        return [stream.status(StreamState.SUBSCRIBED, "", now_ns) for stream in begun]

    def _origin(self, symbol: str, venue_symbol: str, channel: str) -> Origin:
        return Origin(
            exchange=Exchange.BINANCE,
            market=self._market,
            symbol=symbol,
            venue_symbol=venue_symbol,
            channel=channel,
            source=self._source,
            connection=self._connection,
            epoch=self._epoch,
        )


def _why(stream: Stream, now_ns: int) -> str:
    """Say how long a stream is silent, beside what is usual for it."""
    silence, usual = now_ns - stream.life.seen_ns, stream.life.usual_ns(now_ns)
    if not stream.life.first_ns:
        return f"no data for {silence / 1e9:.1f} s"
    return f"silent for {silence / 1e9:.1f} s, usually at most {usual / 1e9:.1f} s"
