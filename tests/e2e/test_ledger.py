"""The quick form of the ledger's claims; each also runs by hand: `python -m tests.e2e.lake.live --full`."""

from collections.abc import Callable

import pytest

from tests.e2e.collector.verdict import Verdict
from tests.e2e.lake import ledger, live
from tests.integration.conftest import fresh_topics

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "prove",
    [ledger.prove, pytest.param(live.prove, marks=pytest.mark.slow)],
    ids=["ledger", "live"],
)
def test_lost_ids_are_found_explained_healed_and_proved(
    prove: Callable[..., Verdict], kafka_broker: str, spark_server: str
) -> None:
    with fresh_topics(kafka_broker) as bootstrap:
        verdict = prove(full=False, seed=1, bootstrap=bootstrap, remote=spark_server)
    assert verdict.broken == []
