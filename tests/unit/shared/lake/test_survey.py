from dataclasses import dataclass, field

import pytest

from shared.lake import survey as module
from shared.lake.survey import file_instant, survey
from shared.lake.timeline import Instant

PARTITION = "symbol=BTCUSDT/date=2024-08-08"


@dataclass
class Slice:
    base_file_name: str
    base_file_size: int
    partition_path: str = PARTITION
    log_file_names: list[str] = field(default_factory=list)
    log_file_sizes: list[int] = field(default_factory=list)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aa-0_1-2-3_20240808000000000.parquet", "20240808000000000"),
        (".aa-0_20240808000100000.log.1_0-1-2", "20240808000100000"),
        ("..aa-0_20240808000100000.log.1_0-1-2.crc", None),
        (".aa-0_1-2-3_20240808000000000.parquet.crc", None),
        (".hoodie_partition_metadata", None),
    ],
)
def test_a_file_names_the_write_that_left_it(name, expected):
    assert file_instant(name) == expected


def test_old_files_are_those_no_newest_slice_names_and_expire_when_no_retained_write_needs_them(
    monkeypatch,
):
    monkeypatch.setattr("shared.lake.upkeep.RETAINED", 1)
    timeline = [Instant(f"{n}", "commit", f"{n}1") for n in ("050", "100", "200")]
    newest = Slice("g_t_200.parquet", 7, log_file_names=[".g_210.log.1_x"], log_file_sizes=[3])
    files = [
        ("g_t_200.parquet", 7),
        (".g_210.log.1_x", 3),
        ("g_t_100.parquet", 5),
        ("g_t_040.parquet", 11),
        ("g_t_300.parquet", 13),
        (".hoodie_partition_metadata", 99),
    ]
    retained = [Slice("g_t_100.parquet", 5)]
    found = survey("t", timeline, files, [newest], retained, is_merged_on_read=True)
    assert [(item.base_bytes, item.log_bytes) for item in found.slices] == [(7, (3,))]
    assert (found.old_bytes, found.expired_bytes) == (29, 11)


def test_nothing_expires_while_every_write_is_retained():
    timeline = [Instant("100", "commit", "110")]
    found = survey("t", timeline, [("g_t_050.parquet", 5)], [], [], is_merged_on_read=False)
    assert (found.old_bytes, found.expired_bytes) == (5, 0)
    assert module.survey is survey
