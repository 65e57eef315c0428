"""Plays recordings to whoever subscribed their streams, in recorded order, byte for byte.

The player starts once every recorded stream has a subscriber. It stands still where the recording
holds a book snapshot until that has been asked for (30 s at most), since the deltas after it join it.
A snapshot asked for later is the recorded one with the recorded deltas applied up to the present.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from mock_exchange.archive_files import DayFile
from mock_exchange.paging import aggregates_page
from mock_exchange.played_trades import PlayedTrades
from mock_exchange.recordings import contents, frames, snapshot_symbol, stream_of
from mock_exchange.server import MockServer
from mock_exchange.trade_memory import KEPT_TRADES, Page
from mock_exchange.truth import Ids, ids_of_trade
from mock_exchange.venue import RestError, invalid_symbol
from shared.clock import Clock
from shared.market.book_sync import BookSync, SyncState, binance_rule
from shared.market.events import BookDelta, Origin, PriceLevel, Source
from shared.market.instruments import Exchange, Market, contract_usd
from shared.market.recording import Frame, FrameKind, market_of

_YIELD_EVERY = 256
# So long the play waits for a snapshot to be asked for; a reader that has its book asks for none.
_PATIENCE_S = 30
_SNAPSHOT_LEVELS = 1000
_BookKey = tuple[Market, str]


class _Snapshot(msgspec.Struct):
    lastUpdateId: int  # noqa: N815 - the venue's name
    bids: list[PriceLevel]
    asks: list[PriceLevel]


class _Delta(msgspec.Struct):
    U: int
    u: int
    b: list[PriceLevel]
    a: list[PriceLevel]
    pu: int | None = None


class _Combined(msgspec.Struct):
    data: _Delta


class Player:
    """One pass over the recordings, or several with `rewind`.

    Args:
        paths: recordings, of one market and symbol or of many.
        server: where the subscribers are.
        clock: paces the play.
        speed: 1 for the recorded pace, 10 for ten times it, None for as fast as it is taken.
        rewind: begin again when subscribers come back after a loss, for tests that kill them;
            otherwise what was sent while nobody listened is gone, as at a venue.
        kept_trades: how many of the latest aggregate trades of each symbol REST can tell.
    """

    def __init__(
        self,
        paths: list[Path],
        server: MockServer,
        clock: Clock,
        speed: float | None = None,
        rewind: bool = False,
        kept_trades: int = KEPT_TRADES,
    ) -> None:
        self._paths = paths
        self._server = server
        self._clock = clock
        self._speed = speed
        self._rewind = rewind
        self._kept_trades = kept_trades
        self._contents = contents(paths)
        self._changed = asyncio.Event()
        self._sent = 0
        self._passes = 0
        self._finished = False
        self._lost = False
        self._connections = 0
        self._asked: set[_BookKey] = set()
        self._recorded: dict[_BookKey, bytes] = {}
        self._books: dict[_BookKey, BookSync] = {}
        self._played: dict[_BookKey, PlayedTrades] = {}

    def subscriptions_changed(self) -> None:
        """Look again whether every stream is subscribed; a reader is lost with its connection."""
        connections = len(self._server.clients)
        has_left = connections < self._connections
        self._connections = connections
        self._lost = self._lost or (has_left and not self._is_subscribed())
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Say how far the recording has been played."""
        return {
            "mode": "play",
            "frames_total": self._contents.frames,
            "frames_sent": self._sent,
            "passes": self._passes,
            "finished": self._finished,
        }

    async def rest(self, market: Market, call: str, query: Mapping[str, str]) -> bytes:
        """Answer what a recording can tell: the books, and the aggregate trades played so far."""
        match call:
            case "ping":
                return b"{}"
            case "time":
                now_ms = self._clock.now_ns() // 1_000_000 + self._server.faults.skew_ms(market)
                return msgspec.json.encode({"serverTime": now_ms})
            case "exchangeInfo":
                return self._exchange_info(market)
            case "depth":
                return await self._snapshot((market, query.get("symbol", "")))
            case "aggTrades":
                page = aggregates_page(market, query)
                return self._played_of(market, query.get("symbol", "")).rows(page)
            case _:
                raise RestError(404, -1000, f"{call} is not in the recording")

    def old_snapshot(self, market: Market, symbol: str) -> bytes:
        """Return the latest recorded snapshot that the play has reached, without later deltas."""
        return self._recorded[market, symbol]

    def archived(self, file: DayFile) -> list[Any]:
        """Return the aggregate trades of a day that were played so far."""
        played = self._played.get((file.market, file.symbol))
        if played is None or file.kind != "aggTrades":
            return []
        begin_ms, end_ms = file.span_ms
        page = Page(sys.maxsize, start_ms=begin_ms, end_ms=end_ms - 1)
        rows: list[Any] = msgspec.json.decode(played.rows(page))
        return rows

    async def run(self) -> None:
        """Play once, and again whenever the subscribers come back if `rewind`."""
        while True:
            while not self._is_subscribed():
                await self._change()
            self._lost = self._finished = False
            self._passes += 1
            await self._play()
            self._finished = not self._is_cut
            while not self._is_cut:
                await self._change()

    @property
    def _is_cut(self) -> bool:
        return self._rewind and self._lost

    def _is_subscribed(self) -> bool:
        return all(
            any(self._server.clients_of(market, stream))
            for market, streams in self._contents.streams.items()
            for stream in streams
        )

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _play(self) -> None:
        self._sent = 0
        for state in (self._asked, self._recorded, self._books, self._played):
            state.clear()
        start_ns, first_ns = self._clock.now_ns(), None
        for frame in frames(self._paths):
            if self._is_cut:
                return
            first_ns = first_ns or frame.recv_ns
            if self._speed is not None:
                due_ns = start_ns + (frame.recv_ns - first_ns) / self._speed
                await asyncio.sleep(max(0.0, (due_ns - self._clock.now_ns()) / 1e9))
            if frame.kind is FrameKind.HTTP:
                await self._reach_snapshot(frame)
            else:
                await self._send(frame)

    async def _send(self, frame: Frame) -> None:
        stream = stream_of(frame)
        if stream is None:
            return
        market = market_of(frame)
        while (
            self._speed is None and not self._rewind and not self._is_subscribed_to(market, stream)
        ):
            await self._change()
        ids = self._note(market, stream, frame)
        for client in list(self._server.clients_of(market, stream)):
            try:
                await client.send(stream, frame.raw, ids)
            except ConnectionError:
                self._lost = True
        self._sent += 1
        if self._sent % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    def _note(self, market: Market, stream: str, frame: Frame) -> Ids | None:
        """Keep what REST and `GET /truth` tell of a frame; return its ids."""
        symbol, _, channel = stream.partition("@")
        key = (market, symbol.upper())
        if channel.startswith("depth"):
            delta = _delta(frame)
            self._book(key).apply(delta)
            ids: Ids | None = (
                delta.first_update_id,
                delta.last_update_id,
                delta.previous_update_id,
            )
        else:
            ids = ids_of_trade(channel, frame.raw)
            if ids is not None and channel == "aggTrade":
                self._played.setdefault(key, PlayedTrades(self._kept_trades)).add(ids[0], frame.raw)
        self._server.truth.venue(market, stream).add(ids)
        return ids

    def _played_of(self, market: Market, symbol: str) -> PlayedTrades:
        if f"{symbol.lower()}@aggTrade" not in self._contents.streams.get(market, ()):
            raise invalid_symbol()
        return self._played.get((market, symbol), PlayedTrades(self._kept_trades))

    def _is_subscribed_to(self, market: Market, stream: str) -> bool:
        return any(self._server.clients_of(market, stream))

    async def _reach_snapshot(self, frame: Frame) -> None:
        symbol = snapshot_symbol(frame)
        if symbol is None:
            return
        key = (market_of(frame), symbol)
        body = frame.raw.encode()
        snapshot = msgspec.json.decode(body, type=_Snapshot)
        self._book(key).snapshot(snapshot.lastUpdateId, snapshot.bids, snapshot.asks)
        self._recorded[key] = body
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while key not in self._asked and not self._lost:
                    await self._change()

    async def _snapshot(self, key: _BookKey) -> bytes:
        if key not in self._contents.snapshots:
            raise invalid_symbol()
        is_first = key not in self._asked
        self._asked.add(key)
        self._changed.set()
        while key not in self._recorded:
            await self._change()
        if is_first:
            return self._recorded[key]
        sync = self._book(key)
        sync.check()
        if sync.state is SyncState.WAITING:
            raise RestError(503, -1001, "the recording has a gap here")
        return msgspec.json.encode(
            _Snapshot(
                sync.last_update_id,
                sync.book.best_bids(_SNAPSHOT_LEVELS),
                sync.book.best_asks(_SNAPSHOT_LEVELS),
            )
        )

    def _book(self, key: _BookKey) -> BookSync:
        return self._books.setdefault(key, BookSync(binance_rule(key[0])))

    def _exchange_info(self, market: Market) -> bytes:
        streams = self._contents.streams.get(market, frozenset())
        symbols = sorted({stream.partition("@")[0].upper() for stream in streams})
        listed = [
            {"symbol": name, "status": "TRADING"}
            | ({"contractSize": contract_usd(name)} if market is Market.CM else {})
            for name in symbols
        ]
        return msgspec.json.encode({"timezone": "UTC", "symbols": listed})


_ANY_ORIGIN = Origin(Exchange.BINANCE, Market.SPOT, "-", "-", "depth", Source.REPLAY, "player", 0)
_delta_decoder = msgspec.json.Decoder(_Combined)


def _delta(frame: Frame) -> BookDelta:
    data = _delta_decoder.decode(frame.raw).data
    return BookDelta(
        origin=_ANY_ORIGIN,
        received_ns=frame.recv_ns,
        event_time=None,
        first_update_id=data.U,
        last_update_id=data.u,
        previous_update_id=data.pu,
        bids=data.b,
        asks=data.a,
    )
