"""`healing`: what the ledger lacks, fetched by `crypto-stream heal` into the topics that bronze reads.

The venue's language stays in `streaming`; this hands it ranges and waits. It does not hold the lake's slot
meanwhile, so ticks go on.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable

import msgspec
from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, asset

from crypto_pipeline.assets.describe import Stopwatch
from crypto_pipeline.errors import HealingError
from crypto_pipeline.ledger.days import State
from crypto_pipeline.ledger.rows import Row, latest_dates, stream_of
from crypto_pipeline.ledger.ways import wanted
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.settings import process_environment

NAME = "healing"
# Exit codes of `crypto-stream heal`: all settled, or some left for another time.
_SETTLED, _LEFT = 0, 1
_COMMAND = (sys.executable, "-m", "streaming.cli", "heal", "-")


class Healed(msgspec.Struct, frozen=True):
    """What `crypto-stream heal` says in the end, in ids."""

    missing: int
    healed: int
    unhealable: int


def open_gaps(lakehouse: LakehouseResource) -> list[Row]:
    """Return the rows of `quality_gaps` that are open, of the latest days (a setting says how many)."""
    rows = hudi_utils.read_small(
        lakehouse.lake,
        TABLES["quality_gaps"],
        dates=latest_dates(lakehouse.clock.now_ns(), lakehouse.settings.dagster.heal_days),
    )
    return [row for row in rows if row["state"] == State.OPEN]


def listed_gaps(lakehouse: LakehouseResource) -> list[Row]:
    """Return those of symbols in the symbols file, which tells what the exchange calls them."""
    listed = {(item.exchange, item.market, item.symbol) for item in lakehouse.instruments}
    return [row for row in open_gaps(lakehouse) if stream_of(row)[:3] in listed]


def heal_gaps(
    lakehouse: LakehouseResource, on_line: Callable[[str], object]
) -> MaterializeResult[None]:
    """Have every open range fetched, of symbols that are listed.

    Args:
        lakehouse: the lake, its settings and clock.
        on_line: told each line that the command logs.

    Raises:
        HealingError: the command failed.
    """
    watch = Stopwatch()
    lines = wanted(listed_gaps(lakehouse))
    if not lines:
        return MaterializeResult(metadata={"ranges": 0, "seconds": watch.seconds})
    done = _run(lines, lakehouse.settings.dagster.heal_within_s, on_line)
    return MaterializeResult(
        metadata={
            "ranges": len(lines),
            "ids healed": done.healed,
            "ids unhealable": done.unhealable,
            "ids left": done.missing,
            "seconds": watch.seconds,
        }
    )


def _run(lines: list[Row], within_s: float, on_line: Callable[[str], object]) -> Healed:
    with tempfile.TemporaryFile() as ranges:
        ranges.write(b"\n".join(msgspec.json.encode(line) for line in lines))
        ranges.seek(0)
        with subprocess.Popen(  # noqa: S603 - our own command, without a shell
            (*_COMMAND, "--within", str(within_s)),
            stdin=ranges,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=process_environment(),
        ) as process:
            last = ""
            for text in process.stdout or ():
                last = text.strip()
                on_line(last)
    if process.returncode not in {_SETTLED, _LEFT}:
        raise HealingError(process.returncode, last)
    return msgspec.json.decode(last, type=Healed)


@asset(
    key=NAME,
    description="Ids that the lake lacks, from REST or the archive into the topics that bronze reads",
    group_name="quality",
    owners=["team:lake"],
    kinds={"kafka"},
)
def healing(
    context: AssetExecutionContext, lakehouse: LakehouseResource
) -> MaterializeResult[None]:
    """Fetch what is open; the steps after it in the same run bring it in and look again."""
    return heal_gaps(lakehouse, context.log.info)


HEALING_ASSETS: list[AssetsDefinition] = [healing]
