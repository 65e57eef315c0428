"""Recompute and compare: what the lake says of itself, checked from its own lower layers.

Each check is one query that returns the rows that are wrong; none is what one wants. Candles are computed
again; books are not, as that takes every change of a book into memory: they are only looked at.
"""

from dataclasses import dataclass

import pyarrow as pa

from crypto_lake import query
from crypto_lake.tables import Lake

_IDENTITY = "exchange, market, symbol"
_SECONDS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
_KEYS = {
    "silver_trades": f"{_IDENTITY}, channel, trade_id",
    "silver_klines": f"{_IDENTITY}, interval, open_time",
    "silver_quotes": f"{_IDENTITY}, channel, update_id",
    "silver_marks": f"{_IDENTITY}, channel, event_time",
    "silver_book": f"{_IDENTITY}, channel, second",
    "gold_ohlcv": f"{_IDENTITY}, interval, window_start",
    "gold_book_metrics": f"{_IDENTITY}, channel, window_start",
    "gold_funding_basis": f"{_IDENTITY}, window_start",
}
# A fill counts once. Of a UTC day: an aggregate trade gives way to the single trades in its span if their
# notionals add up to its own, else they give way to it; single futures trades are fills only when executed
# in the book. The same rule as crypto_pipeline's (`transforms.gold.forms` says why), on purpose written
# independently. Spans do not overlap: the greatest end so far is that of the nearest one.
_FILLS = f"""
with told as (
  select *, channel = 'aggTrade' as is_aggregate,
         coalesce(first_trade_id, trade_id)::bigint as first_id,
         coalesce(last_trade_id, trade_id)::bigint as last_id
  from silver_trades
  where channel = 'aggTrade'
     or (channel = 'trade' and coalesce(execution_type, 'MARKET') = 'MARKET' and quantity > 0)
), placed as (
  select *, max(last_id) filter (is_aggregate) over (
    partition by {_IDENTITY}, date order by first_id, is_aggregate desc
    rows unbounded preceding) as span_end
  from told
), judged as (
  select *, coalesce(last_id <= span_end, false) as is_inside,
         sum(quote_quantity) filter (not is_aggregate) over span
           is not distinct from max(quote_quantity) filter (is_aggregate) over span as is_whole
  from placed
  window span as (partition by {_IDENTITY}, date, span_end, coalesce(last_id <= span_end, false))
)
select {_IDENTITY}, trade_time, first_id, price, quantity, quote_quantity, side,
       last_id - first_id + 1 as fill_count
from judged where if(is_aggregate, not is_whole, is_whole or not is_inside)
"""  # noqa: S608 - constants above
_COMPARED = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
_BASE = {"volume", "taker_buy_volume"}


@dataclass(frozen=True)
class Check:
    """A claim, the tables it needs, and the query for what contradicts it."""

    name: str
    tables: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class Verdict:
    """A check's outcome; `examples` are a few of the wrong rows."""

    check: Check
    wrong: int
    examples: pa.Table


def checks() -> list[Check]:
    """Return every check."""
    return [
        *(
            Check(
                f"{table}: no key twice",
                (table,),
                f"select {key}, count(*) as times from {table} group by all having times > 1",  # noqa: S608 - constants above
            )
            for table, key in _KEYS.items()
        ),
        *(_candles(interval, seconds) for interval, seconds in _SECONDS.items()),
        _venue_candles(),
        _funding_basis(),
        _contiguous("trade", "market = 'spot' and channel = 'trade'"),
        _contiguous("aggTrade", "channel = 'aggTrade'"),
        Check(
            "silver_book: no book is crossed",
            ("silver_book",),
            f"select {_IDENTITY}, second from silver_book where bids[1].price >= asks[1].price",  # noqa: S608 - constants above
        ),
    ]


def verify(lake: Lake, check: Check) -> Verdict | None:
    """Run one check; None if a table it needs does not exist yet."""
    if not set(check.tables) <= set(lake.names):
        return None
    wrong = query.run(lake, check.sql)
    return Verdict(check, wrong.num_rows, wrong.slice(0, 5))


