"""The reader's errors.

LakehouseError
└── LakeError
    ├── NoLakeError       there is no lake where one was asked for
    └── QueryError        the question cannot be answered: unknown table, bad SQL
        └── TooEarlyError     a table's past does not reach back that far
"""

from shared.errors import LakehouseError


class LakeError(LakehouseError):
    """Base of the reader's errors."""


class NoLakeError(LakeError):
    """No table lies under the given root."""

    def __init__(self, root: str) -> None:
        super().__init__(
            f"{root}: no tables here. Start the stack with ./deploy.sh --demo, or name another lake"
            " with --data-dir or --lake."
        )


class QueryError(LakeError):
    """A query names an unknown table or is not SQL that DuckDB takes."""


class TooEarlyError(QueryError):
    """The files of that state may be gone, or the table did not exist."""

    def __init__(self, table: str, first: str) -> None:
        super().__init__(
            f"{table}: its past reaches back to {first} (UTC), the last 60 writes. Ask for a later"
            " time; an older state stays readable where a release keeps it (docs/crypto_lake.md)."
        )
        self.table = table
        self.first = first
