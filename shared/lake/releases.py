"""A release: a name for the state of every table at one moment, kept until it is dropped.

Each table has a savepoint at the instant that the release names, so cleaning leaves its files. The release
itself is a file `<lake>/releases/<name>.json`, written when all savepoints stand.
"""

import re

import msgspec

FOLDER = "releases"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Release(msgspec.Struct, frozen=True):
    """The instant of each table's last write in it."""

    tables: dict[str, str]


def is_name(text: str) -> bool:
    """Return whether a text may name a release; a time never does, for names begin with a letter."""
    return _NAME.fullmatch(text) is not None


def path_of(lake: str, name: str) -> str:
    """Return where a release is written down."""
    return f"{lake}/{FOLDER}/{name}.json"
