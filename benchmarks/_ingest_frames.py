"""The frames that the ingest benchmark sends: real recordings, or generated ones of the same kinds.

Trades are renamed to aggregate trades (`f` = `l` = trade id), the only kind that cryptofeed knows,
so that both programs get the same bytes. Each further lap shifts ids and times by the recording's
span, and begins with a delta that turns the last lap's book into the snapshot: a plain loop would make
every book client resynchronise at each turn, and then sit without a book.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from shared.market.recording import read_frames

CAPTURES = Path(__file__).parents[2] / "shared" / "captures"
CHANNELS = ("aggTrade", "bookTicker", "depth@100ms")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
_GENERATED = 180_000
_UPDATE_IDS = ("u", "U")
_TIMES = ("E", "T")


@dataclass
class Venue:
    """What a sender needs: frames in order, and the REST snapshot of each symbol."""

    frames: list[bytes]
    snapshots: dict[str, bytes]
    source: str


def load(laps: int) -> Venue:
    """Return the recordings in ../shared, or generated frames where they are not at hand."""
    files = [
        CAPTURES / f"nkaz001-hftbacktest_spot_{symbol.lower()}_20240808.jsonl.gz"
        for symbol in SYMBOLS
    ]
    if not all(file.exists() for file in files):
        messages, snapshots = _generate()
        return Venue(list(_laps(messages, snapshots, laps)), snapshots, "generated frames")
    recorded = sorted(
        (frame for file in files for frame in read_frames(file)), key=lambda frame: frame.recv_ns
    )
    snapshots = {
        frame.url.partition("symbol=")[2].partition("&")[0]: frame.raw.encode()
        for frame in recorded
        if frame.kind == "http"
    }
    messages = [_as_aggregate(msgspec.json.decode(f.raw)) for f in recorded if f.kind == "ws"]
    frames = list(_laps(messages, snapshots, laps))
    return Venue(frames, snapshots, "captured frames (Binance spot, 2024)")


def _as_aggregate(message: dict[str, Any]) -> dict[str, Any]:
    data = message["data"]
    if data.get("e") == "trade":
        number = data.pop("t")
        message["stream"] = message["stream"].replace("@trade", "@aggTrade")
        message["data"] = data | {"e": "aggTrade", "a": number, "f": number, "l": number}
    return message


def _laps(
    messages: list[dict[str, Any]], snapshots: dict[str, bytes], laps: int
) -> Iterator[bytes]:
    starts = {symbol: msgspec.json.decode(body) for symbol, body in snapshots.items()}
    spans = {
        (symbol, fields): _span(messages, symbol, fields, starts[symbol]["lastUpdateId"])
        for symbol in SYMBOLS
        for fields in (_UPDATE_IDS, ("a",), _TIMES)
    }
    seams = [_seam(messages, symbol, starts[symbol]) for symbol in SYMBOLS]
    begun = [m for m in messages if not _is_before(m["data"], starts[m["data"]["s"]])]
    for lap in range(laps):
        for message in [*seams, *begun] if lap else messages:
            data = dict(message["data"])
            for fields in (_UPDATE_IDS, _TIMES):
                shift = lap * spans[data["s"], fields]
                data |= {name: data[name] + shift for name in fields if name in data}
            if "f" in data:
                shift = lap * spans[data["s"], ("a",)]
                data |= {name: data[name] + shift for name in "afl"}
            yield msgspec.json.encode({"stream": message["stream"], "data": data})


def _is_before(data: dict[str, Any], snapshot: dict[str, Any]) -> bool:
    return "U" in data and data["u"] <= snapshot["lastUpdateId"]


def _seam(messages: list[dict[str, Any]], symbol: str, snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the delta from the book after the last message back to the snapshot."""
    deltas = [m for m in messages if m["data"]["s"] == symbol and "U" in m["data"]]
    seam = {**deltas[0]["data"], "U": snapshot["lastUpdateId"], "u": snapshot["lastUpdateId"]}
    for side, levels in (("b", snapshot["bids"]), ("a", snapshot["asks"])):
        last = {price: quantity for m in deltas for price, quantity in m["data"][side]}
        left = {price: "0.00000000" for price, quantity in last.items() if float(quantity)}
        seam[side] = [*map(list, (left | dict(levels)).items())]
    return {"stream": deltas[0]["stream"], "data": seam}


def _span(
    messages: list[dict[str, Any]], symbol: str, fields: Iterable[str], first_update_id: int
) -> int:
    """Return the distance by which one symbol's ids or times go on in the next lap."""
    kind = {"a": "aggTrade", "u": "depthUpdate", "E": "depthUpdate"}[next(iter(fields))]
    mine = [m["data"] for m in messages if m["data"]["s"] == symbol and m["data"].get("e") == kind]
    if kind == "aggTrade":
        return int(mine[-1]["a"]) - int(mine[0]["a"]) + 1
    if "u" in fields:
        return int(mine[-1]["u"]) - first_update_id + 1
    return int(mine[-1]["E"]) - int(mine[0]["E"]) + 100


def _generate() -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return frames in the recordings' proportions: 3 in 4 quotes, 1 in 5 trades, the rest depth."""
    generator = random.Random(1)  # noqa: S311 - a fixed seed, so that runs can be compared
    ids, trades = dict.fromkeys(SYMBOLS, 1_000_000), dict.fromkeys(SYMBOLS, 0)
    messages: list[dict[str, Any]] = []
    for number in range(_GENERATED):
        symbol = generator.choice(SYMBOLS)
        time = 1_700_000_000_000 + number * 3
        draw = generator.random()
        price = Decimal(60_000) + generator.randrange(-500, 500)
        if draw < 0.74:
            data: dict[str, Any] = {"u": ids[symbol], "s": symbol}
            data |= {"b": f"{price}.00000000", "B": "1.50000000"}
            data |= {"a": f"{price}.01000000", "A": "0.75000000"}
            channel = "bookTicker"
        elif draw < 0.94:
            trades[symbol] = trade = trades[symbol] + 1
            data = {"e": "aggTrade", "E": time, "s": symbol, "a": trade, "p": f"{price}.00000000"}
            data |= {"q": "0.00150000", "f": trade, "l": trade, "T": time, "m": True, "M": True}
            channel = "aggTrade"
        else:
            first, ids[symbol] = ids[symbol] + 1, ids[symbol] + 40
            data = {"e": "depthUpdate", "E": time, "s": symbol, "U": first, "u": ids[symbol]}
            for side, sign in (("b", -1), ("a", 1)):
                offsets = [sign * generator.randrange(1, 1000) for _ in range(20)]
                data[side] = [[f"{60_000 + offset}.00000000", "0.50000000"] for offset in offsets]
            channel = "depth@100ms"
        messages.append({"stream": f"{symbol.lower()}@{channel}", "data": data})
    snapshot = {"lastUpdateId": 1_000_000, "bids": [["58000.00000000", "1.00000000"]]}
    body = msgspec.json.encode(snapshot | {"asks": [["62000.00000000", "1.00000000"]]})
    return messages, dict.fromkeys(SYMBOLS, body)