def _candles(interval: str, seconds: int) -> Check:
    differs = " or ".join(f"g.{name} is distinct from r.{name}" for name in _COMPARED)
    sql = f"""
    with fills as ({_FILLS}), recomputed as (
      select {_IDENTITY}, time_bucket(interval '{seconds} seconds', trade_time) as window_start,
             arg_min(price, (trade_time, first_id)) as open, max(price) as high,
             min(price) as low, arg_max(price, (trade_time, first_id)) as close,
             sum(quantity) as volume, sum(quote_quantity) as quote_volume,
             sum(fill_count) as trade_count,
             sum(if(side = 'buy', quantity, 0)) as taker_buy_volume,
             sum(if(side = 'buy', quote_quantity, 0)) as taker_buy_quote_volume
      from fills group by all)
    select coalesce(g.exchange, r.exchange) as exchange, coalesce(g.market, r.market) as market,
           coalesce(g.symbol, r.symbol) as symbol,
           coalesce(g.window_start, r.window_start) as window_start,
           g.volume as stored_volume, r.volume as recomputed_volume
    from (select * from gold_ohlcv where "interval" = '{interval}') g
    full join recomputed r on g.exchange = r.exchange and g.market = r.market
      and g.symbol = r.symbol and g.window_start = r.window_start
    where {differs}
    """  # noqa: S608 - constants above
    return Check(f"gold_ohlcv {interval}: equals its fills", ("gold_ohlcv", "silver_trades"), sql)


def _funding_basis() -> Check:
    sql = f"""
    with last as (
      select {_IDENTITY}, time_bucket(interval '60 seconds', event_time) as window_start,
             max(event_time) as event_time, count(*) as messages
      from silver_marks group by all
    ), recomputed as (
      select l.*, m.mark_price, m.index_price, m.funding_rate, mark_price - index_price as basis
      from last l join silver_marks m using ({_IDENTITY}, event_time)
    )
    select {_IDENTITY}, window_start, g.mark_price as stored, r.mark_price as recomputed
    from gold_funding_basis g full join recomputed r using ({_IDENTITY}, window_start)
    where (g.messages, g.mark_price, g.index_price, g.funding_rate, g.basis) is distinct from
          (r.messages, r.mark_price, r.index_price, r.funding_rate, r.basis)
    """  # noqa: S608 - constants above
    name = "gold_funding_basis: equals its mark prices"
    return Check(name, ("gold_funding_basis", "silver_marks"), sql)


def _venue_candles() -> Check:
    """Minutes whose fills reach from the venue's first id to its last equal the venue's candle.

    Of contracts the venue rounds the base volume of all fills to 8 places, silver that of each fill.
    """
    slack = "if(g.market = 'cm', 0.00000001 * k.trade_count, 0)"
    differs = " or ".join(
        f"(g.{name} is distinct from k.{name} and coalesce(abs(g.{name} - k.{name}) > {slack}, true))"
        if name in _BASE
        else f"g.{name} is distinct from k.{name}"
        for name in _COMPARED
    )
    sql = f"""
    select g.exchange, g.market, g.symbol, g.window_start, g.volume, k.volume as venue_volume
    from gold_ohlcv g join silver_klines k
      on g.exchange = k.exchange and g.market = k.market and g.symbol = k.symbol
     and g.interval = k.interval and g.window_start = k.open_time
    where g.interval = '1m' and k.is_closed and g.first_trade_id = k.first_trade_id
      and g.last_trade_id = k.last_trade_id and ({differs})
    """  # noqa: S608 - constants above
    tables = ("gold_ohlcv", "silver_klines")
    return Check("gold_ohlcv 1m: equals the venue's candles", tables, sql)


def _contiguous(channel: str, where: str) -> Check:
    sql = f"""
    select {_IDENTITY}, date, min(trade_sequence) as first_id, max(trade_sequence) as last_id,
           max(trade_sequence) - min(trade_sequence) + 1 - count(*) as missing
    from silver_trades where {where} group by {_IDENTITY}, date having missing <> 0
    """  # noqa: S608 - constants above
    return Check(f"silver_trades {channel}: no id missing within a day", ("silver_trades",), sql)
