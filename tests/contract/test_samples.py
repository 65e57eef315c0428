"""Real messages of channels that no recording holds, read by the venue's protocol and by `json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.market.events import MarkPrice
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.exchanges.binance import BinanceProtocol

SAMPLES = Path(__file__).parents[2].parent / "shared" / "exchanges" / "samples" / "binance"
pytestmark = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the samples in ../shared are not on this machine"
)


def messages(name: str) -> list[dict[str, Any]]:
    """Return the data of each sample; some stand there wrapped as in a combined stream."""
    lines = (SAMPLES / name).read_text().splitlines()
    documents = [json.loads(line) for line in lines if line]
    return [document.get("data", document) for document in documents]


@pytest.mark.parametrize(
    ("market", "name", "count"),
    [(Market.UM, "um_markprice.jsonl", 5), (Market.CM, "cm_markprice.jsonl", 1)],
)
def test_a_mark_price_is_what_the_venue_said(market, name, count):
    told = [data for data in messages(name) if data["e"] == "markPriceUpdate"]
    assert len(told) == count
    for data in told:
        instrument = Instrument(Exchange.BINANCE, market, data["s"], data["s"])
        wanted = [Subscription(instrument, "markPrice@1s")]
        protocol = BinanceProtocol(market, "c", wanted, 20)
        protocol.open(1, epoch=1)
        stream = f"{data['s'].lower()}@markPrice@1s"
        frame = json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
        mark = protocol.receive(frame, 2)[0]
        assert isinstance(mark, MarkPrice)
        assert mark.event_time == data["E"] * 1000
        assert (mark.mark_price, mark.index_price) == (data["p"], data.get("i"))
        assert mark.settle_price == data.get("P")
        assert mark.funding_rate == (data.get("r") if data.get("T") else None)
        assert mark.next_funding_time == (data["T"] * 1000 if data.get("T") else None)
