from prometheus_client import CollectorRegistry, generate_latest

from streaming.instrumentation import (
    ConnectionStats,
    HealingStats,
    ProducerStats,
    StreamingCollector,
    summary,
)
from streaming.spill import SpillState

CONNECTIONS = [
    ConnectionStats("a", received=3, processed=2, opened=2, connected=True, last_message_ns=10**18),
    ConnectionStats("b", received=1, processed=1, gaps=4),
]
PRODUCER = ProducerStats(sent=10, failed=1, buffered=2)


def test_the_metrics_line_adds_up_all_connections():
    line = summary(CONNECTIONS, PRODUCER, HealingStats(1, 2, 3))
    assert line == {
        "received": 4,
        "processed": 3,
        "buffered": 2,
        "produced": 7,
        "failed": 1,
        "spill": "off",
        "spilled": 0,
        "connected": 1,
        "connections": 2,
        "reconnects": 1,
        "rolled_over": 0,
        "missing": 1,
        "healed": 2,
        "unhealable": 3,
        "gaps": 4,
        "dead_letters": 0,
        "last_message": "2001-09-09T01:46:40.000+00:00",
    }


def test_before_the_first_frame_there_is_no_last_message():
    assert summary([ConnectionStats("a")], ProducerStats(), HealingStats())["last_message"] is None


def test_what_is_on_disk_is_not_produced_yet():
    stats = ProducerStats(
        sent=10, failed=1, buffered=2, spill_state=SpillState.SPILLING, spill_records=3
    )
    assert stats.produced == 4
    registry = CollectorRegistry()
    registry.register(StreamingCollector(list, lambda: stats, list, HealingStats))
    text = generate_latest(registry).decode()
    assert 'crypto_spill_state{state="spilling"} 1.0' in text
    assert 'crypto_spill_state{state="off"} 0.0' in text
    assert "crypto_spill_records 3.0" in text


def test_prometheus_reads_the_present_values_by_connection():
    registry = CollectorRegistry()
    registry.register(StreamingCollector(lambda: CONNECTIONS, lambda: PRODUCER, list, HealingStats))
    text = generate_latest(registry).decode()
    assert 'crypto_received_total{connection="a"} 3.0' in text
    assert 'crypto_gaps_total{connection="b"} 4.0' in text
    assert 'crypto_connected{connection="a"} 1.0' in text
    assert "crypto_produced_total 7.0" in text
    assert "crypto_buffered 2.0" in text
