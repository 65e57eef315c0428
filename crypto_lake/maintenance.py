"""A table's condition in one row: what its timeline and files are like, and what is due."""

from datetime import date
from typing import Any

from shared.lake.timeline import SAVEPOINT
from shared.lake.upkeep import TableState, plan


def report(state: TableState, today: date) -> dict[str, Any]:
    """Return the row of one table; `today` is the first day that is not closed.

    `instants` counts the active timeline, `unfinished` what is under way or was interrupted. Base and
    log files are those a reader opens, of the symbol-day that has most of them. `reclaimable_bytes`
    are in file versions that the next clean deletes, `old_bytes` in all that are not the newest.
    """
    logs: dict[str, int] = {}
    for item in state.slices:
        logs[item.partition] = logs.get(item.partition, 0) + len(item.log_bytes)
    unfinished = sum(item.completed is None for item in state.timeline)
    return {
        "table": state.name,
        "instants": len(state.timeline),
        "unfinished": unfinished,
        "symbol_days": len(state.base_files),
        "most_base_files": max(state.base_files.values(), default=0),
        "most_log_files": max(logs.values(), default=0),
        "small_files": state.small_files,
        "bytes": sum(item.bytes for item in state.slices),
        "old_bytes": state.old_bytes,
        "reclaimable_bytes": state.expired_bytes,
        "savepoints": sum(item.action == SAVEPOINT for item in state.timeline),
        "next_run": "; ".join(plan(state, today).steps) or "nothing",
    }
