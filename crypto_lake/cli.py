"""`crypto-lake`: look at the lake's tables, query and verify them."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import pyarrow as pa
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from crypto_lake import completeness, query, releases, verify
from crypto_lake.errors import QueryError
from crypto_lake.maintenance import report
from crypto_lake.output import Format, emit
from crypto_lake.tables import Lake, commit_time
from shared.errors import LakehouseError
from shared.lake.upkeep import first_open_day
from shared.settings import load_settings

app = typer.Typer(
    help="Read the lake without a JVM. Examples:\n\n"
    "crypto-lake tables\n\n"
    "crypto-lake sql \"select * from gold_ohlcv where symbol = 'BTCUSDT' and interval = '1m'\"\n\n"
    "crypto-lake --data-dir /srv/lake verify",
    no_args_is_help=True,
)
_T = TypeVar("_T")
FormatOption = Annotated[Format, typer.Option("--format", help="How to print rows.")]
OutputOption = Annotated[Path | None, typer.Option(help="Write to this file instead.")]


@app.callback()
def choose_lake(
    context: typer.Context,
    data_dir: Annotated[
        Path | None, typer.Option(help="The stack's data folder (default: CRYPTO_PATHS__DATA_DIR).")
    ] = None,
    lake: Annotated[
        str | None, typer.Option(help="The lake's root itself, a folder or URI.")
    ] = None,
) -> None:
    """Remember which lake is meant; it is opened by the command."""
    if lake is None and data_dir is None:
        lake = load_settings().paths.lake
    context.obj = lake or str((data_dir or Path()).resolve() / "lake")


@app.command()
def tables(
    context: typer.Context, form: FormatOption = Format.TABLE, output: OutputOption = None
) -> None:
    """List the tables: rows, symbols, days, size on disk and last commit."""
    lake = Lake(context.obj)
    found = [lake.info(name) for name in _progress(lake.names, "reading")]
    rows = [asdict(info) | {"last_commit": commit_time(info.last_commit)} for info in found]
    emit(pa.Table.from_pylist(rows), form, output)


@app.command()
def sql(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="SQL", help="One DuckDB query.")],
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|NAME", help="As the lake was: 2026-01-31T12:00:00 (UTC), or a release."
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Answer a query; every table is there by its name, `lake_tables` lists them."""
    when = None if as_of is None else releases.find(context.obj, as_of) or _time(as_of)
    emit(query.run(Lake(context.obj, when), text), form, output)


@app.command()
def head(
    context: typer.Context,
    table: str,
    rows: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Show the first rows of a table."""
    emit(Lake(context.obj).dataset(table).head(rows), form, output)


@app.command()
def schema(
    context: typer.Context,
    table: str,
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Show a table's columns and types."""
    columns = Lake(context.obj).schema(table)
    listing = [{"column": item.name, "type": str(item.type)} for item in columns]
    emit(pa.Table.from_pylist(listing), form, output)


@app.command()
def offsets(
    context: typer.Context, form: FormatOption = Format.TABLE, output: OutputOption = None
) -> None:
    """Show up to which Kafka offset each bronze table holds its topics."""
    lake = Lake(context.obj)
    rows = [
        {"table": name, "topic": topic, "partition": partition, "offset": offset}
        for name in lake.names
        if name.startswith("bronze_")
        for topic, partition, offset in lake.offsets(name)
    ]
    emit(pa.Table.from_pylist(rows), form, output)


@app.command(name="completeness")
def show_completeness(
    context: typer.Context,
    symbol: Annotated[str | None, typer.Option(help="Only this one, BTCUSDT.")] = None,
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Only this UTC day.")
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a calendar heat-map here too.")] = None,
    gaps: Annotated[bool, typer.Option(help="Each range that did not come live instead.")] = False,
    ranges: Annotated[bool, typer.Option(help="What crypto-stream heal reads instead.")] = False,
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Show which ids are held, which lack and why. Exit 1 if some are missing that may be found.

    crypto-lake completeness --ranges | crypto-stream heal
    """
    found = Lake(context.obj), symbol, day.date() if day else None, exchange
    if ranges:
        for line in completeness.open_ranges(*found):
            sys.stdout.write(f"{line}\n")
        return
    rows = completeness.days(*found)
    if html is not None:
        html.write_text(completeness.heat_map(rows), encoding="utf-8")
    emit(completeness.gaps(*found) if gaps else rows, form, output)
    sys.exit(1 if "open" in rows["state"].to_pylist() else 0)


@app.command()
def maintain(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is due; change nothing.")
    ] = False,
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Show each table's timeline, files and what the next maintenance run would do. Needs --dry-run."""
    if not dry_run:
        raise QueryError(
            "maintenance runs inside the stack, as Dagster's job lake_maintenance, each 20 minutes;"
            " start it there at any time. Here --dry-run shows what it would do."
        )
    lake = Lake(context.obj)
    today = first_open_day(datetime.now(UTC))
    states = [lake.state(name) for name in _progress(lake.names, "surveying")]
    emit(pa.Table.from_pylist([report(state, today) for state in states]), form, output)


@app.command(name="verify")
def verify_lake(context: typer.Context) -> None:
    """Recompute candles from fills and compare; look for keys that stand twice, missing trade ids, crossed books.

    Books are not rebuilt from their changes. Exit 1 if anything is wrong.
    """
    lake = Lake(context.obj)
    console = Console()
    table = Table("check", "result", "wrong rows")
    failed = []
    for check in _progress(verify.checks(), "verifying"):
        verdict = verify.verify(lake, check)
        if verdict is None:
            table.add_row(check.name, "no data yet", "")
            continue
        table.add_row(
            check.name, "ok" if not verdict.wrong else "[red]wrong[/red]", str(verdict.wrong)
        )
        if verdict.wrong:
            failed.append(verdict)
    console.print(table)
    for verdict in failed:
        console.print(f"{verdict.check.name}, for example:")
        emit(verdict.examples, Format.TABLE, None)
    sys.exit(1 if failed else 0)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryError(
            f"--as-of {text}: no release of that name; write a time as 2026-01-31T12:00:00, UTC"
        ) from error


def _progress(items: Sequence[_T], text: str) -> Iterable[_T]:
    return track(items, text, console=Console(stderr=True), transient=True)


def main() -> None:
    """Run the command line; what cannot be done is one clear message, exit 2."""
    try:
        app()
    except LakehouseError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
