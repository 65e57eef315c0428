"""Days as a calendar heat-map: SVG, and HTML pages of it that open without internet. Pure.

A column is a week, a row a weekday from Monday; a cell's colour tells the day's state and, where ids are
open, how many of those expected they are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape

_CELL, _GAP, _LEFT, _TOP = 12, 3, 34, 18
_STEP = _CELL + _GAP
_WEEKDAYS = ((0, "Mon"), (2, "Wed"), (4, "Fri"))
_COMPLETE, _UNHEALABLE, _UNNUMBERED = "#2da44e", "#8250df", "#8c959f"
# By the share of ids that are missing, from this one on.
_OPEN = ((0.01, "#cf222e"), (0.001, "#e16f24"), (0.0, "#eac54f"))
_LEGEND = (
    (_COMPLETE, "complete"),
    (_OPEN[2][1], "ids missing"),
    (_OPEN[1][1], "over 0.1 %"),
    (_OPEN[0][1], "over 1 %"),
    (_UNHEALABLE, "missing and not to be had"),
    (_UNNUMBERED, "no ids to go by"),
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem; }}
h2 {{ font-size: 1rem; margin: 1.5rem 0 .25rem; }}
p {{ margin: .25rem 0; }}
.legend span {{ margin-right: 1rem; white-space: nowrap; }}
.legend i {{ display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: .3rem; }}
div {{ overflow-x: auto; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


@dataclass(frozen=True)
class DayCell:
    """One day of a stream: its state, and how many ids are held and missing."""

    date: date
    state: str
    present: int
    missing: int

    @property
    def colour(self) -> str:
        """The colour of its cell."""
        match self.state:
            case "complete":
                return _COMPLETE
            case "unhealable":
                return _UNHEALABLE
            case "unnumbered":
                return _UNNUMBERED
            case _:
                share = self.missing / (self.present + self.missing)
                return next(colour for least, colour in _OPEN if share >= least)

    @property
    def text(self) -> str:
        """What a pointer over it shows."""
        if self.state == "unnumbered":
            return f"{self.date}: {self.present:,} messages, no ids to go by"
        expected = self.present + self.missing
        return f"{self.date}: {self.present:,} of {expected:,} ids, {self.state}"


def page(title: str, streams: Mapping[str, Iterable[DayCell]]) -> str:
    """Return a whole HTML page with a calendar for each stream, by its name."""
    return _PAGE.format(title=escape(title), body=fragment(streams))


def fragment(streams: Mapping[str, Iterable[DayCell]]) -> str:
    """Return the calendars and their legend as HTML to be put into a page."""
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{text}</span>' for colour, text in _LEGEND
    )
    parts = [f'<p class="legend">{legend}</p>']
    for name, cells in streams.items():
        parts += [f"<h2>{escape(name)}</h2>", f"<div>{svg(cells)}</div>"]
    return "\n".join(parts)


def svg(cells: Iterable[DayCell]) -> str:
    """Return one calendar, from the first day's week to the last day's; one day at least."""
    days = sorted(cells, key=lambda cell: cell.date)
    first = days[0].date - timedelta(days=days[0].date.weekday())
    weeks = (days[-1].date - first).days // 7 + 1
    marks = [
        f'<text x="0" y="{_TOP + row * _STEP + _CELL - 2}">{name}</text>' for row, name in _WEEKDAYS
    ]
    marks += [
        f'<text x="{_LEFT + week * _STEP}" y="{_TOP - 6}">{begin:%b}{_year(begin, week)}</text>'
        for week in range(weeks)
        for begin in (first + timedelta(weeks=week),)
        if week == 0 or begin.day <= 7
    ]
    for cell in days:
        at = (cell.date - first).days
        x, y = _LEFT + at // 7 * _STEP, _TOP + at % 7 * _STEP
        marks.append(
            f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" rx="2" fill="{cell.colour}">'
            f"<title>{escape(cell.text)}</title></rect>"
        )
    width, height = max(_LEFT + weeks * _STEP, 90), _TOP + 7 * _STEP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' font-size="10" font-family="sans-serif" fill="currentColor">{"".join(marks)}</svg>'
    )


def _year(begin: date, week: int) -> str:
    return f" {begin:%Y}" if week == 0 or begin.month == 1 else ""
