import json
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.unit.scripts.test_symbol_config_tool import load_script

script = load_script("consumer_example")
readable = script.readable


class Polled:
    """What `poll` returns: a record, or an error."""

    def __init__(self, error: KafkaError | None) -> None:
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error


def test_an_error_that_may_pass_is_told_and_is_no_record():
    told: list[KafkaError] = []
    gone = KafkaError(KafkaError._TRANSPORT, "broker away")
    assert script.record_of(None, told.append) is None
    assert script.record_of(Polled(gone), told.append) is None
    assert told == [gone]
    record = Polled(None)
    assert script.record_of(record, told.append) is record
    assert len(told) == 1


def test_an_error_that_does_not_pass_ends_the_waiting():
    fenced = KafkaError(KafkaError._FATAL, "fenced", fatal=True)
    with pytest.raises(KafkaException, match="fenced"):
        script.record_of(Polled(fenced), lambda _: None)


def test_a_broker_that_goes_is_shown_once(capfd, monkeypatch):
    class Deserted:
        def __init__(self, options):
            self._tell = options["error_cb"]
            self._left = [None, Polled(KafkaError(KafkaError._UNKNOWN_TOPIC, "topic [gone]"))]

        def list_topics(self, timeout):
            return SimpleNamespace(topics={"t": None})

        def subscribe(self, topics):
            for _ in range(50):
                self._tell(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))

        def poll(self, timeout):
            if not self._left:
                raise KeyboardInterrupt
            return self._left.pop(0)

        def close(self):
            pass

    monkeypatch.setattr(script, "Consumer", Deserted)
    script.main("t", from_beginning=True, limit=1, symbol=None)
    shown = capfd.readouterr().out
    assert shown.count("1/1 brokers are down") == 1
    assert "topic [gone]" in shown


def test_a_raw_record_is_shown_with_its_frame_and_what_is_no_json_as_it_is():
    assert json.loads(readable(b'{"a":1,"payload":{"b":[2]}}')) == {"a": 1, "payload": {"b": [2]}}
    assert json.loads(readable(b'{"a":1}')) == {"a": 1}
    assert json.loads(readable(b"{oops")) == {"not JSON": "{oops"}
