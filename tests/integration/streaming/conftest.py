from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.integration.conftest import mock_exchange
from tests.integration.streaming.past_days import DAYS, Bench, lines_of


@pytest.fixture
def bench(topics: str, tmp_path: Path) -> Iterator[Bench]:
    """Three days of spot, ids 0 to 2,999."""
    arguments = ("simulate", "--symbols", "", "--archive", str(tmp_path / "files"))
    with mock_exchange(free_port(), tmp_path / "mock.log", *arguments) as venue:
        made = Bench(venue, topics, tmp_path)
        for day in DAYS:
            made.write(day, lines_of(day))
        yield made
