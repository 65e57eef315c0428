"""Claim: no frame, however damaged, raises, vanishes, or becomes an event that it does not say.

Real frames are mutated from a seed and given to the venue's protocol. What comes out is compared with
`strict_reading`, which reads the same bytes with the standard library and exact decimals.
"""

import itertools
import json
import random
import re
import traceback
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.market.events import DeadLetter, Event, StreamStatus
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.market.recording import read_frames
from streaming.exchanges.binance import BinanceProtocol
from tests.e2e.collector.verdict import Verdict, main
from tests.integration.conftest import CAPTURES

FILES = {
    Market.SPOT: (
        "binance_spot_20211012.jsonl.gz",
        "nkaz001-hftbacktest_spot_btcusdt_20240808.jsonl.gz",
    ),
    Market.UM: (
        "binance_um_20210722.jsonl.gz",
        "nkaz001-hftbacktest_usdm_btcusdt_20240808.jsonl.gz",
    ),
}
FRAMES_OF_A_FILE = 4000
# What a careless decoder takes for a number, or for nothing.
TOKENS = (
    b"-1", b"0", b"1e5", b"1E-400", b"1e400", b"1.0", b"0.5", b".5", b"5.", b"+1", b"1_0", b" 1",
    b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"false", b'""', b'"1"', b'"1e5"', b'"NaN"',
    b'"inf"', b'"1_0"', b'" 1"', b'"+1"', b'".5"', b'"5."', b'"-0"', b'"0"', b'"\\u0031"', b'"1E-400"',
    '"\u0661"'.encode(), b"[]", b"{}", b"[[]]", b"9" * 25, b"9007199254740993.0", b'"0x10"',
)  # fmt: skip
_VALUE = re.compile(rb'(?<=[:,\[])("(?:[^"\\]|\\.)*"|-?[0-9.]+|true|false|null)')
# `5.` and `.5` are exact and read the same everywhere; an exponent is not.
_DECIMAL = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", re.ASCII)


class UnreadableError(ValueError):
    """The bytes do not say what a frame of this stream must say."""


def real_frames(market: Market) -> list[bytes]:
    """Return recorded frames of the channels that the collector knows."""
    frames: list[bytes] = []
    for name in FILES[market]:
        wanted = (
            item.raw.encode()
            for item in read_frames(CAPTURES / name)
            if item.kind == "ws" and item.raw.startswith('{"stream":"')
        )
        frames += itertools.islice(wanted, FRAMES_OF_A_FILE)
    return frames


def stream_of(frame: bytes) -> str:
    """Return the stream that an undamaged frame belongs to."""
    return frame[11 : frame.index(b'"', 11)].decode()


def mutated(frame: bytes, others: list[bytes], generator: random.Random) -> bytes:
    """Return the frame with one to three damages; one in ten stays whole."""
    if generator.random() < 0.1:
        return frame
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        frame = _MUTATIONS[generator.randrange(len(_MUTATIONS))](frame, others, generator)
    return frame


