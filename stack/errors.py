"""The embedded stack's errors.

LakehouseError
└── StackError             the stack cannot do what was asked; says what to do
    └── ServiceError       a service did not come up; names it and its log
"""

from pathlib import Path

from shared.errors import LakehouseError


class StackError(LakehouseError):
    """Base of the stack's errors."""


class ServiceError(StackError):
    """A service is not healthy in time."""

    def __init__(self, service: str, reason: str, log: Path) -> None:
        super().__init__(f"{service} did not come up: {reason}. Its log: {log}")
