"""What the service counts, and how Prometheus and people read it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.spill import SpillState

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)


@dataclass(slots=True)
class ConnectionStats:
    """Counters of one connection; plain numbers, since they are raised for every frame."""

    name: str
    received: int = 0
    processed: int = 0
    events: int = 0
    dead_letters: int = 0
    gaps: int = 0
    opened: int = 0
    rolled_over: int = 0
    connected: bool = False
    last_message_ns: int = 0

    @property
    def reconnects(self) -> int:
        """Sockets opened after the first, planned roll-overs apart."""
        return max(0, self.opened - 1 - self.rolled_over)


@dataclass(slots=True)
class ProducerStats:
    """Records handed to Kafka; `buffered` are in memory and not acknowledged yet.

    `spill_records` are on disk and not acknowledged yet; `sent` counts those of an earlier process.
    """

    sent: int = 0
    failed: int = 0
    buffered: int = 0
    spill_state: SpillState = SpillState.OFF
    spill_records: int = 0
    spill_bytes: int = 0

    @property
    def produced(self) -> int:
        """Records that the broker has acknowledged.

        librdkafka counts what it has to say, an error for example, among the records that it holds:
        until that is heard `buffered` is too large, and before the first record by more than was sent.
        """
        return max(0, self.sent - self.failed - self.buffered - self.spill_records)


@dataclass(slots=True)
class HealingStats:
    """Ids that are still to be fetched, that were fetched, and that the venue does not have."""

    missing: int = 0
    healed: int = 0
    unhealable: int = 0


def summary(
    connections: Iterable[ConnectionStats], producer: ProducerStats, healing: HealingStats
) -> dict[str, Any]:
    """Return the figures of the regular metrics line."""
    all_connections = list(connections)
    last = max((stats.last_message_ns for stats in all_connections), default=0)
    return {
        "received": sum(stats.received for stats in all_connections),
        "processed": sum(stats.processed for stats in all_connections),
        "buffered": producer.buffered,
        "produced": producer.produced,
        "failed": producer.failed,
        "spill": producer.spill_state.value,
        "spilled": producer.spill_records,
        "connected": sum(stats.connected for stats in all_connections),
        "connections": len(all_connections),
        "reconnects": sum(stats.reconnects for stats in all_connections),
        "rolled_over": sum(stats.rolled_over for stats in all_connections),
        "gaps": sum(stats.gaps for stats in all_connections),
        "missing": healing.missing,
        "healed": healing.healed,
        "unhealable": healing.unhealable,
        "dead_letters": sum(stats.dead_letters for stats in all_connections),
        "last_message": _iso(last) if last else None,
    }


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")


class Latencies:
    """Histograms of a sample of frames: venue → us, and us → acknowledged by the broker."""

    def __init__(self) -> None:
        self._received = Histogram(
            "crypto_exchange_to_receive_seconds",
            "From the venue's event time to our receiving it; clocks differ",
            buckets=_BUCKETS_S,
            registry=None,
        )
        self._acknowledged = Histogram(
            "crypto_receive_to_acknowledged_seconds",
            "From publishing to the broker's acknowledgement",
            buckets=_BUCKETS_S,
            registry=None,
        )
        self.collectors: tuple[Collector, ...] = (self._received, self._acknowledged)

    def received(self, seconds: float) -> None:
        """Note how old an event was when it came."""
        self._received.observe(seconds)

    def acknowledged(self, seconds: float) -> None:
        """Note how long a record took."""
        self._acknowledged.observe(seconds)


class StreamingCollector(Collector):
    """Turns the counters into Prometheus metrics when they are asked for; one label, bounded."""

    def __init__(
        self,
        connections: Callable[[], Iterable[ConnectionStats]],
        producer: Callable[[], ProducerStats],
        states: Callable[[], Iterable[tuple[str, str]]],
        healing: Callable[[], HealingStats],
    ) -> None:
        self._healing = healing
        self._connections = connections
        self._producer = producer
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """Yield the present values."""
        connections = list(self._connections())
        for field, text in (
            ("received", "Frames received"),
            ("processed", "Frames translated"),
            ("events", "Events published"),
            ("dead_letters", "Frames that could not be understood"),
            ("gaps", "Breaks in a sequence of ids"),
            ("reconnects", "Connections after the first"),
            ("rolled_over", "Sockets replaced as planned"),
        ):
            counter = CounterMetricFamily(f"crypto_{field}", text, labels=["connection"])
            for stats in connections:
                counter.add_metric([stats.name], getattr(stats, field))
            yield counter
        up = GaugeMetricFamily(
            "crypto_connected", "1 while the socket is open", labels=["connection"]
        )
        seen = GaugeMetricFamily(
            "crypto_last_message_seconds", "Time of the last frame", labels=["connection"]
        )
        for stats in connections:
            up.add_metric([stats.name], stats.connected)
            seen.add_metric([stats.name], stats.last_message_ns / 1e9)
        yield up
        yield seen
        subscriptions = GaugeMetricFamily(
            "crypto_subscriptions", "Subscriptions by state", labels=["connection", "state"]
        )
        for (connection, state), number in Counter(self._states()).items():
            subscriptions.add_metric([connection, state], number)
        yield subscriptions
        healing = self._healing()
        yield GaugeMetricFamily("crypto_missing", "Trade ids to be fetched", healing.missing)
        yield CounterMetricFamily("crypto_healed", "Trade ids fetched", healing.healed)
        yield CounterMetricFamily(
            "crypto_unhealable", "Trade ids that the venue does not have", healing.unhealable
        )
        producer = self._producer()
        yield CounterMetricFamily("crypto_produced", "Records acknowledged", producer.produced)
        yield CounterMetricFamily("crypto_failed", "Records not delivered", producer.failed)
        yield GaugeMetricFamily(
            "crypto_buffered", "Records not acknowledged yet", producer.buffered
        )
        yield GaugeMetricFamily(
            "crypto_spill_records", "Records on disk, not acknowledged yet", producer.spill_records
        )
        yield GaugeMetricFamily("crypto_spill_bytes", "Size of the spill", producer.spill_bytes)
        states = GaugeMetricFamily(
            "crypto_spill_state", "1 for the spill's present state", labels=["state"]
        )
        for state in SpillState:
            states.add_metric([state.value], state is producer.spill_state)
        yield states
