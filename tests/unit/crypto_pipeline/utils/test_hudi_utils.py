from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils.hudi_utils import held_partitions

SPEC = TABLES["silver_trades"]


def test_partitions_that_are_held_are_told_from_those_that_are_not(tmp_path):
    (tmp_path / "silver_trades" / "symbol=BTCUSDT" / "date=2024-08-08").mkdir(parents=True)
    held, other = ("BTCUSDT", "2024-08-08"), ("BTCUSDT", "2024-08-09")
    assert held_partitions(str(tmp_path), SPEC, {held, other}) == {held}
    assert held_partitions(str(tmp_path / "none"), SPEC, {held}) == set()
    assert held_partitions(str(tmp_path), SPEC, set()) == set()
