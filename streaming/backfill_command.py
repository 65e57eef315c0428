"""`crypto-stream backfill`: options in, progress and a table by day out."""

import asyncio
import sys
from collections import Counter
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
import typer
import uvloop
from rich.console import Console, Group
from rich.progress import Progress, TextColumn
from rich.table import Table

from shared.clock import SystemClock
from shared.market.instruments import Market, Subscription
from shared.settings import Settings, load_settings
from shared.symbol_manager import load_symbols
from streaming.backfill import bring_days
from streaming.day_journal import DayReport
from streaming.day_plan import days_of, wanted

_Day = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")]
_LastDay = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC.")]


def backfill(
    first: _Day,
    last: _LastDay,
    symbol: Annotated[
        list[str] | None, typer.Option(help="Of the symbols file; else the enabled ones.")
    ] = None,
    market: Annotated[Market | None, typer.Option(help="Else all.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="aggTrade, trade, kline_1m, …; else each symbol's own.")
    ] = None,
    again: Annotated[
        bool, typer.Option(help="Bring days in again whose file the venue has replaced since.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the days as JSON.")] = False,
) -> None:
    """Bring past days in from the exchange's archive, each file proved by its checksum.

    Days that are done are skipped, so the same command goes on where it was stopped. Exit 1 if a day
    could not be brought in; the table says why, and the other days are in.
    """
    settings = load_settings()
    today = datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC).date()
    days = days_of(first.date(), last.date(), today)
    book = load_symbols(settings.paths.symbols_file)
    subscriptions = wanted(book, symbol or (), market, channel or ())
    reports = _bring(settings, subscriptions, days, again)
    if as_json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
    else:
        Console().print(table_of(reports))
    if not all(report.state.is_done for report in reports):
        sys.exit(1)


def _bring(
    settings: Settings, subscriptions: list[Subscription], days: list[date], again: bool
) -> list[DayReport]:
    """Bring the days in and show how far it is, on a terminal."""
    reports: list[DayReport] = []
    rows: Counter[str] = Counter()
    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[file]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        total = len(days) * len(subscriptions)
        shown = progress.add_task("days", total=total, rows=0, file="")

        def on_day(report: DayReport) -> None:
            reports.append(report)
            progress.update(shown, advance=1, file=" ".join(_place(report)))

        def on_rows(count: int) -> None:
            rows["rows"] += count
            progress.update(shown, rows=rows["rows"])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            work = bring_days(settings, SystemClock(), subscriptions, days, again, on_day, on_rows)
            runner.run(work)
    return reports


def table_of(reports: list[DayReport]) -> Group:
    """Return a row for each day of each channel, and below why some are not there."""
    table = Table(
        *("day", "instrument", "channel", "state", "rows", "missing", "repeated", "unsorted"),
        *("bad lines", "times", "sha256"),
    )
    for report in reports:
        content = report.content
        if content is None:
            table.add_row(*_place(report), f"[red]{report.state}[/red]")
            continue
        missing = (
            "may jump"
            if content.missing is None
            else f"{content.missing + report.missing_before:,}"
        )
        table.add_row(
            *_place(report),
            report.state.value,
            f"{content.rows:,}",
            missing,
            *(f"{count:,}" for count in (content.repeated, content.unsorted, content.bad_lines)),
            ", ".join(content.units),
            report.sha256[:8],
        )
    failed = (report for report in reports if not report.state.is_done)
    return Group(
        table,
        *(f"[red]{' '.join(_place(item))}: {item.state}: {item.reason}[/red]" for item in failed),
    )


def _place(report: DayReport) -> tuple[str, str, str]:
    return report.day.isoformat(), f"{report.market} {report.symbol}", report.channel
