"""Which commits to `silver_trades` only add, so that gold grows by their rows and looks at no others.

A commit only adds when each of its trades has an id above all that its instrument's day held before, and all
of them come through one channel: then no trade that gold has counted changes or gives way. Each commit carries
its `Ids`, from which the next one tells; where they do not, gold reads trades again, see `time_spans`.

A day that was merged grows no more: what a correction moved out of a second has left its candle there as it was.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from crypto_pipeline.assets.increments import Increment
from crypto_pipeline.specs import Partition, TableSpec
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.instruments import Market

_NOTE = "ids"
_COUNTED = "counted until"
_SILVER = "silver_trades"
# Days that a commit does not touch are carried along, the latest of them, for a commit that does.
_MOST_CARRIED = 200

Tops = dict[str, dict[str, int]]
"""By `symbol/date`, and there by `exchange/market/channel`: the highest trade id held. The latest touched is last."""


class Ids(msgspec.Struct, frozen=True):
    """What a commit carries: whether it only adds, and the tops of the days after it, where they are known."""

    only_adds: bool = False
    tops: Tops = {}


class Batch(NamedTuple):
    """A commit's trades of one channel of an instrument on one day.

    `lowest` and `highest` are trade ids; None where one is no number. `is_each_once`: no two have the same.
    """

    day: Partition
    exchange: str
    market: str
    channel: str
    lowest: int | None
    highest: int | None
    is_each_once: bool


def following(before: Ids, batches: Collection[Batch], held: Collection[Partition]) -> Ids:
    """Return what a commit after another one carries.

    Of contracts nothing is only added: a candle's base volume is rounded once for all of its fills.

    Args:
        before: what the last commit carries, nothing where it carries none.
        batches: the commit's trades.
        held: the days that held trades before it.
    """
    days: dict[Partition, list[Batch]] = {}
    for batch in batches:
        days.setdefault(batch.day, []).append(batch)
    tops = dict(before.tops)
    only_adds = True
    for day, own in days.items():
        name = "/".join(day)
        known = tops.pop(name, None if day in held else {})
        reached = None if known is None else _reached(known, own)
        if known is None or reached is None:
            only_adds = False
            continue
        tops[name] = reached
        only_adds &= _has_one_form(reached) and all(_is_above(known, batch) for batch in own)
    carried = list(tops.items())[-_MOST_CARRIED - len(days) :]
    return Ids(only_adds, dict(carried))


def _reached(known: dict[str, int], batches: Iterable[Batch]) -> dict[str, int] | None:
    """Return a day's tops after these; None where ids are no numbers."""
    reached = dict(known)
    for batch in batches:
        if batch.highest is None:
            return None
        reached[_stream(batch)] = max(batch.highest, reached.get(_stream(batch), batch.highest))
    return reached


def _is_above(known: dict[str, int], batch: Batch) -> bool:
    top = known.get(_stream(batch))
    is_above = batch.lowest is not None and (top is None or batch.lowest > top)
    return is_above and batch.is_each_once and batch.market != Market.CM


def _has_one_form(streams: Iterable[str]) -> bool:
    instruments = [stream.rpartition("/")[0] for stream in streams]
    return len(set(instruments)) == len(instruments)


def _stream(batch: Batch) -> str:
    return f"{batch.exchange}/{batch.market}/{batch.channel}"


def note(
    lake: str, batches: Collection[Batch], merged_days: Collection[Partition]
) -> dict[str, Ids]:
    """Return what the next commit to `silver_trades` is to carry, see `following`."""
    spec = TABLES[_SILVER]
    _, text = next(hudi_utils.notes(lake, spec, _NOTE), (None, None))
    before = Ids() if text is None else msgspec.json.decode(text, type=Ids)
    held = hudi_utils.held_partitions(lake, spec, {batch.day for batch in batches})
    ids = following(before, batches, held)
    merged = {"/".join(day) for day in merged_days}
    tops = {day: streams for day, streams in ids.tops.items() if day not in merged}
    return {_NOTE: Ids(ids.only_adds and not merged, tops)}


def counted_until(increment: Increment) -> dict[str, str]:
    """Return what a commit of gold is to carry: the completion time up to which it has counted trades.

    A rebuilt day has counted all there are, also those that its checkpoint does not cover yet.
    """
    until = hudi_utils.latest_completion(increment.lakehouse.lake, increment.source)
    return {_COUNTED: until or ""}


def only_adds(increment: Increment, table: str) -> bool:
    """Tell whether what a table of gold knows needs no more than the new trades to be as if made from all."""
    lake, after = increment.lakehouse.lake, increment.after
    _, text = next(hudi_utils.notes(lake, TABLES[table], _COUNTED), (None, None))
    if after is None or text is None or msgspec.json.decode(text) != after:
        return False
    if hudi_utils.has_other_schema(lake, TABLES[table]):
        return False
    return all(_carried(lake, increment.source, after))


def _carried(lake: str, source: TableSpec, after: str) -> Iterator[bool]:
    """Yield whether each commit that completed after a time only adds; False where the timeline ends before it."""
    for commit, text in hudi_utils.notes(lake, source, _NOTE):
        if commit.completed <= after:
            return
        yield text is not None and msgspec.json.decode(text, type=Ids).only_adds
    yield False
