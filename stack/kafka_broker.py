"""The embedded Kafka broker: one KRaft node from jars, on loopback only.

`python -m stack.kafka_broker` formats its storage once and becomes the broker process.
"""

import os
import subprocess
from pathlib import Path

from shared.settings import Settings, load_settings
from stack.jars import classpath

# A fixed id: the data folder, not the cluster id, tells one embedded broker from another.
_CLUSTER_ID = "Y3J5cHRvLWxha2Vob3VzZQ"


def server_properties(settings: Settings) -> str:
    """Return the broker's configuration; the controller listens one port above the broker."""
    host, _, port = settings.kafka.bootstrap_servers.partition(",")[0].rpartition(":")
    controller = int(port) + 1
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{host}:{controller}",
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(_log_dir(settings)),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.retention.check.interval.ms": "60000",
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def java_command(heap: str, main_class: str, *arguments: str) -> list[str]:
    """Return the command that runs one of Kafka's programs from the jars."""
    log_config = Path(__file__).parent.parent / "infra" / "kafka-log4j2.yaml"
    return [
        "java",
        f"-Xmx{heap}",
        f"-Dlog4j2.configurationFile={log_config}",
        "-cp",
        classpath("kafka"),
        main_class,
        *arguments,
    ]


def _log_dir(settings: Settings) -> Path:
    return settings.paths.data_dir.resolve() / "kafka"


def main() -> None:
    """Format the storage if it is new, then run the broker in this process's place."""
    settings = load_settings()
    log_dir = _log_dir(settings)
    log_dir.mkdir(parents=True, exist_ok=True)
    config = log_dir.parent / "run" / "kafka.properties"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(server_properties(settings))
    storage = java_command("256m", "kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER_ID)
    subprocess.run([*storage, "--config", str(config), "--ignore-formatted"], check=True)  # noqa: S603 - our own list
    broker = java_command(settings.kafka.heap, "kafka.Kafka", str(config))
    os.execvp(broker[0], broker)  # noqa: S606 - the supervisor's child must be the broker itself


if __name__ == "__main__":
    main()
