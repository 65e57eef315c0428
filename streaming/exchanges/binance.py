"""Binance's language on one connection, spot and um.

Facts: the venue's "WebSocket Streams" pages for spot and USDⓈ-M futures. The rules here, by number:

1. Frames are those of a combined stream: {"stream": name, "data": {…}}. The name is the lower-case
   symbol, `@`, and the channel.
2. One SUBSCRIBE carries any number of streams; the server takes 5 messages a second at most, so
   every change is one message. An acknowledgement is no proof that data will come.
3. Data may come before its acknowledgement. Errors are flat {"code", "msg"} or nested {"error": …}.
4. Spot sends `serverShutdown` shortly before it closes: reconnect at once.
5. A book starts from the REST snapshot (`shared.market.book_sync`); one that cannot be joined is
   fetched again, later each time, so that a storm does not end in a ban.
6. Aggregate trade ids are contiguous in every market, trade ids on spot only: on futures they jump
   without a loss (insurance fund, ADL).
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from shared.market.book_sync import BookSync, FuturesRule, Gap, SpotRule, SyncState
from shared.market.events import (
    BookDelta,
    BookSnapshot,
    Event,
    Origin,
    Source,
    StreamState,
    StreamStatus,
)
from shared.market.instruments import Exchange, Market, Subscription
from shared.market.topics import CONTROL_SYMBOL
from streaming.exchanges.amounts import exact, reader, require_levels
from streaming.exchanges.binance_events import channel_kind, translator
from streaming.exchanges.binance_wire import Control, DepthSnapshot
from streaming.exchanges.protocol import (
    Command,
    FetchSnapshot,
    Reconnect,
    SendText,
    dead_letter,
)

_MINUTE_US = 60_000_000
_STREAM_HEAD = b'{"stream":"'
_SNAPSHOT_LIMIT = 1000
_SNAPSHOT = {Market.SPOT: ("/api/v3/depth", 50), Market.UM: ("/fapi/v1/depth", 20)}
# A snapshot is asked again after 0.5, 1, 2 … 60 s.
_FIRST_RETRY_NS = 500_000_000
_LONGEST_RETRY_NS = 60_000_000_000

_control_decoder = msgspec.json.Decoder(Control)
_snapshot_decoder = msgspec.json.Decoder(DepthSnapshot)


class _Stream:
    """One subscription's decoder and what it has seen in this epoch."""

    __slots__ = (
        "attempts",
        "counts_ids",
        "decoder",
        "is_live",
        "last_id",
        "minute",
        "origin",
        "subscription",
        "sync",
        "translate",
    )

    def __init__(self, subscription: Subscription, market: Market) -> None:
        kind = channel_kind(subscription.channel)
        self.subscription = subscription
        self.decoder, self.translate = translator(subscription.channel)
        self.counts_ids = kind == "aggTrade" or (kind == "trade" and market is Market.SPOT)
        rule = SpotRule() if market is Market.SPOT else FuturesRule()
        self.sync = BookSync(rule) if kind == "depth" else None
        self.last_id: int | None = None
        self.is_live = False

    def begin(self, origin: Origin) -> None:
        """Start an epoch; the last trade id stays, to name what a reconnect missed."""
        self.origin = origin
        self.is_live = False
        self.attempts = 0
        self.minute = -1
        if self.sync is not None:
            self.sync.reset()


def stream_name(subscription: Subscription) -> str:
    """Return what the venue calls a subscription: `btcusdt@depth@100ms`."""
    return f"{subscription.instrument.venue_symbol.lower()}@{subscription.channel}"


