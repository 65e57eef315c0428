"""Exactly once, whatever dies: one kill of each part; `tests/e2e/chaos.py` does as many as asked."""

from pathlib import Path

import pytest

from tests.e2e.chaos import Chaos
from tests.e2e.conftest import CAPTURES, needs_material

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500), needs_material]


def test_a_kill_of_each_part_neither_loses_nor_doubles_a_trade(tmp_path: Path) -> None:
    recording = CAPTURES / "nkaz001-hftbacktest_spot_ethusdt_20240808.jsonl.gz"
    log: list[str] = []
    Chaos(recording, tmp_path, port_offset=12000, seed=1).run(1, log.append)
    assert sum(line.startswith("killed") for line in log) == 4
