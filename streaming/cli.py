"""`crypto-stream`: run the collector, look at it, record, replay and heal."""

import asyncio
import sys
import time
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import msgspec
import structlog
import typer
import uvloop
from rich.console import Console
from rich.live import Live
from rich.progress import Progress, TextColumn
from rich.table import Table

from shared.clock import SystemClock
from shared.errors import ConfigurationError, LakehouseError
from shared.logging_config import configure_logging
from shared.market.recording import Frame
from shared.settings import Settings, load_settings
from shared.symbol_manager import load_symbols
from streaming.backfill_command import backfill
from streaming.heal import heal as heal_holes
from streaming.holes import read_holes
from streaming.instrumentation import HealingStats
from streaming.reachability import faults, plan_table
from streaming.replay import recordings, replay_to_kafka
from streaming.service import collect, planned, record_only
from streaming.status import fetch, table_of

# The screen is drawn ten times a second; a row of figures for each frame would cost more.
_SHOW_EVERY = 1000

app = typer.Typer(
    help="Collect market data from exchanges into Kafka. Settings are CRYPTO_* variables; see .env.example.",
    no_args_is_help=True,
)
app.command()(backfill)


@app.command()
def run(
    shard: Annotated[
        str | None, typer.Option(help="i/n: collect the i-th of n parts of the symbols, from 0.")
    ] = None,
) -> None:
    """Collect until SIGINT or SIGTERM, then flush and leave.

    What is collected stands in config/symbols.yaml; a change is followed within seconds. Exit 1
    means that Kafka did not answer or did not take a record: start again, nothing restarts here.
    """
    settings = load_settings(streaming={"shard": shard})
    _run(settings, collect(settings))


@app.command()
def record(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where the files go; else the setting's folder.")
    ] = None,
) -> None:
    """Write every frame as it comes to files, and nothing to Kafka. `replay` brings them in later."""
    settings = load_settings(recorder={"dir": str(folder) if folder else None})
    _run(settings, record_only(settings))


def _run(settings: Settings, work: Coroutine[Any, Any, None]) -> None:
    configure_logging(settings.log, "streaming")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except* LakehouseError as group:
        for error in group.exceptions:
            structlog.get_logger().error("service stopped", error=str(error))
        sys.exit(1)


@app.command()
def check(
    offline: Annotated[bool, typer.Option(help="Only show the plan; ask nobody.")] = False,
) -> None:
    """Show which connection would carry what, and whether the venue and Kafka answer (else exit 1).

    A subscription on a wrong route is acknowledged and stays silent, so this proves addresses, not
    data: for that look at `crypto-stream status` or /readyz of the running service.
    """
    settings = load_settings()
    connections = planned(settings)
    console = Console(soft_wrap=True)
    console.print(plan_table(connections))
    if not offline:
        found = faults(connections, settings.kafka.bootstrap_servers)
        for fault in found:
            console.print(f"not reachable: {fault}")
        if found:
            sys.exit(1)
        console.print("all answer")


@app.command()
def status(
    once: Annotated[bool, typer.Option(help="Print one table and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the service says.")] = False,
) -> None:
    """Show every subscription of the running service: alive, quiet, stale, and for how long.

    Exit 1 with --once or --json if the service is not ready.
    """
    streaming = load_settings().streaming
    url = f"http://{streaming.host}:{streaming.http_port}"
    console = Console()
    seen = fetch(url)
    if as_json:
        console.print_json(data=seen)
    elif once or not console.is_terminal:
        console.print(table_of(seen))
    else:
        with Live(table_of(seen), console=console, refresh_per_second=4) as live:
            while True:
                time.sleep(1)
                live.update(table_of(fetch(url)))
    if not seen["ready"]:
        sys.exit(1)


@app.command()
def replay(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    speed: Annotated[str, typer.Option(help="1 for the recorded pace, 10, … or max.")] = "max",
) -> None:
    """Feed recordings through the collector into Kafka, with the times at which they came.

    The rows of silver come out as from the live run. Exit 1 if Kafka did not take every record.
    """
    settings = load_settings()
    factor = _factor(speed)
    files = recordings(paths)
    console = Console()
    with Progress(
        *Progress.get_default_columns(),
        TextColumn("{task.fields[frames]:,} frames, {task.fields[moment]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        total = sum(path.stat().st_size for path in files)
        shown = progress.add_task("replaying", total=total, frames=0, moment="")
        frames = count(1)

        def on_frame(frame: Frame) -> None:
            number = next(frames)
            if factor is not None or number % _SHOW_EVERY == 0:
                moment = datetime.fromtimestamp(frame.recv_ns / 1e9, UTC)
                progress.update(shown, frames=number, moment=f"{moment:%Y-%m-%d %H:%M:%S}")

        def on_done(path: Path) -> None:
            progress.update(shown, advance=path.stat().st_size)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            work = replay_to_kafka(settings, SystemClock(), files, factor, on_frame, on_done)
            counts, sent = runner.run(work)
    table = Table("frames", "events", "records acknowledged", "dead letters", "gaps", "no snapshot")
    row = (counts.frames, counts.events, sent.produced, counts.dead_letters, counts.gaps)
    table.add_row(*(f"{number:,}" for number in (*row, counts.unanswered)))
    console.print(table)
    if sent.produced < sent.sent:
        console.print(f"{sent.sent - sent.produced:,} records were not acknowledged")
        sys.exit(1)


@app.command()
def heal(
    source: Annotated[
        typer.FileText, typer.Argument(metavar="[FILE]", help="Ranges as JSON lines; - for stdin.")
    ] = sys.stdin,  # type: ignore[assignment]  # typer opens files; this one is open
    within: Annotated[float, typer.Option(min=1, help="Seconds after which to give up.")] = 600,
) -> None:
    """Fetch ids that are missing over REST, or from the archive, and publish them like the rest.

    A line names exchange, market, symbol, channel, first_id and last_id; before_time and after_time of
    the records beside them lead to the archive's files where REST has a range no more. Each range ends
    in a status, healed or unhealable. Exit 1 if some are unsettled in the end: try them again later.
    """
    settings = load_settings()
    configure_logging(settings.log, "streaming", sys.stderr)
    now = datetime.fromtimestamp(SystemClock().now_ns() / 1e9, UTC)
    holes = read_holes(source, source.name, load_symbols(settings.paths.symbols_file), now)
    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns(),
        TextColumn("{task.fields[unhealable]:,} unhealable"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        total = sum(hole.ids for hole in holes)
        shown = progress.add_task("healing", total=total, unhealable=0)

        def on_progress(now: HealingStats) -> None:
            done = now.healed + now.unhealable
            progress.update(shown, completed=done, unhealable=now.unhealable)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            done = runner.run(heal_holes(settings, SystemClock(), holes, within, on_progress))
    sys.stdout.write(msgspec.json.encode(asdict(done)).decode() + "\n")
    if done.missing:
        sys.exit(1)


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise ConfigurationError(f"--speed {speed}", "neither a factor nor max", "Try 1, 10, max.")
    return factor


def main() -> None:
    """Run the command line; a bad setting or file is one clear line, exit 2."""
    try:
        app()
    except LakehouseError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