class BinanceProtocol:
    """One connection; see `streaming.exchanges.protocol.ExchangeProtocol`.

    Args:
        market: spot or um.
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
        self._pending: dict[int, list[_Stream]] = {}
        self._commands: list[Command] = []
        self._streams = {
            stream_name(item).encode(): _Stream(item, market) for item in subscriptions
        }
        self.control_origin = self._origin(CONTROL_SYMBOL, CONTROL_SYMBOL, "control")

    @property
    def has_commands(self) -> bool:
        """Whether `commands` would return any."""
        return bool(self._commands)

    def silent(self) -> list[Subscription]:
        """Return the subscriptions that have had no data in this epoch."""
        return [stream.subscription for stream in self._streams.values() if not stream.is_live]

    def commands(self) -> list[Command]:
        """Return and forget what is wanted of the shell, in order."""
        commands, self._commands = self._commands, []
        return commands

    def open(self, now_ns: int) -> list[Event]:  # noqa: ARG002 - other venues' protocols need it
        """Begin an epoch: ask for every subscription in one message (rule 2)."""
        self._epoch += 1
        self._is_open = True
        self._pending.clear()
        self.control_origin = self._origin(CONTROL_SYMBOL, CONTROL_SYMBOL, "control")
        for stream in self._streams.values():
            self._begin(stream)
        self._request("SUBSCRIBE", list(self._streams.values()))
        return []

    def close(self, reason: str, now_ns: int) -> list[Event]:
        """End the epoch: every subscription is broken."""
        self._is_open = False
        self._commands.clear()
        return [
            self._status(stream, StreamState.BROKEN, reason, now_ns)
            for stream in self._streams.values()
        ]

    def subscribe(self, wanted: Iterable[Subscription], now_ns: int) -> list[Event]:
        """Ask for what is new and let go of what is no longer wanted; the rest goes on untouched."""
        names = {stream_name(item).encode(): item for item in wanted}
        gone = [self._streams.pop(name) for name in list(self._streams) if name not in names]
        new = {
            name: _Stream(item, self._market)
            for name, item in names.items()
            if name not in self._streams
        }
        self._streams |= new
        if self._is_open:
            for stream in new.values():
                self._begin(stream)
            self._request("SUBSCRIBE", list(new.values()))
            self._request("UNSUBSCRIBE", gone)
        return [self._status(stream, StreamState.CLOSED, "unsubscribed", now_ns) for stream in gone]

    def receive(self, frame: str | bytes, received_ns: int) -> list[Event]:
        """Translate one frame; never raises on what the venue sends."""
        data = frame.encode() if isinstance(frame, str) else frame
        end = data.find(b'"', len(_STREAM_HEAD))
        stream = self._streams.get(data[len(_STREAM_HEAD) : end])
        if stream is None or not data.startswith(_STREAM_HEAD):
            return self._control(data, received_ns)
        try:
            message = stream.decoder.decode(data).data
            event = stream.translate(message, stream.origin, received_ns, reader(data))
        except ValueError as error:
            return [dead_letter(stream.origin, data, str(error), received_ns)]
        if stream.is_live and stream.sync is None and not stream.counts_ids:
            return [event]
        return self._followed(stream, event, received_ns)

    def receive_snapshot(
        self, request: FetchSnapshot, body: bytes, received_ns: int
    ) -> list[Event]:
        """Start a book from a REST body; a book that does not wait for one ignores it."""
        stream = self._streams.get(stream_name(request.subscription).encode())
        if stream is None or stream.sync is None or stream.sync.state is not SyncState.WAITING:
            return []
        try:
            snapshot = _snapshot_decoder.decode(body)
            require_levels(snapshot.bids, exact)
            require_levels(snapshot.asks, exact)
        except ValueError as error:
            self._fetch(stream, received_ns)
            return [dead_letter(stream.origin, body, f"depth snapshot: {error}", received_ns)]
        gap = stream.sync.snapshot(snapshot.lastUpdateId, snapshot.bids, snapshot.asks)
        if gap is not None:
            self._fetch(stream, received_ns)
            return [self._gap(stream, gap, f"snapshot too old: {gap.reason}", received_ns)]
        return [
            self._status(stream, StreamState.RESYNCED, f"at {snapshot.lastUpdateId}", received_ns)
        ]

    def snapshot_failed(self, request: FetchSnapshot, now_ns: int) -> None:
        """Ask again later, if the book still waits."""
        stream = self._streams.get(stream_name(request.subscription).encode())
        if stream is not None and stream.sync and stream.sync.state is SyncState.WAITING:
            self._fetch(stream, now_ns)

    def _followed(self, stream: _Stream, event: Any, received_ns: int) -> list[Event]:
        """Add what the event's place in its stream calls for: first data, gap, snapshot."""
        events: list[Event] = [event]
        if not stream.is_live:
            stream.is_live = True
            events.append(self._status(stream, StreamState.FIRST_DATA, "", received_ns))
            if stream.sync is not None:
                self._fetch(stream, received_ns)
        if stream.counts_ids:
            number, last = int(event.trade_id), stream.last_id
            if last is not None and number > last + 1:
                gap = Gap(last + 1, number, "trade ids")
                events.append(self._gap(stream, gap, gap.reason, received_ns))
            stream.last_id = number
        elif stream.sync is not None:
            events += self._book(stream, stream.sync, event, received_ns)
        return events

    def _book(
        self, stream: _Stream, sync: BookSync, delta: BookDelta, received_ns: int
    ) -> list[Event]:
        gap = sync.apply(delta)
        if gap is not None:
            stream.minute = -1
            self._fetch(stream, received_ns)
            return [self._gap(stream, gap, gap.reason, received_ns)]
        if sync.state is not SyncState.LIVE or delta.event_time is None:
            return []
        minute = delta.event_time // _MINUTE_US
        if minute == stream.minute or sync.last_update_id != delta.last_update_id:
            return []
        stream.minute = minute
        stream.attempts = 0
        return [
            BookSnapshot(
                origin=stream.origin,
                received_ns=received_ns,
                event_time=delta.event_time,
                last_update_id=sync.last_update_id,
                bids=sync.book.best_bids(self._book_levels),
                asks=sync.book.best_asks(self._book_levels),
            )
        ]

    def _control(self, data: bytes, received_ns: int) -> list[Event]:
        try:
            message = _control_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return [dead_letter(self.control_origin, data, str(error), received_ns)]
        if message.stream == "!serverShutdown" or b'"e":"serverShutdown"' in data:
            self._commands.append(Reconnect("serverShutdown"))
            return []
        if message.stream is not None:
            reason = f"stream {message.stream} is not subscribed"
            return [dead_letter(self.control_origin, data, reason, received_ns)]
        asked = self._pending.pop(message.id, []) if isinstance(message.id, int) else []
        failure = message.error.msg if message.error else message.msg
        if message.error or message.code is not None:
            self._commands.append(Reconnect(f"request refused: {failure}"))
            return [dead_letter(self.control_origin, data, failure, received_ns)]
        return [self._status(item, StreamState.SUBSCRIBED, "", received_ns) for item in asked]

    def _request(self, method: str, streams: list[_Stream]) -> None:
        if not streams:
            return
        self._request_id += 1
        if method == "SUBSCRIBE":
            self._pending[self._request_id] = streams
        names = [stream_name(stream.subscription) for stream in streams]
        text = msgspec.json.encode({"method": method, "params": names, "id": self._request_id})
        self._commands.append(SendText(text.decode()))

    def _fetch(self, stream: _Stream, now_ns: int) -> None:
        path, weight = _SNAPSHOT[self._market]
        symbol = stream.subscription.instrument.venue_symbol
        wait = 0
        if stream.attempts:
            wait = min(_FIRST_RETRY_NS << min(stream.attempts - 1, 16), _LONGEST_RETRY_NS)
        stream.attempts += 1
        self._commands.append(
            FetchSnapshot(
                stream.subscription,
                f"{path}?symbol={symbol}&limit={_SNAPSHOT_LIMIT}",
                weight,
                now_ns + wait,
            )
        )

    def _begin(self, stream: _Stream) -> None:
        instrument = stream.subscription.instrument
        stream.begin(
            self._origin(instrument.symbol, instrument.venue_symbol, stream.subscription.channel)
        )

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

    def _status(
        self, stream: _Stream, state: StreamState, reason: str, now_ns: int
    ) -> StreamStatus:
        return StreamStatus(
            origin=stream.origin, received_ns=now_ns, event_time=None, state=state, reason=reason
        )

    def _gap(self, stream: _Stream, gap: Gap, reason: str, now_ns: int) -> StreamStatus:
        return StreamStatus(
            origin=stream.origin,
            received_ns=now_ns,
            event_time=None,
            state=StreamState.GAP,
            reason=reason,
            expected=gap.expected,
            received=gap.received,
        )
