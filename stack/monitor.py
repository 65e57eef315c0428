"""Terminal status: services, Kafka against the lake, last events, last materializations, rows."""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from shared.clock import SystemClock
from shared.settings import Settings
from stack.deployment import Deployment
from stack.errors import StackError
from stack.lake_command import lake_rows
from stack.supervision import Supervisor

_REFRESH_S = 5
_TAIL = 200
_TIMEOUT_S = 5
_MATERIALIZATIONS = "{assetNodes{assetKey{path} assetMaterializations(limit:1){timestamp}}}"


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
        except (StackError, KafkaException, httpx.HTTPError) as error:
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
            table.add_row(*(str(value) for value in row.values()))
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
                key = (message.key() or b"").decode()
                event = msgspec.json.decode(message.value() or b"{}", type=dict[str, Any])
                newest[key] = max(newest.get(key, 0), event.get("received_ns", 0))
    consumer.close()
    now_ns = SystemClock().now_ns()
    return [
        {
            "symbol": key,
            "last_trade_received": _text(time_ns / 1e9),
            "seconds_ago": round((now_ns - time_ns) / 1e9, 1),
        }
        for key, time_ns in sorted(newest.items())
    ]


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
