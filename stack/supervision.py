"""supervisord: its configuration, and starting and stopping services through its socket."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from shared.settings import process_environment
from stack.deployment import Deployment
from stack.errors import ServiceError, StackError
from stack.services import Service

_REPO = Path(__file__).parent.parent
_POLL_S = 0.3
_STOP_TIMEOUT_S = 120


def configuration(
    deployment: Deployment, services: list[Service], environment: dict[str, str]
) -> str:
    """Return supervisord's configuration: socket only, restarts with back-off, rotating logs.

    supervisord waits one second longer before each further restart; a service that keeps failing
    is tried for about an hour before it is given up.
    """
    run, logs = _escaped(str(deployment.run_dir)), _escaped(str(deployment.log_dir))
    # supervisord expands the environment and a program's log twice.
    variables = ",".join(
        f"{name}={_escaped(_escaped(_quoted(value)))}" for name, value in environment.items()
    )
    head = f"""\
[supervisord]
nodaemon=false
pidfile={run}/supervisord.pid
logfile={logs}/supervisord.log
childlogdir={logs}
directory={_escaped(str(_REPO))}
environment={variables}

[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(
        f"""
[program:{service.name}]
command={_escaped(_command_line(service.command))}
autostart=false
autorestart=true
startsecs=3
startretries=80
stopwaitsecs={service.stop_within_s}
stopasgroup={"true" if service.stops_with_children else "false"}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(logs)}/{service.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""
        for service in services
    )


class Supervisor:
    """A running supervisord, reached over its socket.

    Raises:
        StackError: none is running for this deployment.
    """

    def __init__(self, deployment: Deployment) -> None:
        socket = deployment.run_dir / "supervisor.sock"
        if not socket.exists():
            raise StackError(f"{deployment.data_dir}: the stack is not running")
        transport = SupervisorTransport(None, None, serverurl=f"unix://{socket}")
        # The address is not used: the transport speaks over the socket.
        server: Any = ServerProxy("http://localhost", transport=transport)
        self._remote = server.supervisor
        self._logs = deployment.log_dir
        try:
            self.pid = int(self._remote.getPID())
        except OSError as error:
            raise StackError(f"{deployment.data_dir}: the stack is not running") from error

    def processes(self) -> dict[str, dict[str, Any]]:
        """Return each service's state, pid and start time by name."""
        return {item["name"]: item for item in self._remote.getAllProcessInfo()}

    def start(self, service: Service, waiting: Callable[[str], None]) -> None:
        """Start a service and wait until it is healthy; `waiting` hears why it is not yet.

        Raises:
            ServiceError: it is not in time.
        """
        if self.processes()[service.name]["statename"] not in {"RUNNING", "STARTING"}:
            self._remote.startProcess(service.name, False)
        deadline = time.monotonic() + service.start_within_s
        while (reason := self._unhealthy(service)) is not None:
            waiting(f"{service.name}, {reason}")
            if time.monotonic() > deadline:
                raise ServiceError(service.name, reason, self._logs / f"{service.name}.log")
            time.sleep(_POLL_S)

    def stop(self, name: str) -> None:
        """Stop one service and wait for its end."""
        try:
            self._remote.stopProcess(name)
        except Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def shut_down(self) -> None:
        """End supervisord itself, and wait until it is gone."""
        self._remote.shutdown()
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while Path(f"/proc/{self.pid}").exists():
            if time.monotonic() > deadline:
                raise StackError(f"supervisord {self.pid} does not end; look into {self._logs}")
            time.sleep(_POLL_S)

    def _unhealthy(self, service: Service) -> str | None:
        state = self.processes()[service.name]["statename"]
        return service.check() if state in {"RUNNING", "STARTING"} else state


def launch(deployment: Deployment, services: list[Service], environment: dict[str, str]) -> None:
    """Write the configuration and start supervisord, all services stopped."""
    deployment.log_dir.mkdir(parents=True, exist_ok=True)
    config = deployment.run_dir / "supervisord.conf"
    config.write_text(configuration(deployment, services, environment))
    supervisord = str(Path(sys.executable).parent / "supervisord")
    # A SPARK_HOME or SPARK_REMOTE of the user's shell would lead our own Spark astray.
    inherited = {
        name: value
        for name, value in process_environment().items()
        if not name.startswith("SPARK_")
    }
    subprocess.run([supervisord, "-c", str(config)], check=True, env=inherited)  # noqa: S603 - our own program


def _command_line(command: Sequence[str]) -> str:
    """Return a command as supervisord splits it.

    A space before `;` or `#` would begin a comment even inside quotes; closing and opening them in
    between changes nothing for the shell's rules.
    """
    return re.sub(r"(\s)([;#])", r"\1''\2", shlex.join(command))


def _quoted(value: str) -> str:
    """Return a value of the environment in the quotes that it does not hold itself."""
    return f"'{value}'" if '"' in value else f'"{value}"'


def _escaped(text: str) -> str:
    """Percent signs are supervisord's own expansion mark."""
    return text.replace("%", "%%")