def _flip(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    at = generator.randrange(len(frame) or 1)
    return frame[:at] + bytes([generator.randrange(256)]) + frame[at + 1 :]


def _cut(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    at = generator.randrange(len(frame) or 1)
    return frame[:at] + frame[at + generator.randrange(1, 12) :]


def _insert(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    at = generator.randrange(len(frame) or 1)
    return frame[:at] + generator.randbytes(generator.randrange(1, 4)) + frame[at:]


def _truncate(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    return frame[: generator.randrange(len(frame) or 1)]


def _double(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    at = generator.randrange(len(frame) or 1)
    return frame[: at + generator.randrange(1, 40)] + frame[at:]


def _splice(frame: bytes, others: list[bytes], generator: random.Random) -> bytes:
    other = generator.choice(others)
    return frame[: generator.randrange(len(frame) or 1)] + other[generator.randrange(len(other)) :]


def _replace_value(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    values = list(_VALUE.finditer(frame))
    if not values:
        return frame
    found = generator.choice(values[:60])
    return frame[: found.start()] + generator.choice(TOKENS) + frame[found.end() :]


def _swap_values(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    values = list(_VALUE.finditer(frame))[:60]
    if len(values) < 2:
        return frame
    left, right = sorted(generator.sample(values, 2), key=lambda item: item.start())
    middle = frame[left.end() : right.start()]
    return frame[: left.start()] + right[0] + middle + left[0] + frame[right.end() :]


def _add_key(frame: bytes, _others: list[bytes], generator: random.Random) -> bytes:
    at = frame.find(b'"data":{') + 8
    key = generator.choice((b'"new"', b'"E"', b'"p"', b'"u"', b'"b"', b'"X"', b'"pu"'))
    return frame[:at] + key + b":" + generator.choice(TOKENS) + b"," + frame[at:]


_MUTATIONS = (
    _flip, _cut, _insert, _truncate, _double, _splice, _replace_value, _replace_value, _swap_values,
    _add_key,
)  # fmt: skip


def strict_reading(frame: bytes, market: Market) -> tuple[str, dict[str, Any]]:
    """Return the stream and the fields of the event that these bytes say.

    What is no UTF-8 may only stand where nothing is read: the pipeline then adds a dead letter.

    Raises:
        UnreadableError: they do not say one.
    """
    try:
        document = json.loads(
            frame.decode(errors="surrogateescape"), parse_float=Decimal, parse_constant=_refused
        )
    except (ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("stream"), str):
        raise UnreadableError("no stream")
    stream, data = document["stream"], document.get("data")
    kind = stream.partition("@")[2].partition("@")[0].partition("_")[0]
    if not isinstance(data, dict) or kind not in _READERS:
        raise UnreadableError("no data of a known kind")
    return stream, _READERS[kind](data)


def _refused(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _number(data: dict[str, Any], name: str) -> int:
    value = data.get(name)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)  # 5.0 is the integer 5 in JSON
    if type(value) is not int:
        raise UnreadableError(f"{name} is no integer")
    return value


def _maybe_number(data: dict[str, Any], name: str) -> int | None:
    return None if data.get(name) is None else _number(data, name)


def _amount(value: Any, least: Decimal, *, above: bool = False) -> str:
    if not isinstance(value, str) or _DECIMAL.fullmatch(value) is None:
        raise UnreadableError(f"{value!r} is no plain decimal")
    if Decimal(value) < least or (above and Decimal(value) == least):
        raise UnreadableError(f"{value} is too low")
    return value


def _flag(data: dict[str, Any], name: str) -> bool:
    if not isinstance(data.get(name), bool):
        raise UnreadableError(f"{name} is no flag")
    return bool(data[name])


def _us(time: int | None) -> int | None:
    return time if time is None or time >= 10**14 else time * 1000


_ZERO = Decimal(0)


def _read_fill(data: dict[str, Any], identity: str) -> dict[str, Any]:
    kind = data.get("X") if identity == "t" else None
    if not isinstance(kind, str | None):
        raise UnreadableError("X is no text")
    is_book_trade = kind in {None, "MARKET"}
    return {
        "event_time": _us(_number(data, "E")),
        "trade_time": _us(_number(data, "T")),
        "trade_id": str(_number(data, identity)),
        "price": _amount(data.get("p"), _ZERO, above=is_book_trade),
        "quantity": _amount(data.get("q"), _ZERO, above=is_book_trade),
        "side": "sell" if _flag(data, "m") else "buy",
    }


def _read_trade(data: dict[str, Any]) -> dict[str, Any]:
    return _read_fill(data, "t") | {"execution_type": data.get("X")}


def _read_aggregate(data: dict[str, Any]) -> dict[str, Any]:
    first, last = str(_number(data, "f")), str(_number(data, "l"))
    return _read_fill(data, "a") | {"first_trade_id": first, "last_trade_id": last}


def _read_levels(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
        raise UnreadableError("no list of levels")
    if any(len(item) != 2 for item in value):
        raise UnreadableError("a level has two amounts")
    return [(_amount(item[0], _ZERO, above=True), _amount(item[1], _ZERO)) for item in value]


def _read_depth(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_time": _us(_number(data, "E")),
        "first_update_id": _number(data, "U"),
        "last_update_id": _number(data, "u"),
        "previous_update_id": _maybe_number(data, "pu"),
        "transaction_time": _us(_maybe_number(data, "T")),
        "bids": _read_levels(data.get("b")),
        "asks": _read_levels(data.get("a")),
    }


def _read_quote(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_time": _us(_maybe_number(data, "E")),
        "transaction_time": _us(_maybe_number(data, "T")),
        "update_id": _number(data, "u"),
        "bid_price": _amount(data.get("b"), _ZERO),
        "bid_quantity": _amount(data.get("B"), _ZERO),
        "ask_price": _amount(data.get("a"), _ZERO),
        "ask_quantity": _amount(data.get("A"), _ZERO),
    }


def _read_kline(data: dict[str, Any]) -> dict[str, Any]:
    candle = data.get("k")
    if not isinstance(candle, dict) or not isinstance(candle.get("i"), str):
        raise UnreadableError("no candle")
    prices = {"open": "o", "high": "h", "low": "l", "close": "c"}
    sums = {
        "volume": "v", "quote_volume": "q", "taker_buy_volume": "V", "taker_buy_quote_volume": "Q",
    }  # fmt: skip
    count, ids = _number(candle, "n"), (_number(candle, "f"), _number(candle, "L"))
    if count < 0:
        raise UnreadableError("fewer than no trades")
    return {
        "event_time": _us(_number(data, "E")),
        "interval": candle["i"],
        "open_time": _us(_number(candle, "t")),
        "close_time": _us(_number(candle, "T")),
        "trade_count": count,
        "first_trade_id": None if ids[0] < 0 else str(ids[0]),
        "last_trade_id": None if ids[1] < 0 else str(ids[1]),
        "is_closed": _flag(candle, "x"),
        **{ours: _amount(candle.get(theirs), _ZERO, above=True) for ours, theirs in prices.items()},
        **{ours: _amount(candle.get(theirs), _ZERO) for ours, theirs in sums.items()},
    }


_READERS = {
    "trade": _read_trade,
    "aggTrade": _read_aggregate,
    "depth": _read_depth,
    "bookTicker": _read_quote,
    "kline": _read_kline,
}


def is_answer(frame: bytes) -> bool:
    """Say whether these bytes are an answer or a notice, which need no event."""
    try:
        document = json.loads(frame.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        return False
    return b'"e":"serverShutdown"' in frame or (
        isinstance(document, dict)
        and ("id" in document or document.get("stream") == "!serverShutdown")
    )


def fault_of(frame: bytes, events: list[Event], market: Market) -> str | None:
    """Return what is wrong with what became of a frame; None if nothing is."""
    first = events[0] if events else None
    if first is None:
        return None if is_answer(frame) else "vanished"
    if isinstance(first, DeadLetter):
        is_told = bool(first.reason) and first.payload == frame.decode(errors="backslashreplace")
        return None if is_told else "a dead letter without reason or payload"
    if isinstance(first, StreamStatus):
        return None if is_answer(frame) else "a status without an event"
    try:
        stream, fields = strict_reading(frame, market)
    except UnreadableError as error:
        return f"accepted, but {re.sub('[0-9]+|column.*|.x..', '#', str(error))[:60]}"
    if stream.partition("@")[0].upper() != first.origin.venue_symbol:
        return "another symbol's event"
    wrong = [name for name, value in fields.items() if getattr(first, name) != value]
    return f"{', '.join(wrong)} of {type(first).__name__} differ" if wrong else None


def protocol_of(market: Market, frames: list[bytes]) -> BinanceProtocol:
    """Return an open protocol that has subscribed all the frames' streams."""
    subscriptions = []
    for stream in sorted({stream_of(frame) for frame in frames}):
        symbol, _, channel = stream.partition("@")
        name = symbol.upper()
        subscriptions.append(
            Subscription(Instrument(Exchange.BINANCE, market, name, name), channel)
        )
    protocol = BinanceProtocol(market, "fuzz", subscriptions)
    protocol.open(1)
    return protocol


def outcomes(
    market: Market, frames: list[bytes], count: int, generator: random.Random
) -> Iterator[tuple[str, bytes]]:
    """Yield what became of each mutated frame: `event`, `dead letter`, `answer` or a fault."""
    protocol = protocol_of(market, frames)
    for number in range(count):
        source = generator.choice(frames)
        frame = mutated(source, frames, generator)
        try:
            events = protocol.receive(frame, number)
        except Exception:  # noqa: BLE001 - Boundary: whatever escapes is what this looks for
            yield f"raised {traceback.format_exc().splitlines()[-1][:60]}", frame
            continue
        protocol.commands()
        fault = fault_of(frame, events, market)
        if fault is None and frame == source and (not events or isinstance(events[0], DeadLetter)):
            fault = "an undamaged frame was refused"
        kinds = {True: "dead letter", False: "event"}
        yield fault or (kinds[isinstance(events[0], DeadLetter)] if events else "answer"), frame


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Mutate 1,000,000 (full) or 50,000 frames of spot and um."""
    count = 1_000_000 if full else 50_000
    verdict = Verdict(f"fuzz: {count:,} mutated frames")
    found: Counter[str] = Counter()
    examples: dict[str, bytes] = {}
    for market in (Market.SPOT, Market.UM):
        frames = real_frames(market)
        verdict.note(f"{market} frames recorded", len(frames))
        generator = random.Random(f"{seed}:{market}")
        for outcome, frame in outcomes(market, frames, count // 2, generator):
            found[outcome] += 1
            examples.setdefault(outcome, frame)
    good = ("event", "dead letter", "answer")
    for name in good:
        verdict.note(f"became {name}", found[name])
    verdict.at_least("events compared field by field", found["event"], count // 20)
    verdict.at_least("refused with a reason", found["dead letter"], count // 20)
    faults = {name: number for name, number in found.items() if name not in good}
    for name, number in sorted(faults.items(), key=lambda item: -item[1])[:20]:
        verdict.note(f"FAULT {name}", f"{number:,}, such as {examples[name][:300]!r}")
    verdict.equals("exceptions", sum(n for name, n in faults.items() if name[:6] == "raised"), 0)
    verdict.equals("faults of any kind", sum(faults.values()), 0)
    return verdict


def is_available() -> bool:
    """Say whether the recordings are on this machine."""
    return all((Path(CAPTURES) / name).exists() for names in FILES.values() for name in names)


if __name__ == "__main__":
    main(prove, __doc__)
