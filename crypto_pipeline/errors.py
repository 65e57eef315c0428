"""The lake's errors.

LakehouseError
└── PipelineError
    ├── HealingError             `crypto-stream heal` failed; what is open stays open
    ├── CheckpointMissingError   a table has rows but no commit that says up to where
    ├── IncompatibleEngineError  the Spark endpoint runs versions that do not fit together
    ├── ReleaseError             a release cannot be kept or dropped under that name
    ├── NothingToRebuildError    a rebuild was asked for that bronze cannot serve
    └── KafkaUnreachableError    the broker does not answer; worth another try
"""

from shared.errors import LakehouseError


class PipelineError(LakehouseError):
    """Base of the lake's errors."""


class CheckpointMissingError(PipelineError):
    """Ingesting on would start from the beginning and double the table."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"{table} has commits but none on its timeline carries a checkpoint; going on would read"
            " its source from the beginning. Restore the table's timeline, or move the table away"
            " to have it rebuilt."
        )
        self.table = table


class HealingError(PipelineError):
    """The command that fetches missing ids failed."""

    def __init__(self, code: int, last_line: str) -> None:
        super().__init__(
            f"crypto-stream heal ended with {code}: {last_line or 'it said nothing'}. The gaps stay"
            " open and are tried again; by hand it tells more: `crypto-lake completeness --ranges |"
            " crypto-stream heal`."
        )
        self.code = code


class IncompatibleEngineError(PipelineError):
    """Spark, Scala, Hudi or Java of the endpoint is not one that the lake is written with."""

    def __init__(self, remote: str, wrong: list[str]) -> None:
        super().__init__(
            f"{remote}: {'; '.join(wrong)}. Start Spark Connect with the versions of infra/jars.txt."
        )
        self.wrong = wrong


class ReleaseError(PipelineError):
    """The release's configuration names what is taken, absent or no name."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")


class NothingToRebuildError(PipelineError):
    """The rebuild's configuration names what is not there."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")


class KafkaUnreachableError(PipelineError):
    """The broker did not answer in time."""
