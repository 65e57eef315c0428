"""`python -m stack`: what deploy.sh, stop.sh, monitor.sh and cleanup.sh call."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from shared.errors import LakehouseError
from shared.settings import PREFIX, Settings, load_settings, process_environment
from stack import cleaning, leftovers
from stack import monitor as watching
from stack import once as recording
from stack.deployment import Deployment, Mode, environment, load, symbols_file
from stack.errors import StackError
from stack.preflight import problems
from stack.services import Service, services
from stack.supervision import Supervisor, launch

_REPO = Path(__file__).parent.parent
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()
DataDir = Annotated[Path, typer.Option(help="Where everything is kept.")]
DEFAULT_DATA_DIR = Path("data")


@app.command()
def deploy(
    local: Annotated[bool, typer.Option("--local", help="Embedded services (default).")] = False,
    docker: Annotated[bool, typer.Option("--docker", help="Containers.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Simulated Binance.")] = False,
    record: Annotated[
        list[Path] | None, typer.Option("--recording", help="Play this recording; may be repeated.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Fill the lake, stop, exit.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port_offset: Annotated[int, typer.Option(min=0, help="Added to every port.")] = 0,
    speed: Annotated[str, typer.Option(help="Of a recording: 1, 10, … or max.")] = "max",
    rewind: Annotated[
        bool, typer.Option(help="Play again from the start after a lost reader.")
    ] = False,
) -> None:
    """Start the whole system: check the machine, download, start, wait for health."""
    if docker and not local:
        raise StackError(
            "--docker: there are no container files yet (docker-compose.yml, Dockerfile.*);"
            " use --local, the default, which needs only Python 3.11 and Java 17"
        )
    if (demo and record) or (once and not record):
        raise StackError("choose --demo or --recording FILE…; --once goes with --recording")
    mode = Mode.DEMO if demo else Mode.RECORDING if record else Mode.LIVE
    files = tuple(str(_existing(path)) for path in record or ())
    wanted = Deployment(str(data_dir.resolve()), port_offset, mode, files, speed, rewind)
    if _is_running(wanted):
        console.print(
            f"already running in {wanted.data_dir}; ./monitor.sh shows it, ./stop.sh stops it"
        )
        return
    leftovers.refuse(wanted)
    settings, variables = _prepare(wanted)
    table = services(wanted, settings, with_dagster=not once)
    launch(wanted, table, environment(wanted, load_settings()))
    supervisor = Supervisor(wanted)
    try:
        _start(supervisor, table, variables)
        if once:
            _run_once(wanted, settings, variables)
    except BaseException:
        console.print("[red]not started; stopping what runs[/red]")
        _stop(supervisor, table)
        raise
    if once:
        _stop(supervisor, table)
    else:
        console.print(_table(table))
        console.print("Stop with ./stop.sh, watch with ./monitor.sh, ask with crypto-lake.")


@app.command()
def stop(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop every service in order; the data stays. Exit 0 if nothing runs."""
    try:
        deployment = load(data_dir)
    except StackError as error:
        console.print(str(error))
        return
    table = services(deployment, _settings(deployment), with_dagster=True)
    try:
        supervisor = Supervisor(deployment)
    except StackError as error:
        found = leftovers.find(deployment)
        if not found:
            console.print(str(error))
            return
        console.print(f"supervisord is gone, ending what it started: {leftovers.named(found)}")
    else:
        _stop(supervisor, table)
    with console.status("stopping") as status:
        leftovers.end(deployment, table, lambda name: status.update(f"stopping {name}"))
    console.print("stopped")


@app.command()
def monitor(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    once: Annotated[bool, typer.Option("--once", help="Show once and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON once and leave.")] = False,
) -> None:
    """Show services, lag, last events, last materializations and rows. Exit 1 if a service is down."""
    deployment = load(data_dir)
    variables = process_environment() | environment(deployment, load_settings())
    status = watching.show(deployment, _settings(deployment), variables, once, as_json)
    sys.exit(0 if status else 1)


