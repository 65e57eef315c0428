"""Whether ids are all of a range, each once, told by one number. Pure.

Spark adds up the hashes of ids as it reads them, without an order and without a shuffle, and the same sum over the
range is worked out here. As many other ids of the range come to the same sum by a chance of 1 in 2^64.
"""

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

# XXH64 of eight bytes with the seed that Spark takes, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
_PRIMES = [
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
]
_SEED = np.uint64(42)
_AT_ONCE = 1 << 16

Words = npt.NDArray[np.uint64]


def sum_of(number: Column | str) -> Column:
    """Return the sum of the hashes of a bigint column, as a bigint that wraps."""
    return F.sum(F.xxhash64(number))


def sum_of_range(first: int, last: int) -> int:
    """Return what `sum_of` comes to for each id from the first to the last, once."""
    total = 0
    for start in range(first, last + 1, _AT_ONCE):
        ids = np.arange(start, min(start + _AT_ONCE, last + 1), dtype=np.int64)
        total += int(_hashed(ids.view(np.uint64)).sum(dtype=np.uint64))
    return (total + (1 << 63)) % (1 << 64) - (1 << 63)


def _hashed(ids: Words) -> Words:
    one, two, three, four, five = _PRIMES
    words = (_SEED + five + np.uint64(8)) ^ (_rotated(ids * two, 31) * one)
    words = _rotated(words, 27) * one + four
    words = (words ^ (words >> np.uint64(33))) * two
    words = (words ^ (words >> np.uint64(29))) * three
    return words ^ (words >> np.uint64(32))


def _rotated(words: Words, bits: int) -> Words:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
