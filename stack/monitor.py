"""Terminal status: services, Kafka against the lake, last events, last materializations, rows."""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from shared.clock import SystemClock
from shared.errors import LakehouseError
from shared.market.topics import message_key
from shared.settings import Settings
from shared.symbol_manager import SymbolBook, load_symbols
from stack.deployment import Deployment
from stack.lake_command import lake_rows
from stack.supervision import Supervisor

_REFRESH_S = 5
_TAIL = 200
_TIMEOUT_S = 5
_MATERIALIZATIONS = "{assetNodes{assetKey{path} assetMaterializations(limit:1){timestamp}}}"
# The channels whose events go to the trades topics.
_TRADE_CHANNELS = frozenset({"aggTrade", "trade"})
_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Received(msgspec.Struct):
    received_ns: _Nanoseconds


def show(
    deployment: Deployment,
    settings: Settings,
    variables: dict[str, str],
    once: bool,
    as_json: bool,
) -> bool:
    """Show the status, once or until interrupted; returns whether every service is up."""
    if as_json or once:
        status = collect(deployment, settings, variables)
        if as_json:
            sys.stdout.write(json.dumps(status, indent=1) + "\n")
        else:
            Console().print(render(status))
        return _is_up(status)
    status = collect(deployment, settings, variables)
    with Live(render(status), refresh_per_second=1) as live:
        try:
            while True:
                time.sleep(_REFRESH_S)
                status = collect(deployment, settings, variables)
                live.update(render(status))
        except KeyboardInterrupt:
            return _is_up(status)


def collect(
    deployment: Deployment, settings: Settings, variables: dict[str, str]
) -> dict[str, Any]:
    """Return everything that is shown; a part whose service is down says so in `faults`."""
    status: dict[str, Any] = {
        "data_dir": deployment.data_dir,
        "mode": deployment.mode,
        "faults": [],
    }
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "services": lambda: _services(deployment),
        "tables": lambda: lake_rows("tables", variables),
        "lag": lambda: _lag(settings, lake_rows("offsets", variables)),
        "last_events": lambda: _last_events(settings),
        "materializations": lambda: _materializations(settings),
    }
    for name, part in parts.items():
        try:
            status[name] = part()
        except (LakehouseError, KafkaException, httpx.HTTPError) as error:
            status[name] = []
            status["faults"].append(f"{name}: {error}")
    return status


def render(status: dict[str, Any]) -> Group:
    """Return the status as tables."""
    tables = []
    for name in ("services", "lag", "last_events", "materializations", "tables"):
        rows = status[name]
        table = Table(
            *(rows[0] if rows else ()), title=name.replace("_", " "), title_justify="left"
        )
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        tables.append(table)
    return Group(*tables, *status["faults"])


def _is_up(status: dict[str, Any]) -> bool:
    services = status["services"]
    return bool(services) and all(item["state"] == "RUNNING" for item in services)


def _services(deployment: Deployment) -> list[dict[str, Any]]:
    return [
        {
            "service": name,
            "state": item["statename"],
            "pid": item["pid"],
            "up_seconds": item["now"] - item["start"] if item["pid"] else 0,
        }
        for name, item in Supervisor(deployment).processes().items()
    ]


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "monitor",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )


def _lag(settings: Settings, offsets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per topic: records in Kafka that the lake does not hold yet."""
    consumer = _consumer(settings)
    lag: dict[str, int] = {}
    for row in offsets:
        place = TopicPartition(row["topic"], row["partition"])
        _, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
        lag[row["topic"]] = lag.get(row["topic"], 0) + end - row["offset"]
    consumer.close()
    return [{"topic": topic, "not_in_lake": count} for topic, count in sorted(lag.items())]


def _last_events(settings: Settings) -> list[dict[str, Any]]:
    """Per symbol: the newest trade among the last records of the trades topics."""
    configured = traded_symbols(load_symbols(settings.paths.symbols_file))
    consumer = _consumer(settings)
    topics = consumer.list_topics(timeout=_TIMEOUT_S).topics
    newest: dict[str, int] = {}
    for topic, metadata in topics.items():
        if not topic.endswith("-trades"):
            continue
        for partition in metadata.partitions:
            place = TopicPartition(topic, partition)
            low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
            start = max(low, high - _TAIL)
            consumer.assign([TopicPartition(topic, partition, start)])
            for message in consumer.consume(high - start, timeout=_TIMEOUT_S):
                if message.error() is None:
                    note_newest(newest, message.key(), message.value())
    consumer.close()
    return last_events(newest, configured, SystemClock().now_ns())


def traded_symbols(book: SymbolBook) -> set[str]:
    """Return the message keys of the enabled symbols whose trades are collected."""
    return {
        message_key(entry.instrument.market, entry.instrument.symbol)
        for entry in book.entries
        if entry.enabled and not _TRADE_CHANNELS.isdisjoint(entry.channels)
    }


def note_newest(newest: dict[str, int], key: str | bytes | None, value: str | bytes | None) -> None:
    """Keep a record's receive time by its key if it is the newest; what is no trade is left out."""
    try:
        name = key.decode() if isinstance(key, bytes) else key or ""
        time_ns = msgspec.json.decode(value or b"", type=_Received).received_ns
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    newest[name] = max(newest.get(name, 0), time_ns)


def last_events(newest: dict[str, int], configured: set[str], now_ns: int) -> list[dict[str, Any]]:
    """Return a row per symbol; a configured one without a trade among those looked at says so."""
    rows: list[dict[str, Any]] = []
    for key in sorted(configured | newest.keys()):
        time_ns = newest.get(key)
        rows.append(
            {
                "symbol": key,
                "last_trade_received": "none seen lately"
                if time_ns is None
                else _text(time_ns / 1e9),
                "seconds_ago": None if time_ns is None else round((now_ns - time_ns) / 1e9, 1),
            }
        )
    return rows


def _materializations(settings: Settings) -> list[dict[str, Any]]:
    url = f"http://{settings.dagster.host}:{settings.dagster.port}/graphql"
    answer = httpx.post(url, json={"query": _MATERIALIZATIONS}, timeout=_TIMEOUT_S).json()
    rows = []
    for node in answer["data"]["assetNodes"]:
        last = node["assetMaterializations"]
        when = _text(float(last[0]["timestamp"]) / 1000) if last else "never"
        rows.append({"asset": node["assetKey"]["path"][-1], "last_materialization": when})
    return sorted(rows, key=lambda row: row["asset"])


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
