"""Day files of Binance's public archive: where a file lies, and what its lines say. Pure.

Facts: the venue's "binance-public-data" pages. The rules here, by number:

1. A day's file lies at `/data/{spot|futures/um|futures/cm}/daily/{aggTrades|trades|klines}/SYMBOL`,
   for klines in a folder of the interval; beside each zip there is a `.CHECKSUM`: sha256, then the name.
2. Columns stand in a fixed order. Futures files have a line of names from about 2022 on, spot files none.
3. Times are ms; on spot µs in files from 2025 on. Each value is told by its size.
4. A row has the time of the trade but no time of sending, so `event_time` is None.
5. Aggregate ids count up by one everywhere, trade ids on spot only; candles follow one another.
6. Aggregates that the venue has invalidated stay as rows with price 0 and first id -1: no trades.
7. Old files hold rows that are not in order. One aggregate may stand in the files of two days.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import msgspec

from shared.market.events import Event, Origin, Source
from shared.market.id_ranges import IdRanges
from shared.market.instruments import Instrument, Market
from streaming.exchanges.amounts import RefusedMessageError
from streaming.exchanges.binance_events import aggregate_row, candle, trade_row
from streaming.exchanges.binance_wire import AggTradeRow, Candle, TradeRow, to_us
from streaming.exchanges.protocol import dead_letter

CONNECTION = "binance-archive"
_FOLDERS = {Market.SPOT: "spot", Market.UM: "futures/um", Market.CM: "futures/cm"}
_DAY_US = 86_400_000_000
_MINUTE_US = 60_000_000
# Longer ones are archived by the month only.
_INTERVALS_US = {
    "1s": 1_000_000,
    **{f"{count}m": count * _MINUTE_US for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": count * 60 * _MINUTE_US for count in (1, 2, 4, 6, 8, 12)},
    "1d": _DAY_US,
}
_ID = r"(\d{1,18})"
_ID_OR_NONE = r"(-1|\d{1,18})"
_AMOUNT = r"(\d{1,30}(?:\.\d{1,30})?)"
_FLAG = r"([Tt]rue|[Ff]alse)"
_SHOWN_RANGES = 5


class UnknownColumnsError(RefusedMessageError):
    """The file names its columns, and they are not the known ones: none of it can be read."""


class _Layout(msgspec.Struct, frozen=True):
    """One kind of file: its columns, a line's groups to a wire row, and that to an event."""

    columns: tuple[str, ...]
    line: re.Pattern[str]
    row: Callable[..., Any]
    translate: Callable[[Any, Origin, int], Event]


class DaySummary(msgspec.Struct, frozen=True):
    """What a file held.

    `missing` counts ids between the first and the last that it lacks, None where ids may jump;
    `missing_ranges` are the first few of them. `units` are those of its times.
    """

    rows: int
    first_id: int | None
    last_id: int | None
    missing: int | None
    missing_ranges: list[tuple[int, int]]
    repeated: int
    unsorted: int
    invalidated: int
    bad_lines: int
    units: list[str]


def is_archived(channel: str) -> bool:
    """Say whether the archive has day files of a channel."""
    kind, _, interval = channel.partition("_")
    return channel in {"aggTrade", "trade"} or (kind == "kline" and interval in _INTERVALS_US)


def file_path(instrument: Instrument, channel: str, day: date) -> str:
    """Return the path of a day's zip below the archive's address (rule 1).

    Raises:
        KeyError: the archive has no day files of this channel.
    """
    if not is_archived(channel):
        raise KeyError(channel)
    name = instrument.venue_symbol
    kind, _, interval = channel.partition("_")
    folder, part = (f"{kind}s/{name}", f"{kind}s")
    if interval:
        folder, part = f"{folder}/{interval}", interval
    root = f"/data/{_FOLDERS[instrument.market]}/daily"
    return f"{root}/{folder}/{name}-{part}-{day.isoformat()}.zip"


