import configparser
import shlex

import pytest
from supervisor.options import ServerOptions

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


def test_supervisord_reads_every_path_and_argument_as_it_was_meant(tmp_path):
    folder = tmp_path / "it's 50% mine"
    recordings = ("a's.gz", 'b "c".gz', "d ;e #f.gz", "g %(here)s.gz", "h$HOME.gz")
    deployment = Deployment(str(folder), 0, Mode.RECORDING, recordings)
    deployment.log_dir.mkdir(parents=True)
    deployment.run_dir.mkdir()
    table = services(deployment, Settings(), with_dagster=True)
    variables = environment(deployment, Settings())
    path = deployment.run_dir / "supervisord.conf"
    path.write_text(configuration(deployment, table, variables))
    options = ServerOptions()
    options.configfile = str(path)
    options.read_config(str(path))
    section = options.configroot.supervisord
    assert section.environment == variables
    assert section.logfile == str(deployment.log_dir / "supervisord.log")
    assert section.pidfile == str(deployment.run_dir / "supervisord.pid")
    programs = {group.name: group.process_configs[0] for group in section.process_group_configs}
    assert programs.keys() == {item.name for item in table}
    for item in table:
        assert tuple(shlex.split(programs[item.name].command)) == item.command
        assert programs[item.name].stdout_logfile == str(deployment.log_dir / f"{item.name}.log")
    socket = section.server_configs[0]["file"]
    assert socket == str(deployment.run_dir / "supervisor.sock")


def test_a_stack_that_does_not_run_is_said_so(tmp_path):
    with pytest.raises(StackError, match="not running"):
        Supervisor(Deployment(str(tmp_path)))


def test_a_service_that_does_not_come_up_is_named_with_its_log(tmp_path):
    text = str(ServiceError("kafka", "no broker", tmp_path / "kafka.log"))
    assert "kafka did not come up: no broker" in text
    assert "kafka.log" in text
