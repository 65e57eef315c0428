"""How an asset check runs: when it looks, what at, and what it says while it does not.

It looks at the partitions written since its last look, and repeats its last verdict without a Spark job
while the table has no newer commit. In a tick, one that looks at every row does so by portions, with a rest
after each, see `check_pace`. Whoever starts it by hand has it look at all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from crypto_pipeline.check_pace import in_turn, portion, rests
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.specs import Partition, TableSpec
from crypto_pipeline.utils import hudi_utils

_HISTORY = 50
# What a look leaves in its metadata for the next one, in the order of `_Verdict`.
_TOLD = ("commit", "completed", "looked at", "seconds")
# And one that looks at every row, beside these: how many bytes, and which partitions it did not come to, or found wrong.
_BYTES, _WAITING, _AT_FAULT = "bytes", "waiting", "at fault"


@dataclass(frozen=True)
class Finding:
    """What a check found: the rows that are wrong, none when all is well, and what to show."""

    wrong: int
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """What a look is about: a table's newest commit, and what was written since the last look.

    `after` is the completion time of the commit that the last look saw, None for the first look. `chosen` are the
    partitions that it is the turn of; None: all that were written.
    """

    lake: str
    spec: TableSpec
    commit: hudi_utils.Commit
    after: str | None
    chosen: frozenset[Partition] | None = None

    @property
    def commits(self) -> list[hudi_utils.Commit]:
        """The commits that brought rows since then, as far as the timeline reaches; not every tick checks."""
        if self.after is None:
            return [self.commit]
        return hudi_utils.news(self.lake, self.spec, self.after, self.commit.completed)

    @cached_property
    def pairs(self) -> frozenset[Partition]:
        """What it is about; what was written is all where the timeline does not reach, and read when asked for."""
        if self.chosen is not None:
            return self.chosen
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

    A check that `is_scan` reads whole partitions, and so goes by portions.
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
        if last is not None and last.commit == commit.requested and not last.waiting:
            return last.again("no commit since the last look")
        is_paced = is_scan and context.run.job_name == JOB
        if last is not None and is_paced and rests(last.looked_at, last.seconds, now_s):
            return last.again("every row was looked at a short while ago")
        watch = Stopwatch()
        scope = Scope(lakehouse.lake, spec, commit, None if last is None else last.completed)
        told: dict[str, Any] = {}
        if is_scan:
            scope, told = _by_turns(scope, last, is_paced=is_paced)
        finding = look(lakehouse, scope)
        said = f"{finding.wrong} {finding.text}"
        if is_scan:
            told[_AT_FAULT] += sorted(scope.pairs) if finding.wrong else []
            if told[_AT_FAULT] and not finding.wrong:
                said += f", but {len(told[_AT_FAULT])} partitions that were wrong have yet to be looked at again"
        return AssetCheckResult(
            passed=not (finding.wrong or told.get(_AT_FAULT)),
            severity=severity,
            description=said,
            metadata={
                "commit": commit.requested,
                "completed": commit.completed,
                "looked at": MetadataValue.timestamp(now_s),
                "seconds": watch.seconds,
                **told,
                **finding.metadata,
            },
        )

    return run


def _by_turns(
    scope: Scope, last: "_Verdict | None", *, is_paced: bool
) -> tuple[Scope, dict[str, Any]]:
    """Return the scope of those partitions that it is the turn of, and what the next look is to know."""
    waiting, at_fault = ([], []) if last is None else (last.waiting, last.at_fault)
    wanted = in_turn(waiting, at_fault, scope.pairs)
    sizes = hudi_utils.sizes_of(scope.lake, scope.spec, wanted)
    chosen = wanted
    if is_paced:
        pace = (0, 0.0) if last is None else (last.bytes, last.seconds)
        chosen = portion(wanted, sizes, *pace)
    taken = frozenset(chosen)
    told = {
        "partitions": f"{len(chosen)} of {len(wanted)}",
        _BYTES: sum(sizes[each] for each in chosen),
        _WAITING: [each for each in wanted if each not in taken],
        _AT_FAULT: [each for each in at_fault if each not in taken],
    }
    return replace(scope, chosen=taken), told


@dataclass(frozen=True)
class _Verdict:
    """What the last look said, at which commit, when (seconds since the epoch), and how long it took.

    One that looks at every row also tells how many `bytes` it took, and which partitions are `waiting` or `at_fault`.
    """

    said: AssetCheckEvaluation
    commit: str
    completed: str
    looked_at: float
    seconds: float
    bytes: int
    waiting: list[Partition]
    at_fault: list[Partition]

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
            told = {name: value.value for name, value in said.metadata.items()}
            commit, completed, looked_at, seconds = (told[name] for name in _TOLD)
            waiting, at_fault = (
                [(symbol, day) for symbol, day in told.get(name, [])]
                for name in (_WAITING, _AT_FAULT)
            )
            size = told.get(_BYTES, 0)
            return _Verdict(said, commit, completed, looked_at, seconds, size, waiting, at_fault)
    return None
