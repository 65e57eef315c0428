from datetime import UTC, datetime

import pytest

from crypto_lake.errors import TooEarlyError
from crypto_lake.tables import readable_at
from shared.lake.timeline import Instant

SAVED = Instant("20240808000000000", "savepoint", "20240808120000000")


def at(minute: int, second: int = 0) -> datetime:
    return datetime(2024, 8, 8, minute // 60, minute % 60, second, tzinfo=UTC)


def minutely(count: int) -> list[Instant]:
    """A write at each full minute that takes ten seconds."""
    stamps = [at(minute).strftime("%Y%m%d%H%M") for minute in range(count)]
    return [Instant(f"{stamp}00000", "commit", f"{stamp}10000") for stamp in stamps]


def test_a_time_sees_the_last_write_that_was_complete_then():
    writes = minutely(5)
    assert readable_at("t", writes, at(3, 10)) == writes[3]
    assert readable_at("t", writes, at(3, 9)) == writes[2]
    assert readable_at("t", writes, at(700)) == writes[4]


@pytest.mark.parametrize(("count", "when"), [(5, at(0)), (70, at(9, 30)), (0, at(1))])
def test_a_time_before_the_kept_versions_is_refused_with_the_first_that_can_be_had(count, when):
    with pytest.raises(TooEarlyError) as refused:
        readable_at("t", minutely(count), when)
    first = {5: "2024-08-08 00:00:10.000", 70: "2024-08-08 00:10:10.000", 0: "-"}[count]
    assert refused.value.first.startswith(first)


def test_the_oldest_of_sixty_writes_is_still_answered():
    writes = minutely(70)
    assert readable_at("t", writes, at(10, 10)) == writes[10]


def test_what_a_savepoint_keeps_is_readable_for_good():
    writes = minutely(200)
    assert readable_at("t", [*writes, SAVED], at(0, 30)) == writes[0]
    with pytest.raises(TooEarlyError):
        readable_at("t", [*writes, SAVED], at(1, 30))