@app.command()
def cleanup(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a stopped deployment's data, after showing what that is."""
    folder = data_dir.resolve()
    if not (folder / "run" / "deployment.json").exists():
        console.print(f"{folder}: nothing was deployed here, nothing to delete")
        return
    deployment = load(folder)
    if _is_running(deployment):
        raise StackError(f"{folder}: the stack is running. Stop it first: ./stop.sh")
    leftovers.refuse(deployment)
    parts, foreign = cleaning.contents(folder)
    table = Table("folder", "MiB")
    for part in parts:
        table.add_row(str(part), f"{cleaning.size(part) / 1024**2:,.1f}")
    console.print(table)
    if foreign:
        names = ", ".join(path.name for path in foreign)
        console.print(f"not the stack's, stays: {names}", markup=False)
    if not yes:
        typer.confirm("Delete all of this? It cannot be had again", abort=True)
    cleaning.delete(parts)
    if not foreign:
        folder.rmdir()
    console.print(f"deleted {', '.join(part.name for part in parts)} in {folder}", markup=False)


def _prepare(wanted: Deployment) -> tuple[Settings, dict[str, str]]:
    """Check the machine, then lay out folders, symbols and jars."""
    base = load_settings()
    settings = _settings(wanted)
    found = problems(settings, wanted.mode, Path(wanted.data_dir))
    if found:
        table = Table("problem", "remedy")
        for row in found:
            table.add_row(*row)
        console.print(table)
        raise StackError(f"{len(found)} problems; nothing was started")
    wanted.save()
    subprocess.run([str(_REPO / "scripts/download_jars.sh")], check=True)  # noqa: S603 - our own script
    home = Path(wanted.data_dir) / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(_REPO / "config" / "dagster.yaml", home / "dagster.yaml")
    if wanted.mode is Mode.RECORDING:
        symbols_file(wanted, base).write_bytes(recording.symbols_of(wanted.recordings))
    return settings, process_environment() | environment(wanted, base)


def _settings(deployment: Deployment) -> Settings:
    """Return the settings as this deployment's services will read them."""
    base = load_settings()
    sections = base.model_dump()
    for name, value in environment(deployment, base).items():
        if name.startswith(PREFIX):
            section, _, field = name.removeprefix(PREFIX).lower().partition("__")
            sections[section][field] = value
    return Settings.model_validate(sections)


def _start(supervisor: Supervisor, table: list[Service], variables: dict[str, str]) -> None:
    with console.status("starting") as status:
        for service in table:
            supervisor.start(service, lambda text: status.update(f"starting: {text}"))
            if service.setup:
                subprocess.run(service.setup, check=True, cwd=_REPO, env=variables)  # noqa: S603 - our own script
            console.print(f"{service.name} is up")


def _run_once(wanted: Deployment, settings: Settings, variables: dict[str, str]) -> None:
    with console.status("playing") as status:
        frames = recording.wait_until_played(settings, status.update)
        console.print(f"{frames:,} frames played and acknowledged by Kafka")
        log = wanted.log_dir / "ticks.log"
        counts = recording.fill_lake(variables, log, status.update)
    table = Table("table", "rows")
    for name, rows in counts.items():
        table.add_row(name, f"{rows:,}")
    console.print(table)


def _stop(supervisor: Supervisor, table: list[Service]) -> None:
    running = supervisor.processes()
    with console.status("stopping") as status:
        for service in reversed(table):
            if service.name in running:
                status.update(f"stopping {service.name}")
                supervisor.stop(service.name)
        supervisor.shut_down()


def _is_running(deployment: Deployment) -> bool:
    try:
        Supervisor(deployment)
    except StackError:
        return False
    return True


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StackError(f"--recording {path}: no such file")
    return path.resolve()


def _table(table: list[Service]) -> Table:
    shown = Table("service", "address")
    for service in table:
        shown.add_row(service.name, service.url)
    return shown


def main() -> None:
    """Run a command; what cannot be done is one clear line, exit 1."""
    try:
        app()
    except (LakehouseError, subprocess.CalledProcessError, httpx.HTTPError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
