"""Ranges of ids that a lake lacks, as `crypto-stream heal` reads them, and where they are had. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import msgspec

from shared.errors import ConfigurationError
from shared.market.events import Origin, Source
from shared.market.instruments import Exchange, Market, Subscription
from shared.market.numbering import is_forgotten
from shared.symbol_manager import SymbolBook

_CONNECTION = "heal"
_DAY = timedelta(days=1)
# REST tells aggregate trades of futures for 48 hours; an hour less leaves time to ask.
_FUTURES_REACH = timedelta(hours=47)

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class MissingRange(msgspec.Struct, frozen=True):
    """A line of input: ids that are missing, both ends included, and the times of those beside them."""

    exchange: Exchange
    market: Market
    symbol: str
    channel: str
    first_id: int
    last_id: int
    before_time: _Time | None = None
    after_time: _Time | None = None


@dataclass(frozen=True)
class Hole:
    """A range of a subscription, and the days whose archive files have it; none where REST does.

    It is enclosed where the files of its days have the record after it too.
    """

    subscription: Subscription
    first_id: int
    last_id: int
    days: tuple[date, ...] = ()
    is_enclosed: bool = False

    @property
    def ids(self) -> int:
        """How many ids are missing."""
        return self.last_id - self.first_id + 1

    def origin(self, source: Source) -> Origin:
        """Return the origin of its events, from whatever source they come."""
        instrument = self.subscription.instrument
        return Origin(
            exchange=instrument.exchange,
            market=instrument.market,
            symbol=instrument.symbol,
            venue_symbol=instrument.venue_symbol,
            channel=self.subscription.channel,
            source=source,
            connection=_CONNECTION,
            epoch=0,
        )


def read_holes(lines: Iterable[str], name: str, symbols: SymbolBook, now: datetime) -> list[Hole]:
    """Read ranges, one JSON object a line; empty lines are passed over.

    Args:
        lines: `{"exchange", "market", "symbol", "channel", "first_id", "last_id"}` each, and if known
            `"before_time"` and `"after_time"` of the records on both sides, with their offset to UTC.
        name: what a message calls the input.
        symbols: tells what the exchange calls a symbol.
        now: our time, UTC.

    Raises:
        ConfigurationError: naming the line that is no range, or is of a symbol that is not listed.
    """
    listed = {(item.exchange, item.market, item.symbol): item for item in symbols.instruments()}
    holes = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found = _range(line, where := f"{name}, line {number}")
            instrument = listed.get((found.exchange, found.market, found.symbol))
            if instrument is None:
                problem = (
                    f"{found.exchange} {found.market} {found.symbol} is not in the symbols file"
                )
                raise ConfigurationError(where, problem, "List it, disabled if need be.")
            subscription = Subscription(instrument, found.channel)
            holes.append(_hole(found, subscription, now))
    return holes


def _range(line: str, where: str) -> MissingRange:
    try:
        found = msgspec.json.decode(line, type=MissingRange)
    except msgspec.DecodeError as error:
        remedy = "Give a JSON object of exchange, market, symbol, channel, first_id, last_id."
        raise ConfigurationError(where, str(error), remedy) from error
    if not 0 <= found.first_id <= found.last_id:
        problem = f"first_id {found.first_id}, last_id {found.last_id}"
        raise ConfigurationError(where, problem, "Give the lower id first, 0 at least.")
    return found


def _hole(found: MissingRange, subscription: Subscription, now: datetime) -> Hole:
    """Return a range with its days where REST has it no more; a day that is not over has no file yet."""
    hole = Hole(subscription, found.first_id, found.last_id)
    beside = found.before_time or found.after_time
    if beside is None or not is_forgotten(found.exchange, found.market, found.channel):
        return hole
    if now - beside <= _FUTURES_REACH:
        return hole
    yesterday = now.date() - _DAY
    first = beside.astimezone(UTC).date()
    if found.before_time is None:
        first -= _DAY  # it may have begun on the day before
    after = found.after_time.astimezone(UTC).date() if found.after_time else now.date()
    last = min(after, yesterday)
    days = tuple(first + number * _DAY for number in range((last - first).days + 1))
    return replace(hole, days=days, is_enclosed=after <= yesterday)
