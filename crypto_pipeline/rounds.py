"""How ticks share the work: what each fills, and all other tables by turns. Pure.

A round takes every other table once, those that feed others before them. As many share a tick as are done
within a given time, by what each took last: a new trade waits for a part of a round, not for the whole.
"""

from collections.abc import Collection, Mapping
from typing import Self

import msgspec

from crypto_pipeline.tables import EACH_TICK, TABLES

# Compares closed days with the archive when it is asked to, not in a tick.
_NOT_IN_A_TICK = "quality_reconciliation"
OTHERS = tuple(name for name in TABLES if name not in EACH_TICK and name != _NOT_IN_A_TICK)
# The ledger looks at the letters of what came into bronze: trades that come between would be gaps without a cause.
_SHARE_A_TURN = {"quality_completeness", "quality_gaps"}


class Round(msgspec.Struct, frozen=True):
    """The last round that was begun: when, seconds since the epoch, and the tables it has still to take."""

    begun_s: float = 0
    left: tuple[str, ...] = ()

    def now(self, now_s: float, every_s: float) -> Self:
        """Return the round of this time: another once this one is through and `every_s` have gone by.

        A time before its beginning is a clock that was set back; a table that is no more is passed over.
        """
        left = tuple(name for name in self.left if name in OTHERS)
        if left or 0 <= now_s - self.begun_s < every_s:
            return type(self)(self.begun_s, left)
        return type(self)(now_s, OTHERS)

    def portion(self, seconds: Mapping[str, float], most_s: float) -> tuple[str, ...]:
        """Return the next tables: as many as take that long together, at least one turn's if any is left.

        Args:
            seconds: what each took last; one that is not told counts as nothing.
            most_s: how long they may take.
        """
        total_s, turn = 0.0, 0
        for number, name in enumerate(self.left):
            total_s += seconds.get(name, 0)
            turn = turn if name in _SHARE_A_TURN else number
            if turn and total_s > most_s:
                return self.left[:turn]
        return self.left

    def without(self, taken: Collection[str]) -> Self:
        """Return what it is once these tables were taken."""
        return type(self)(self.begun_s, tuple(name for name in self.left if name not in taken))


def turn_of(needs: Collection[str]) -> str | None:
    """Return the table at whose turn a check looks: the last one in a round that it needs.

    Checks of tables that every tick fills look at the first turns, a table's at each, for they scan the most;
    None of tables that no tick fills.
    """
    turns = [name for name in OTHERS if name in needs]
    if turns:
        return turns[-1]
    return max(
        (OTHERS[EACH_TICK.index(name)] for name in needs if name in EACH_TICK),
        key=OTHERS.index,
        default=None,
    )
