"""The sum over a range, against XXH64's own reference value and against wrapping."""

from crypto_pipeline.transforms.id_sums import sum_of_range


def test_one_id_is_its_hash():
    # Spark 3.5: SELECT xxhash64(0L), xxhash64(1L), xxhash64(123456789012L)
    assert sum_of_range(0, 0) == -5252525462095825812
    assert sum_of_range(1, 1) == -7001672635703045582
    assert sum_of_range(123456789012, 123456789012) == 3056854389786727671


def test_a_range_is_the_wrapped_sum_of_its_ids():
    parts = sum_of_range(1, 100_000) + sum_of_range(100_001, 300_000)
    assert sum_of_range(1, 300_000) == (parts + 2**63) % 2**64 - 2**63
    assert -(2**63) <= sum_of_range(1, 300_000) < 2**63


def test_an_id_that_stands_for_another_changes_the_sum():
    once = sum_of_range(0, 6)
    twice = sum(sum_of_range(number, number) for number in (0, 0, 2, 3, 4, 5, 6))
    assert once != (twice + 2**63) % 2**64 - 2**63
