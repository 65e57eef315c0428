"""Files of the venue's archive: what a path asks for, and the lines, zips and checksums. Pure.

A day's file lies at `/data/{spot|futures/um|futures/cm}/daily/{kind}s/SYMBOL[/INTERVAL]/NAME-YYYY-MM-DD.zip`
with a `.CHECKSUM` beside it. Spot files have no line of names, flags as `True`, and µs from 2025 on.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from shared.market.instruments import Market

_PATH = re.compile(
    r"/data/(?P<market>spot|futures/um|futures/cm)/daily/(?P<kind>aggTrades|trades|klines)"
    r"/(?P<symbol>[^/]+)/(?:(?P<interval>[^/]+)/)?(?P=symbol)-(?P<part>[^/-]+)-(?P<day>\d{4}-\d\d-\d\d)\.zip"
)
_MICROSECONDS_FROM = date(2025, 1, 1)
_DAY_MS = 86_400_000
# A zip tells when its member was written; the same day's file must be the same bytes.
_WRITTEN = (1980, 1, 1, 0, 0, 0)
_FIELDS = {
    "aggTrades": {
        "agg_trade_id": "a",
        "price": "p",
        "quantity": "q",
        "first_trade_id": "f",
        "last_trade_id": "l",
        "transact_time": "T",
        "is_buyer_maker": "m",
    },
    "trades": {
        "id": "id",
        "price": "price",
        "qty": "qty",
        "quote_qty": "quoteQty",
        "time": "time",
        "is_buyer_maker": "isBuyerMaker",
    },
}
_CLOSE = 6
_TIMES = {"aggTrades": (5,), "trades": (4,), "klines": (0, _CLOSE)}


class DayFile(msgspec.Struct, frozen=True):
    """One day's file: `kind` is aggTrades, trades or klines, the last with an interval."""

    market: Market
    kind: str
    symbol: str
    interval: str | None
    day: date

    @property
    def name(self) -> str:
        """The name of its one member."""
        return f"{self.symbol}-{self.interval or self.kind}-{self.day}.csv"

    @property
    def span_ms(self) -> tuple[int, int]:
        """Begin and end of the day, the end excluded."""
        begin = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        begin_ms = int(begin.timestamp()) * 1000
        return begin_ms, begin_ms + _DAY_MS


def day_file(path: str) -> DayFile | None:
    """Return what the path of a zip asks for, None where the archive has nothing such."""
    found = _PATH.fullmatch(path)
    if found is None or found["part"] != (found["interval"] or found["kind"]):
        return None
    try:
        day = date.fromisoformat(found["day"])
    except ValueError:
        return None
    market = Market(found["market"].rpartition("/")[2])
    return DayFile(market, found["kind"], found["symbol"], found["interval"], day)


def csv_of(file: DayFile, rows: Iterable[Mapping[str, Any] | list[Any]]) -> bytes:
    """Return the lines of REST rows, as the venue would write the file."""
    is_spot = file.market is Market.SPOT
    columns = _FIELDS.get(file.kind, {})
    lines = [] if is_spot or not columns else [",".join(columns)]
    for row in rows:
        values = [row[key] for key in columns.values()] if isinstance(row, Mapping) else row
        texts = [_text(value, is_spot) for value in values]
        lines.append(",".join([*texts, "True"] if is_spot and columns else texts))
    text = "".join(f"{line}\n" for line in lines).encode()
    in_us = is_spot and file.day >= _MICROSECONDS_FROM
    return in_unit(file, text, microseconds=True) if in_us else text


def in_unit(file: DayFile, csv: bytes, microseconds: bool) -> bytes:
    """Return the same lines with their times in µs, or in ms."""
    lines = []
    for line in csv.decode().splitlines():
        fields = line.split(",")
        if fields[0].isdigit():
            for place in _TIMES[file.kind]:
                fields[place] = _time_in(fields[place], microseconds, is_close=place == _CLOSE)
        lines.append(",".join(fields))
    return "".join(f"{line}\n" for line in lines).encode()


def with_a_hole(csv: bytes) -> bytes:
    """Return the lines without a tenth of them, from the middle, one at least."""
    lines = csv.splitlines(keepends=True)
    begin = len(lines) // 2
    return b"".join([*lines[:begin], *lines[begin + max(1, len(lines) // 10) :]])


def zipped(name: str, csv: bytes) -> bytes:
    """Return a zip of one member, the same bytes for the same lines."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        member = zipfile.ZipInfo(name, _WRITTEN)
        bundle.writestr(member, csv, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def checksum(zip_name: str, content: bytes) -> bytes:
    """Return the line of a `.CHECKSUM`."""
    return f"{hashlib.sha256(content).hexdigest()}  {zip_name}\n".encode()


def _text(value: Any, is_spot: bool) -> str:
    if isinstance(value, bool):
        return str(value) if is_spot else str(value).lower()
    return str(value)


def _time_in(text: str, microseconds: bool, is_close: bool) -> str:
    is_us = int(text) >= 10**14
    if is_us == microseconds:
        return text
    # The inclusive end of a candle ends in nines, whatever the unit.
    if microseconds:
        return f"{text}{'999' if is_close else '000'}"
    return text[:-3]
