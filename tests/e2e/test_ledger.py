"""The quick form of the ledger's claim; `python -m tests.e2e.lake.ledger --full` loses ten times as much."""

import pytest

from tests.e2e.lake import ledger
from tests.integration.conftest import fresh_topics

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.e2e, pytest.mark.timeout(900)]


def test_lost_ids_are_found_explained_healed_and_proved(
    kafka_broker: str, spark_server: str
) -> None:
    with fresh_topics(kafka_broker) as bootstrap:
        verdict = ledger.prove(full=False, seed=1, bootstrap=bootstrap, remote=spark_server)
    assert verdict.broken == []
