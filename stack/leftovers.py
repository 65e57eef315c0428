"""Services that outlived their supervisord: known by what it gave them, and ended in order."""

import time
from collections.abc import Callable, Iterable

import psutil

from shared.settings import variable_name
from stack.deployment import Deployment
from stack.errors import StackError
from stack.services import Service

_FOLDER = variable_name("paths", "data_dir")
# supervisord's own mark on what it starts; a shell that merely exports our variable has none.
_NAME = "SUPERVISOR_PROCESS_NAME"
_POLL_S = 0.1
_KILLED_WITHIN_S = 5
Found = dict[str, list[psutil.Process]]


def find(deployment: Deployment) -> Found:
    """Return the deployment's processes by the service that they belong to, children included."""
    found: Found = {}
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except (psutil.Error, OSError):
            # Another user's, or gone meanwhile.
            continue
        if variables.get(_FOLDER) == deployment.data_dir and _NAME in variables:
            found.setdefault(variables[_NAME], []).append(process)
    return found


def named(found: Found) -> str:
    """Return the services with their process ids, for a person."""
    return ", ".join(
        f"{name} (pid {', '.join(str(process.pid) for process in processes)})"
        for name, processes in sorted(found.items())
    )


def refuse(deployment: Deployment) -> None:
    """Raise StackError if services run without their supervisord."""
    if found := find(deployment):
        raise StackError(
            f"{deployment.data_dir}: supervisord is gone, but what it started still runs:"
            f" {named(found)}. End it first: ./stop.sh"
        )


def end(deployment: Deployment, table: list[Service], ending: Callable[[str], None]) -> None:
    """End what is left, in the reverse order of the table; `ending` hears which service it is at.

    Each is asked first, and killed if it is not gone in the time that the table gives it.

    Raises:
        StackError: something still runs; names it.
    """
    found = find(deployment)
    for service in reversed(table):
        if processes := found.pop(service.name, None):
            ending(service.name)
            _end(service, processes)
    if found := find(deployment):
        raise StackError(f"{deployment.data_dir}: not ended: {named(found)}")


def _end(service: Service, processes: list[psutil.Process]) -> None:
    numbers = {process.pid for process in processes}
    for process in processes:
        if service.stops_with_children or _parent(process) not in numbers:
            _signal(process.terminate)
    if not _are_gone(processes, service.stop_within_s):
        for process in processes:
            _signal(process.kill)
        _are_gone(processes, _KILLED_WITHIN_S)


def _are_gone(processes: Iterable[psutil.Process], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(_is_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.Error:
        # Gone meanwhile, or not ours to end: what stays is named at the end.
        return
