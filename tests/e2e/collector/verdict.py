"""What a claim's run found: figures, those that are judged with their bound, printed as one table.

Each is logged as it is found, so that a long run shows how far it has come, and one that was cut what it saw.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

_MARKS = {None: "", True: " holds", False: " BROKEN"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figure:
    """One line: a value, and whether it holds where it is judged."""

    name: str
    value: str
    bound: str = ""
    holds: bool | None = None


@dataclass
class Verdict:
    """A claim and its figures; it holds when each judged figure does."""

    claim: str
    figures: list[Figure] = field(default_factory=list)

    def note(self, name: str, value: Any) -> None:
        """Add a figure that is not judged."""
        self._add(Figure(name, _text(value)))

    def equals(self, name: str, value: Any, wanted: Any) -> None:
        """Judge a figure that must be just this."""
        self._add(Figure(name, _text(value), f"= {_text(wanted)}", value == wanted))

    def at_most(self, name: str, value: float, most: float) -> None:
        """Judge a figure that has an upper bound."""
        self._add(Figure(name, _text(value), f"<= {_text(most)}", value <= most))

    def at_least(self, name: str, value: float, least: float) -> None:
        """Judge a figure that has a lower bound; it shows that there was something to judge."""
        self._add(Figure(name, _text(value), f">= {_text(least)}", value >= least))

    def _add(self, figure: Figure) -> None:
        self.figures.append(figure)
        bound = f" ({figure.bound})" if figure.bound else ""
        _log.info("%s: %s%s%s", figure.name, figure.value, bound, _MARKS[figure.holds])

    @property
    def holds(self) -> bool:
        """Whether something was judged and all of it holds."""
        judged = [item.holds for item in self.figures if item.holds is not None]
        return bool(judged) and all(judged)

    @property
    def broken(self) -> list[Figure]:
        """The figures that do not hold."""
        return [item for item in self.figures if item.holds is False]

    def table(self) -> Table:
        """Return the figures as a table."""
        table = Table("figure", "value", "bound", "", title=self.claim)
        for item in self.figures:
            table.add_row(item.name, item.value, item.bound, _MARKS[item.holds].strip())
        return table


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def main(prove: Callable[..., Verdict], description: str | None) -> None:
    """Run one claim from the command line; exit 1 when it does not hold."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="the full form; else the quick one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bootstrap", help="a running broker with the topics; else one is started")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    _log.setLevel(logging.INFO)
    verdict = prove(full=options.full, seed=options.seed, bootstrap=options.bootstrap)
    Console(width=120).print(verdict.table())
    sys.exit(0 if verdict.holds else 1)