def archive_origin(instrument: Instrument, channel: str) -> Origin:
    """Return the origin of a channel's archived events."""
    return Origin(
        exchange=instrument.exchange,
        market=instrument.market,
        symbol=instrument.symbol,
        venue_symbol=instrument.venue_symbol,
        channel=channel,
        source=Source.BINANCE_ARCHIVE,
        connection=CONNECTION,
        epoch=0,
    )


class ArchiveDay:
    """Reads one day's file, piece by piece; a bad line becomes a dead letter and stops nothing.

    Args:
        origin: of the events; its channel says what the file holds.
        day: UTC; a row of another day is a bad line.
        received_ns: when the file was received, our time.
    """

    def __init__(self, origin: Origin, day: date, received_ns: int) -> None:
        kind, _, interval = origin.channel.partition("_")
        self._layout = _LAYOUTS[kind]
        self._interval_us = _INTERVALS_US.get(interval, 1)
        self._counts_up = kind != "trade" or origin.market is Market.SPOT
        self._origin = origin
        self._day = day
        self._received_ns = received_ns
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self._begin_us = int(midnight.timestamp()) * 1_000_000
        self._rest = b""
        self._has_begun = False
        self._previous = ""
        self._ids = IdRanges()
        self.published = IdRanges()
        """The ids (of candles their numbers) that became events so far."""
        self._last = -1
        self._rows = self._repeated = self._unsorted = self._invalidated = self._bad = 0
        self._units: set[str] = set()

    @property
    def summary(self) -> DaySummary:
        """What was read so far."""
        ranges = list(self._ids)
        holes = [(last + 1, following - 1) for (_, last), (following, _) in pairwise(ranges)]
        return DaySummary(
            rows=self._rows,
            first_id=ranges[0][0] if ranges else None,
            last_id=ranges[-1][1] if ranges else None,
            missing=sum(last - first + 1 for first, last in holes) if self._counts_up else None,
            missing_ranges=holes[:_SHOWN_RANGES] if self._counts_up else [],
            repeated=self._repeated,
            unsorted=self._unsorted,
            invalidated=self._invalidated,
            bad_lines=self._bad,
            units=sorted(self._units),
        )

    def feed(self, piece: bytes) -> list[Event]:
        """Translate the lines that this piece of the file completes.

        Raises:
            UnknownColumnsError: by the first line, before any event.
        """
        data = self._rest + piece
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        text = data[:end].decode(errors="backslashreplace")
        if text and not self._has_begun:
            self._has_begun = True
            text = self._without_names(text)
        rows = self._layout.line.findall(text)
        if len(rows) == text.count("\n"):
            return [event for row in rows if (event := self._translate(row)) is not None]
        return self._judge(text)

    def finish(self) -> list[Event]:
        """Translate a last line that does not end; raises as `feed`."""
        return self.feed(b"\n") if self._rest else []

    def _without_names(self, text: str) -> str:
        """Return the text after the line of column names, if there is one (rule 2)."""
        first, _, after = text.partition("\n")
        if not (first.isascii() and first[:1].isalpha()):
            return text
        names = tuple(name.strip().strip('"') for name in first.split(","))
        known = self._layout.columns
        if any(name not in allowed.split("|") for name, allowed in zip(names, known, strict=False)):
            raise UnknownColumnsError(f"columns {first.strip()} are not {', '.join(known)}")
        return after

    def _judge(self, text: str) -> list[Event]:
        """Translate lines of which at least one is bad."""
        events: list[Event] = []
        for line in text.split("\n")[:-1]:
            found = self._layout.line.findall(line)
            event = self._translate(found[0]) if found else self._refused(line, "not its columns")
            if event is not None:
                events.append(event)
        return events

    def _translate(self, groups: tuple[str, ...]) -> Event | None:
        """Return a line's event or dead letter; None for one that is counted and left out."""
        line, *fields = groups
        row = self._layout.row(*fields)
        number, time = self._place(row)
        if number <= self._last and number in self._ids:
            self._repeated += 1
            if line == self._previous:
                return None
            return self._refused(line, f"id {number} stands twice")
        self._previous = line
        self._unsorted += number < self._last
        self._last = max(number, self._last)
        self._ids.add(number, number)
        if type(row) is AggTradeRow and row.f < 0 and not float(row.p):
            self._invalidated += 1
            return None
        time_us = to_us(time)
        if not 0 <= time_us - self._begin_us < _DAY_US:
            return self._refused(line, f"time {time} is not of {self._day}")
        try:
            event = self._layout.translate(row, self._origin, self._received_ns)
        except ValueError as error:
            return self._refused(line, str(error))
        self._units.add("µs" if time_us == time else "ms")
        self._rows += 1
        self.published.add(number, number)
        return event

    def _place(self, row: AggTradeRow | TradeRow | Candle) -> tuple[int, int]:
        """Return a row's number in the order of the file, and its time as it stands there."""
        if type(row) is AggTradeRow:
            return row.a, row.T
        if type(row) is TradeRow:
            return row.id, row.time
        return to_us(row.t) // self._interval_us, row.t  # type: ignore[union-attr]  # the third kind

    def _refused(self, line: str, reason: str) -> Event:
        self._bad += 1
        return dead_letter(
            self._origin, line.encode(), f"archive of {self._day}: {reason}", self._received_ns
        )


