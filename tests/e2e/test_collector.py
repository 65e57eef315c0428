"""The quick form of every claim of tests/e2e/collector; each also runs by hand, `--full` included.

The two claims that mostly wait run beside the others, as programs.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.collector import books, fuzz, hothot, outage, resets, rollovers
from tests.integration.conftest import REPO, clean_environment, fresh_topics

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

BESIDE = ("silent", "deadroute")


@pytest.fixture(scope="module")
def broker(kafka_broker: str) -> Iterator[str]:
    """A broker with the topics; the claims tell their records apart by the collectors' names."""
    with fresh_topics(kafka_broker) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="module", autouse=True)
def beside(
    broker: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """The claims that wait, running from the first test on."""
    folder = tmp_path_factory.mktemp("claims")
    running = {}
    for name in BESIDE:
        log = folder / name
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.e2e.collector.{name}", "--bootstrap", broker],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPO,
                env=clean_environment(),
            )
        running[name] = process, log
    yield running
    for process, _ in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=90)


@pytest.mark.skipif(not fuzz.is_available(), reason="the recordings are not on this machine")
def test_no_damaged_frame_raises_vanishes_or_lies() -> None:
    assert fuzz.prove(full=False, seed=1).broken == []


def test_every_published_book_is_the_venues_book() -> None:
    assert books.prove(full=False, seed=1).broken == []


def test_rollovers_neither_lose_nor_double(broker: str) -> None:
    assert rollovers.prove(full=False, seed=1, bootstrap=broker).broken == []


def test_resets_are_healed_or_named(broker: str) -> None:
    broken = resets.prove(full=False, seed=1, bootstrap=broker).broken
    # How fast data comes again is told by the program; a busy test machine's pace is no claim.
    assert [line for line in broken if "p99" not in line.name] == []


def test_either_of_a_pair_may_be_killed(broker: str) -> None:
    assert hothot.prove(full=False, seed=1, bootstrap=broker).broken == []


def test_an_outage_of_the_broker_loses_nothing() -> None:
    assert outage.prove(full=False, seed=1).broken == []


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_silent_is_named(
    name: str, beside: dict[str, tuple[subprocess.Popen[bytes], Path]]
) -> None:
    process, log = beside[name]
    assert process.wait(timeout=240) == 0, log.read_text()
