"""glibc's allocator, told to keep what was freed.

A batch for Kafka is a buffer of a megabyte. By default such a one is mapped anew from the kernel, page by
page and zeroed, and given back a moment later, a tenth of what a frame costs under load.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 1024 * 1024
_LARGEST_KEPT_BYTES = 32 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Keep up to 256 MiB for the next use; returns whether the C library knows how."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
    )