def _aggregate_line(
    number: str, price: str, quantity: str, first: str, last: str, time: str, maker: str
) -> AggTradeRow:
    return AggTradeRow(
        T=int(time),
        a=int(number),
        p=price,
        q=quantity,
        f=int(first),
        l=int(last),
        m=maker in {"True", "true"},
    )


def _trade_line(number: str, price: str, quantity: str, time: str, maker: str) -> TradeRow:
    return TradeRow(int(number), price, quantity, int(time), maker in {"True", "true"})


def _candle_line(
    opened: str,
    first: str,
    high: str,
    low: str,
    last: str,
    volume: str,
    closed: str,
    quote_volume: str,
    count: str,
    bought: str,
    quote_bought: str,
) -> Candle:
    return Candle(
        t=int(opened),
        T=int(closed),
        i="",
        o=first,
        h=high,
        l=low,
        c=last,
        v=volume,
        q=quote_volume,
        n=int(count),
        V=bought,
        Q=quote_bought,
        f=-1,
        L=-1,
        x=True,
    )


def _candle(row: Candle, origin: Origin, received_ns: int) -> Event:
    row.i = origin.channel.partition("_")[2]
    return candle(row, origin, received_ns, None)


def _line(*columns: str) -> re.Pattern[str]:
    return re.compile(f"^({','.join(columns)})\r?$", re.MULTILINE | re.ASCII)


_LAYOUTS = {
    "aggTrade": _Layout(
        (
            "agg_trade_id",
            "price",
            "quantity",
            "first_trade_id",
            "last_trade_id",
            "transact_time",
            "is_buyer_maker",
            "is_best_match",
        ),
        _line(
            _ID, _AMOUNT, _AMOUNT, _ID_OR_NONE, _ID_OR_NONE, _ID, f"{_FLAG}(?:,(?:{_FLAG[1:-1]}))?"
        ),
        _aggregate_line,
        aggregate_row,
    ),
    "trade": _Layout(
        (
            "id",
            "price",
            "qty",
            "quote_qty|base_qty",
            "time",
            "is_buyer_maker",
            "is_best_match",
        ),
        _line(
            _ID, _AMOUNT, _AMOUNT, f"(?:{_AMOUNT[1:-1]})", _ID, f"{_FLAG}(?:,(?:{_FLAG[1:-1]}))?"
        ),
        _trade_line,
        trade_row,
    ),
    "kline": _Layout(
        (
            "open_time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "close_time",
            "quote_volume",
            "count",
            "taker_buy_volume",
            "taker_buy_quote_volume",
            "ignore",
        ),
        _line(_ID, *[_AMOUNT] * 5, _ID, _AMOUNT, _ID, _AMOUNT, _AMOUNT, "[^,\r\n]*"),
        _candle_line,
        _candle,
    ),
}
