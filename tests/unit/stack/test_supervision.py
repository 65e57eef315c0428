import configparser

import pytest

from shared.settings import Settings
from stack.deployment import Deployment, Mode, environment
from stack.errors import ServiceError, StackError
from stack.services import services
from stack.supervision import Supervisor, configuration


def names(deployment: Deployment, *, with_dagster: bool = True) -> list[str]:
    return [item.name for item in services(deployment, Settings(), with_dagster=with_dagster)]


def test_services_start_in_the_order_in_which_they_need_one_another(tmp_path):
    live = names(Deployment(str(tmp_path)))
    assert live == ["kafka", "spark", "streaming", "dagster-webserver", "dagster-daemon"]
    demo = names(Deployment(str(tmp_path), mode=Mode.DEMO), with_dagster=False)
    assert demo == ["kafka", "spark", "mock-exchange", "streaming"]


def test_a_recording_is_played_as_asked(tmp_path):
    deployment = Deployment(str(tmp_path), 0, Mode.RECORDING, ("a", "b"), "10", rewind=True)
    table = services(deployment, Settings(), with_dagster=False)
    (mock,) = [item for item in table if item.name == "mock-exchange"]
    assert mock.command[3:] == ("play", "--speed", "10", "--rewind", "a", "b")


def test_supervisord_listens_on_a_socket_only_restarts_and_logs_per_service(tmp_path):
    deployment = Deployment(str(tmp_path / "50%"), mode=Mode.DEMO)
    table = services(deployment, Settings(), with_dagster=True)
    parser = configparser.RawConfigParser()
    parser.read_string(configuration(deployment, table, environment(deployment, Settings())))
    assert "inet_http_server" not in parser
    assert parser["unix_http_server"]["chmod"] == "0700"
    for item in table:
        program = parser[f"program:{item.name}"]
        assert program["autorestart"] == "true"
        assert program["killasgroup"] == "true"
        assert program["stdout_logfile"].endswith(f"{item.name}.log")
    assert '50%%/dagster"' in parser["supervisord"]["environment"]


def test_a_stack_that_does_not_run_is_said_so(tmp_path):
    with pytest.raises(StackError, match="not running"):
        Supervisor(Deployment(str(tmp_path)))


def test_a_service_that_does_not_come_up_is_named_with_its_log(tmp_path):
    text = str(ServiceError("kafka", "no broker", tmp_path / "kafka.log"))
    assert "kafka did not come up: no broker" in text
    assert "kafka.log" in text
