"""The ledger's days and gaps as rows of their tables, and back. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from crypto_pipeline.ledger.days import LIVE, Day, State, Told, Verdict
from crypto_pipeline.ledger.gaps import GapRow
from crypto_pipeline.ledger.held import Edge, Held, count, ids_of

Row = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LIVE_NAME = "live"


class Stream(NamedTuple):
    """What counts for itself: a channel of a symbol of a market."""

    exchange: str
    market: str
    symbol: str
    channel: str


def stream_of(row: Mapping[str, Any]) -> Stream:
    """Return the stream that a row of any table belongs to."""
    return Stream(row["exchange"], row["market"], row["symbol"], row["channel"])


def day_row(stream: Stream, date: str, day: Day, verdict: Verdict) -> Row:
    """Return a row of `quality_completeness`, the order apart."""
    states = [gap.state for gap in verdict.gaps]
    is_numbered = verdict.state is not State.UNNUMBERED
    return {
        **stream._asdict(),
        "state": verdict.state.value,
        "first_id": verdict.first_id,
        "last_id": verdict.last_id,
        "expected": verdict.present + verdict.missing if is_numbered else None,
        "present": verdict.present,
        "missing": verdict.missing if is_numbered else None,
        "duplicates": day.delivered - verdict.present if is_numbered else None,
        "fetched": verdict.present - _live(day) if is_numbered else None,
        "gaps_open": states.count(State.OPEN),
        "gaps_healed": states.count(State.HEALED),
        "gaps_unhealable": states.count(State.UNHEALABLE),
        "messages": day.messages,
        "first_time": time_of(day.first_us),
        "last_time": time_of(day.last_us),
        "held": [
            {
                "first_id": item.first_id,
                "last_id": item.last_id,
                "source": source or _LIVE_NAME,
                "start": _edge(item.start),
                "end": _edge(item.end),
            }
            for source, ranges in day.held.items()
            for item in ranges
        ],
        "told": [item._asdict() for item in day.told],
        "day_before": day.before,
        "day_after": day.after,
        "date": date,
    }


def day_of(row: Mapping[str, Any]) -> Day:
    """Return the day that a row of `quality_completeness` tells."""
    held: dict[str, list[Held]] = {}
    for item in row["held"]:
        source = LIVE if item["source"] == _LIVE_NAME else item["source"]
        found = Held(item["first_id"], item["last_id"], _end(item["start"]), _end(item["end"]))
        held.setdefault(source, []).append(found)
    return Day(
        held=held,
        delivered=row["present"] + row["duplicates"] if held else 0,
        messages=row["messages"],
        first_us=micros(row["first_time"]),
        last_us=micros(row["last_time"]),
        told=[
            Told(item["state"], item["first_id"], item["last_id"], item["reason"])
            for item in row["told"]
        ],
        before=row["day_before"],
        after=row["day_after"],
    )


def gap_row(stream: Stream, date: str, row: GapRow) -> Row:
    """Return a row of `quality_gaps`, the order apart."""
    return {
        **stream._asdict(),
        "first_id": row.first_id,
        "last_id": row.last_id,
        "ids": row.ids,
        "missing": count(row.missing),
        "missing_ranges": _pairs(row.missing),
        "open_ranges": _pairs(row.open),
        "before_time": None if row.before_us is None else time_of(row.before_us),
        "after_time": None if row.after_us is None else time_of(row.after_us),
        "cause": row.cause,
        "reason": row.reason,
        "state": row.state,
        "why_not": row.why_not,
        "healed_from": row.healed_from,
        "found_at": time_of(row.found_us),
        "healed_at": None if row.healed_us is None else time_of(row.healed_us),
        "date": date,
    }


def gap_of(row: Mapping[str, Any]) -> GapRow:
    """Return the gap that a row of `quality_gaps` tells."""
    before, after, healed = row["before_time"], row["after_time"], row["healed_at"]
    return GapRow(
        first_id=row["first_id"],
        last_id=row["last_id"],
        missing=[(item["first_id"], item["last_id"]) for item in row["missing_ranges"]],
        open=[(item["first_id"], item["last_id"]) for item in row["open_ranges"]],
        before_us=None if before is None else micros(before),
        after_us=None if after is None else micros(after),
        cause=row["cause"],
        reason=row["reason"],
        state=row["state"],
        why_not=row["why_not"],
        healed_from=row["healed_from"],
        found_us=micros(row["found_at"]),
        healed_us=None if healed is None else micros(healed),
    )


def latest_dates(now_ns: int, days: int) -> list[str]:
    """Return the dates of today and so many days before, and of tomorrow, for clocks differ."""
    today = time_of(now_ns // 1000).date()
    return [(today - timedelta(days=number)).isoformat() for number in range(-1, days + 1)]


def micros(time: datetime) -> int:
    """Return a time in µs since the epoch."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(micros: int) -> datetime:
    """Return a time, UTC."""
    return _EPOCH + micros * _MICROSECOND


def _live(day: Day) -> int:
    return count(ids_of(day.held.get(LIVE, ())))


def _edge(edge: Edge) -> Row:
    return {"offset": edge.offset, "partition": edge.partition, "time_us": edge.time_us}


def _end(edge: Mapping[str, Any]) -> Edge:
    return Edge(edge["offset"], edge["partition"], edge["time_us"])


def _pairs(ranges: list[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"first_id": first, "last_id": last} for first, last in ranges]
