"""A Hudi table's timeline, as the names in its folder `.hoodie/timeline` tell it.

An action is requested, in flight, and completed, each a file: `<requested>.<action>.requested`,
`<requested>.<action>.inflight`, `<requested>_<completed>.<action>`. Times are UTC, to the millisecond.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

WRITES = ("commit", "deltacommit", "replacecommit")
"""Actions that leave data files: an append or a compaction, an upsert, a clustering."""
SERVICES = ("compaction", "clustering")
"""What a pending compaction and a pending clustering are called until they are a commit."""
SAVEPOINT = "savepoint"
_FORM = "%Y%m%d%H%M%S%f"


@dataclass(frozen=True)
class Instant:
    """One action of a table; `completed` is None until it is through."""

    requested: str
    action: str
    completed: str | None = None

    @property
    def is_write(self) -> bool:
        """Whether it is complete and left data files."""
        return self.completed is not None and self.action in WRITES

    @property
    def is_unfinished_service(self) -> bool:
        """Whether it is a compaction or clustering that was planned and not carried out."""
        return self.completed is None and self.action in SERVICES


def instants(names: Iterable[str]) -> list[Instant]:
    """Return each action once, in its latest state, by requested time; foreign names are skipped."""
    found: dict[tuple[str, bool], Instant] = {}
    for name in names:
        times, _, action = name.partition(".")
        requested, _, completed = times.partition("_")
        if not requested.isdigit():
            continue
        action = action.removesuffix("inflight").removesuffix("requested").strip(".") or "commit"
        # A savepoint bears the time of the commit that it keeps.
        key = (requested, action == SAVEPOINT)
        if completed or key not in found:
            found[key] = Instant(requested, action, completed or None)
    return sorted(found.values(), key=lambda item: (item.requested, item.action))


def writes(timeline: Iterable[Instant]) -> list[Instant]:
    """Return the completed writes, the one that completed last first."""
    done = (item for item in timeline if item.is_write)
    return sorted(done, key=lambda item: item.completed or "", reverse=True)


def moment(instant: str) -> datetime:
    """Return an instant as a time."""
    return datetime.strptime(instant, _FORM).replace(tzinfo=UTC)


def instant_at(when: datetime) -> str:
    """Return the instant of a time; one without a zone is taken as UTC."""
    aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return aware.strftime(_FORM)[:17]
