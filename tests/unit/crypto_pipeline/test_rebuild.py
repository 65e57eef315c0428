"""What a rebuild refuses before it begins."""

import pytest

from crypto_pipeline.errors import NothingToRebuildError
from crypto_pipeline.rebuild import SymbolDays, check


def test_a_symbol_day_that_bronze_holds_is_accepted(tmp_path):
    (tmp_path / "bronze_trades" / "symbol=BTCUSDT" / "date=2024-08-08").mkdir(parents=True)
    check(str(tmp_path), SymbolDays(symbols=["BTCUSDT"], dates=["2024-08-08"]))


@pytest.mark.parametrize(
    ("symbols", "dates", "message"),
    [
        (["BTCUSDT"], ["2024-08-08"], "BTCUSDT 2024-08-08: bronze holds nothing"),
        (["BTCUSDT"], ["8.8.2024"], "8.8.2024 is no day. Write it as YYYY-MM-DD"),
        (["BTCUSDT"], ["20240808"], "20240808 is no day"),
        ([], [], "one is empty"),
    ],
)
def test_what_bronze_cannot_serve_is_refused_with_its_name(tmp_path, symbols, dates, message):
    with pytest.raises(NothingToRebuildError, match=message):
        check(str(tmp_path), SymbolDays(symbols=symbols, dates=dates))
