"""The lake's errors.

LakehouseError
└── PipelineError
    ├── HealingError             `crypto-stream heal` failed; what is open stays open
    ├── CheckpointMissingError   a table has rows but no commit that says up to where
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
            " open and are tried again; run it by hand on `crypto-lake completeness --gaps` to see more."
        )
        self.code = code


class KafkaUnreachableError(PipelineError):
    """The broker did not answer in time."""
