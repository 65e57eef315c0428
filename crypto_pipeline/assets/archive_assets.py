"""`archive_days`: past days from the exchange's archive into Kafka, by the collector's own command."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    Config,
    Failure,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableSchema,
    asset,
)
from pydantic import Field

from shared.settings import process_environment

NAME = "archive_days"
CHECK = AssetCheckSpec(
    "every_day_came", asset=NAME, description="Every day that was asked for is in Kafka"
)
# What the command says of a day, in the table's order.
_OF_DAY = ("day", "market", "symbol", "channel", "state", "reason", "seconds")
_OF_CONTENT = ("rows", "first_id", "last_id", "missing", "repeated", "unsorted")
_MORE = ("invalidated", "bad_lines", "units")
_COLUMNS = (*_OF_DAY, *_OF_CONTENT, *_MORE, "missing_before")
_DONE = {"brought", "known"}
# The command's exit code where some days could not be brought in; others mean that it could not work.
_SOME_FAILED = 1
_SHOWN_ROWS = 500


class BackfillConfig(Config):
    """Which days to bring in."""

    first_day: str = Field(description="YYYY-MM-DD, UTC")
    last_day: str = Field(description="YYYY-MM-DD, UTC, included; a day that is over")
    symbols: list[str] = Field(
        default=[], description="Of the symbols file; empty for the enabled ones"
    )
    channels: list[str] = Field(
        default=[], description="aggTrade, trade, kline_1m, …; empty for each symbol's own"
    )
    again: bool = Field(
        default=False, description="Bring days in again whose file the venue has replaced"
    )


def command(config: BackfillConfig) -> list[str]:
    """Return the command line that brings the days in."""
    program = str(Path(sys.executable).parent / "crypto-stream")
    line = [program, "backfill", "--json", "--from", config.first_day, "--to", config.last_day]
    for symbol in config.symbols:
        line += ["--symbol", symbol]
    for channel in config.channels:
        line += ["--channel", channel]
    return [*line, "--again"] if config.again else line


def bring(config: BackfillConfig) -> MaterializeResult[None]:
    """Run the command and report what became of each day.

    Raises:
        Failure: it could not work at all; its own words say why.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        command(config), capture_output=True, text=True, env=process_environment(), check=False
    )
    if done.returncode not in {0, _SOME_FAILED} or not done.stdout:
        raise Failure(f"crypto-stream backfill: exit code {done.returncode}. {done.stderr[-2000:]}")
    days = [_flat(day) for day in msgspec.json.decode(done.stdout, type=list[dict[str, Any]])]
    failed = [day for day in days if day["state"] not in _DONE]
    brought = [day for day in days if day["state"] == "brought"]
    table = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    table += [
        f"| {' | '.join('' if day[name] is None else str(day[name]) for name in _COLUMNS)} |"
        for day in days[:_SHOWN_ROWS]
    ]
    return MaterializeResult(
        metadata={
            "days": len(days),
            "brought": len(brought),
            "rows": sum(day["rows"] for day in brought),
            "table": MetadataValue.md("\n".join(table)),
        },
        check_results=[
            AssetCheckResult(
                passed=not failed,
                check_name=CHECK.name,
                description=f"{len(failed)} of {len(days)} days could not be brought in",
            )
        ],
    )


def _flat(day: dict[str, Any]) -> dict[str, Any]:
    """Return a day's report with its content's fields beside its own."""
    content = day.get("content") or {}
    return {name: content.get(name, day.get(name)) for name in _COLUMNS}


@asset(
    name=NAME,
    group_name="bronze",
    description="Past days from the exchange's archive into Kafka, from where bronze takes them",
    owners=["team:lake"],
    kinds={"kafka"},
    check_specs=[CHECK],
    metadata={"dagster/column_schema": TableSchema([TableColumn(name) for name in _COLUMNS])},
)
def _archive_days(context: AssetExecutionContext, config: BackfillConfig) -> MaterializeResult:  # type: ignore[type-arg]  # with checks Dagster knows the bare name only
    context.log.info(" ".join(command(config)))
    return bring(config)


ARCHIVE_ASSETS = [_archive_days]
