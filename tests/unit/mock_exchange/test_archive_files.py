import io
import zipfile
from datetime import date

import pytest

from mock_exchange.archive_files import (
    DayFile,
    checksum,
    csv_of,
    day_file,
    in_unit,
    with_a_hole,
    zipped,
)
from shared.market.instruments import Market

DAY = date(2024, 8, 8)
BEGIN_MS = 1_723_075_200_000
AGGREGATE = {"a": 1, "p": "2.5", "q": "3", "f": 4, "l": 5, "T": BEGIN_MS, "m": True}


def file(market: Market = Market.SPOT, kind: str = "aggTrades", day: date = DAY) -> DayFile:
    return DayFile(market, kind, "BTCUSDT", "1m" if kind == "klines" else None, day)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-08-08.zip", file()),
        (
            "futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-08-08.zip",
            file(Market.UM, "klines"),
        ),
        (
            "futures/cm/daily/trades/BTCUSDT/BTCUSDT-trades-2024-08-08.zip",
            file(Market.CM, "trades"),
        ),
        ("spot/daily/aggTrades/BTCUSDT/ETHUSDT-aggTrades-2024-08-08.zip", None),
        ("spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-08-08.csv", None),
        ("spot/daily/aggTrades/BTCUSDT/BTCUSDT-trades-2024-08-08.zip", None),
        ("spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-13-08.zip", None),
        ("spot/daily/aggTrades/../BTCUSDT-aggTrades-2024-08-08.zip", None),
    ],
)
def test_a_path_asks_for_a_day_of_a_symbol(path, found):
    assert day_file(f"/data/{path}") == found


def test_a_day_ends_where_the_next_begins():
    begin_ms, end_ms = file().span_ms
    assert file().name == "BTCUSDT-aggTrades-2024-08-08.csv"
    assert file(kind="klines").name == "BTCUSDT-1m-2024-08-08.csv"
    assert (begin_ms, end_ms) == (BEGIN_MS, BEGIN_MS + 86_400_000)


def test_spot_files_have_no_names_and_large_flags():
    assert csv_of(file(), [AGGREGATE]) == f"1,2.5,3,4,5,{BEGIN_MS},True,True\n".encode()


def test_futures_files_have_names_and_small_flags():
    names, line = csv_of(file(Market.UM), [AGGREGATE | {"m": False}]).decode().splitlines()
    assert names.startswith("agg_trade_id,price,quantity,")
    assert line == f"1,2.5,3,4,5,{BEGIN_MS},false"


def test_candles_stand_as_rest_tells_them():
    row = [BEGIN_MS, "1", "2", "0.5", "1", "9", BEGIN_MS + 59_999, "9", 3, "1", "1", "0"]
    line = csv_of(file(kind="klines"), [row]).decode()
    assert line == f"{BEGIN_MS},1,2,0.5,1,9,{BEGIN_MS + 59_999},9,3,1,1,0\n"
    in_us = in_unit(file(kind="klines"), line.encode(), microseconds=True).decode().split(",")
    assert (in_us[0], in_us[6]) == (f"{BEGIN_MS}000", f"{BEGIN_MS + 59_999}999")


def test_spot_files_are_in_microseconds_from_2025_on():
    later = file(day=date(2025, 1, 1))
    line = csv_of(later, [AGGREGATE]).decode()
    assert f",{BEGIN_MS}000," in line
    back = in_unit(later, line.encode(), microseconds=False)
    assert back == csv_of(file(), [AGGREGATE])
    assert in_unit(later, back, microseconds=False) == back


def test_names_have_no_time():
    csv = csv_of(file(Market.UM), [AGGREGATE])
    assert in_unit(file(Market.UM), csv, microseconds=True).startswith(b"agg_trade_id,")


def test_a_hole_takes_a_tenth_of_the_lines_and_one_at_least():
    lines = [f"{number}\n".encode() for number in range(30)]
    assert with_a_hole(b"".join(lines)) == b"".join([*lines[:15], *lines[18:]])
    assert with_a_hole(b"1\n2\n") == b"1\n"


def test_the_same_lines_give_the_same_zip_and_its_checksum():
    content = zipped("a.csv", b"1,2\n")
    assert content == zipped("a.csv", b"1,2\n")
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        assert bundle.read("a.csv") == b"1,2\n"
    digest, name = checksum("a.zip", content).decode().split()
    assert (len(digest), name) == (64, "a.zip")
