"""The archive's door over real sockets, and the collector's own way of fetching from it."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from mock_exchange.archive_files import DayFile, zipped
from mock_exchange.listings import LISTINGS
from mock_exchange.server import MockServer
from mock_exchange.simulation import Simulation
from shared.clock import SettableClock
from shared.market.instruments import Market
from streaming.archive import Archive, pieces
from streaming.errors import ArchiveError, ArchiveFault
from tests.conftest import free_port

PATH = "/data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-08-08.zip"
CSV = b"".join(
    b"%d,2.5,%d.25,%d,%d,1723075200000,True,True\n" % (n, n * 7919 % 10_007, n, n)
    for n in range(20_000)
)
DAY_NS = 86_400_000_000_000


@dataclass
class Door:
    archive: Archive
    client: httpx.AsyncClient
    folder: Path
    received: list[int]

    async def fault(self, **fault: object) -> None:
        answer = await self.client.post("/faults", json={"kind": "archive"} | fault)
        assert answer.status_code == 200, answer.text

    async def fetch(self, path: str = PATH) -> Path:
        return (await self.archive.fetch(path, await self.archive.checksum(path)))[0]


@pytest.fixture
def door(serving, tmp_path):
    """A mock exchange with one given file, and a fetcher of files."""

    @asynccontextmanager
    async def run(content: bytes | None = None) -> AsyncIterator[Door]:
        place = tmp_path / "given" / PATH[1:]
        place.parent.mkdir(parents=True)
        if content is None:
            place.with_suffix(".csv").write_bytes(CSV)
        else:
            place.write_bytes(content)
        server = MockServer(SettableClock(2 * 10**18), archive=tmp_path / "given")
        server.venue = Simulation([], 1, 1, 1000, server, SettableClock(2 * 10**18))
        received: list[int] = []
        folder = tmp_path / "fetched"
        folder.mkdir()
        async with (
            serving(server) as (spot, control),
            httpx.AsyncClient(base_url=f"http://{control}", trust_env=False) as client,
        ):
            archive = Archive(f"http://{spot}", folder, received.append)
            yield Door(archive, client, folder, received)
            await archive.close()

    return run


def unpacked(file: Path) -> bytes:
    return b"".join(pieces(file, PATH))


async def test_a_file_comes_whole_and_is_what_its_checksum_says(door):
    async with door() as venue:
        file = await venue.fetch()
        assert unpacked(file) == CSV
        assert sum(venue.received) == file.stat().st_size
        digest = await venue.archive.checksum(PATH)
        assert digest == hashlib.sha256(file.read_bytes()).hexdigest()


async def test_a_download_that_is_cut_goes_on_where_it_was(door):
    async with door() as venue:
        await venue.fault(how="cut", count=2)
        file = await venue.fetch()
        assert unpacked(file) == CSV
        assert sum(venue.received) == file.stat().st_size, "no byte came twice"


async def test_a_part_that_a_killed_run_left_is_gone_on_with(door):
    async with door() as venue:
        file = await venue.fetch()
        content = file.read_bytes()
        file.write_bytes(content[:1000])
        venue.received.clear()
        assert (await venue.fetch()).read_bytes() == content
        assert sum(venue.received) == len(content) - 1000
        # Also where the killed run had it whole.
        assert (await venue.fetch()).read_bytes() == content


async def test_a_part_of_another_file_is_found_out_and_fetched_anew(door):
    async with door() as venue:
        file = await venue.fetch()
        content = file.read_bytes()
        file.write_bytes(b"x" * 1000)
        assert (await venue.fetch()).read_bytes() == content
        file.write_bytes(content + b"more")
        assert (await venue.fetch()).read_bytes() == content


async def test_a_checksum_that_is_wrong_once_is_asked_for_again(door):
    async with door() as venue:
        await venue.fault(how="checksum", count=1)
        assert unpacked(await venue.fetch()) == CSV


async def test_a_checksum_that_stays_wrong_leaves_no_file(door):
    async with door() as venue:
        await venue.fault(how="checksum")
        with pytest.raises(ArchiveError, match="the venue tells 0000") as caught:
            await venue.fetch()
        assert caught.value.fault is ArchiveFault.CHECKSUM
        assert list(venue.folder.iterdir()) == []


async def test_a_late_file_is_absent_until_it_is_there(door):
    async with door() as venue:
        await venue.fault(how="late", count=1)
        with pytest.raises(ArchiveError, match="or not yet") as caught:
            await venue.fetch()
        assert caught.value.fault is ArchiveFault.ABSENT
        assert unpacked(await venue.fetch()) == CSV


@pytest.mark.parametrize(
    "path",
    [
        PATH.replace("08-08", "08-09"),
        PATH.replace("BTC", "ETH"),
        PATH.replace("2024", "2040"),
        "/data/x",
    ],
)
async def test_what_the_archive_does_not_have_is_absent(door, path):
    async with door() as venue:
        with pytest.raises(ArchiveError) as caught:
            await venue.fetch(path)
        assert caught.value.fault is ArchiveFault.ABSENT


async def test_nobody_there_is_told_after_some_tries(monkeypatch, tmp_path):
    monkeypatch.setattr("streaming.archive._PAUSES_S", (0.01, 0.01))
    archive = Archive(f"http://127.0.0.1:{free_port()}", tmp_path)
    with pytest.raises(ArchiveError, match="tried 3 times") as caught:
        await archive.checksum(PATH)
    assert caught.value.fault is ArchiveFault.UNREACHABLE
    await archive.close()


def two_members() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        bundle.writestr("a.csv", "1")
        bundle.writestr("b.csv", "2")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no zip at all", "not a zip file"),
        (two_members(), "2 members instead of one"),
        (
            zipped("a.csv", b"1,2\n" * 1000).replace(b"PK\x01\x02", b"PK\x01\x03"),
            "Bad magic number",
        ),
    ],
)
async def test_what_is_no_zip_of_one_file_is_unreadable(door, content, reason):
    async with door(content) as venue:
        file = await venue.fetch()
        with pytest.raises(ArchiveError, match=reason) as caught:
            unpacked(file)
        assert caught.value.fault is ArchiveFault.UNREADABLE


async def test_a_simulated_day_is_archived_when_it_is_over(serving):
    midnight = datetime(2024, 8, 9, tzinfo=UTC)
    clock = SettableClock(int(midnight.timestamp()) * 10**9 - 60 * 10**9)
    server = MockServer(clock)
    names = [(Market.SPOT, LISTINGS["BTCUSDT"])]
    server.venue = Simulation(names, 1, 50, 100_000, server, clock)
    simulator = server.venue._simulators[Market.SPOT, "BTCUSDT"]
    traded = []
    for _ in range(120):
        clock.advance(10**9)
        traded += simulator.advance(clock.now_ns() // 1_000_000)
    ids = {
        channel: [
            data[key] for name, data in traded if name == channel and data["T"] < 1723161600000
        ]
        for channel, key in (("aggTrade", "a"), ("trade", "t"))
    }
    async with (
        serving(server) as (spot, _),
        httpx.AsyncClient(base_url=f"http://{spot}", trust_env=False) as client,
    ):
        for kind, channel in (("aggTrades", "aggTrade"), ("trades", "trade")):
            answer = await client.get(PATH.replace("aggTrades", kind))
            assert answer.status_code == 200, (kind, answer.text)
            with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
                lines = bundle.read(bundle.namelist()[0]).decode().splitlines()
            assert [int(line.split(",")[0]) for line in lines] == ids[channel]
        candles = PATH.replace(
            "aggTrades/BTCUSDT/BTCUSDT-aggTrades", "klines/BTCUSDT/1m/BTCUSDT-1m"
        )
        assert (await client.get(candles)).status_code == 200
        assert (await client.get(candles.replace("1m", "5m"))).status_code == 404
        assert (await client.get(PATH.replace("08-08", "08-09"))).status_code == 404
    assert (
        server.venue.archived(DayFile(Market.UM, "trades", "BTCUSDT", None, midnight.date())) == []
    )
