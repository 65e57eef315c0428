"""How an asset check runs: when it looks, what at, and what it says while it does not.

It looks at the partitions written since its last look, and repeats its last verdict without a Spark job
while the table has no newer commit. In a tick, what looks at every row of a partition also rests for sixty
times as long as it took, a quarter of an hour at most: in the evening a day of quotes has millions of rows, and
ticks shall not be late for looking at all of them each minute. Whoever starts it by hand has it look.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetKey,
    DagsterEventType,
    MetadataValue,
    asset_check,
)

from crypto_pipeline.assets.describe import Stopwatch
from crypto_pipeline.automation import JOB
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.specs import TableSpec
from crypto_pipeline.utils import hudi_utils

# A look that takes longer than this is followed by a rest of so many times its length, up to a limit
# within which the timeline still tells what was written meanwhile.
_SHORT_S = 2.0
_LOOK_ONE_IN = 60
_LONGEST_REST_S = 900.0
_HISTORY = 50
# What a look leaves in its metadata for the next one, in the order of `_Verdict`.
_TOLD = ("commit", "completed", "looked at", "seconds")


@dataclass(frozen=True)
class Finding:
    """What a check found: the rows that are wrong, none when all is well, and what to show."""

    wrong: int
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """What a look is about: a table's newest commit, and what was written since the last look.

    `after` is the completion time of the commit that the last look saw, None for the first look.
    """

    lake: str
    spec: TableSpec
    commit: hudi_utils.Commit
    after: str | None

    @property
    def commits(self) -> list[hudi_utils.Commit]:
        """The commits that brought rows since then, as far as the timeline reaches; not every tick checks."""
        if self.after is None:
            return [self.commit]
        return hudi_utils.news(self.lake, self.spec, self.after, self.commit.completed)

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """(symbol, date) of what was written, all where the timeline does not reach; read when asked for."""
        if self.after is None:
            return frozenset(hudi_utils.partitions_of(self.lake, self.spec, self.commit))
        return frozenset(
            hudi_utils.partitions_since(self.lake, self.spec, self.after, self.commit.completed)
        )


Look = Callable[[LakehouseResource, Scope], Finding]


def check(
    name: str,
    spec: TableSpec,
    text: str,
    look: Look,
    after: str | None = None,
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
    *,
    is_scan: bool = False,
) -> AssetChecksDefinition:
    """Return an asset check that looks once its table, and the table `after`, are filled.

    A check that `is_scan` reads whole partitions, and so rests in between, see `rests`.
    """
    key = AssetCheckKey(AssetKey(spec.name), name)
    deps = [AssetKey(after)] if after else []

    @asset_check(asset=key.asset_key, name=name, description=text, additional_deps=deps)
    def run(context: AssetCheckExecutionContext, lakehouse: LakehouseResource) -> AssetCheckResult:
        commit = hudi_utils.newest_write(lakehouse.lake, spec)
        if commit is None:
            return AssetCheckResult(passed=True, metadata={"state": "no rows yet"})
        now_s = lakehouse.clock.now_ns() / 1e9
        last = _last_verdict(context, key)
        if last is not None and last.commit == commit.requested:
            return last.again("no commit since the last look")
        may_rest = is_scan and context.run.job_name == JOB
        if last is not None and may_rest and rests(last.looked_at, last.seconds, now_s):
            return last.again("every row was looked at a short while ago")
        watch = Stopwatch()
        after = None if last is None else last.completed
        finding = look(lakehouse, Scope(lakehouse.lake, spec, commit, after))
        return AssetCheckResult(
            passed=finding.wrong == 0,
            severity=severity,
            description=f"{finding.wrong} {finding.text}",
            metadata={
                "commit": commit.requested,
                "completed": commit.completed,
                "looked at": MetadataValue.timestamp(now_s),
                "seconds": watch.seconds,
                **finding.metadata,
            },
        )

    return run


def rests(looked_at: float, seconds: float, now_s: float) -> bool:
    """Tell whether a look would be too soon: one took `seconds`, at `looked_at`, and it is `now_s`.

    Times in seconds since the epoch. What takes moments is never too soon.
    """
    return seconds > _SHORT_S and now_s - looked_at < min(seconds * _LOOK_ONE_IN, _LONGEST_REST_S)


@dataclass(frozen=True)
class _Verdict:
    """What the last look said, at which commit, when (seconds since the epoch), and how long it took."""

    said: AssetCheckEvaluation
    commit: str
    completed: str
    looked_at: float
    seconds: float

    def again(self, why: str) -> AssetCheckResult:
        """Repeat it."""
        return AssetCheckResult(
            passed=self.said.passed,
            severity=self.said.severity,
            description=self.said.description,
            metadata={**self.said.metadata, "state": why},
        )


def _last_verdict(context: AssetCheckExecutionContext, key: AssetCheckKey) -> _Verdict | None:
    storage = context.instance.event_log_storage
    # Runs that are planned, or died, stand in the history too.
    history = storage.get_asset_check_execution_history(key, limit=_HISTORY)
    for record in history:
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type is not DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        said = event.asset_check_evaluation_data
        if said.metadata.keys() >= set(_TOLD):
            return _Verdict(said, *(said.metadata[name].value for name in _TOLD))
    return None
