"""Ranges of ids that a lake lacks, as `crypto-stream heal` reads them, and where they are had. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec

from shared.errors import ConfigurationError
from shared.market.events import Origin, Source
from shared.market.instruments import Exchange, Market, Subscription
from shared.market.numbering import Numbering, numbering
from shared.symbol_manager import SymbolBook

_CONNECTION = "heal"
_DAY = timedelta(days=1)
# On futures REST tells aggregate trades of the last 48 hours; an hour less leaves time to ask.
_FUTURES_REACH = timedelta(hours=47)


class MissingRange(msgspec.Struct, frozen=True):
    """A line of input: ids that are missing, both ends included, and the times of those beside them."""

    exchange: Exchange
    market: Market
    symbol: str
    channel: str
    first_id: int
    last_id: int
    before_time: datetime | None = None
    after_time: datetime | None = None


@dataclass(frozen=True)
class Hole:
    """A range of a subscription, and the days whose archive files have it; none where REST does."""

    subscription: Subscription
    first_id: int
    last_id: int
    days: tuple[date, ...] = ()

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
            days = _archive_days(found, now)
            holes.append(Hole(subscription, found.first_id, found.last_id, days))
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


def _archive_days(found: MissingRange, now: datetime) -> tuple[date, ...]:
    """Return the days whose files have a range that REST has no more; none if REST is to be asked.

    A day that is not over has no file yet.
    """
    kind = numbering(found.exchange, found.market, found.channel)
    if found.market is Market.SPOT or kind is not Numbering.TRADES or found.before_time is None:
        return ()
    before = found.before_time.astimezone(UTC)
    if now - before <= _FUTURES_REACH:
        return ()
    yesterday = now.date() - _DAY
    after = found.after_time.astimezone(UTC).date() if found.after_time else yesterday
    first, last = before.date(), min(after, yesterday)
    return tuple(first + number * _DAY for number in range((last - first).days + 1))
