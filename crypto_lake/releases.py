"""Releases as the reader finds them: names for past states of the lake that are kept."""

import msgspec
from pyarrow import fs

from shared.lake.releases import Release, is_name, path_of


def find(root: str, name: str) -> Release | None:
    """Return a release of a lake, None if there is none of that name."""
    if not is_name(name):
        return None
    path = path_of(root, name)
    system, file = fs.FileSystem.from_uri(path if "://" in path else f"file://{path}")
    if system.get_file_info(file).type is not fs.FileType.File:
        return None
    with system.open_input_stream(file) as stream:
        return msgspec.json.decode(stream.read(), type=Release)
