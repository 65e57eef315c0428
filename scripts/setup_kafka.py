"""Create the topics of design and settings, and report where the broker differs.

Example: python scripts/setup_kafka.py --check
"""

import sys
from typing import Annotated

import typer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from rich.console import Console
from rich.table import Table

from shared.market.instruments import Exchange
from shared.market.topics import TopicSpec, topic_specs
from shared.settings import load_settings
from shared.symbol_manager import load_symbols

_TIMEOUT_S = 30


def wanted_topics(exchanges: tuple[Exchange, ...]) -> list[TopicSpec]:
    """Return every topic of these exchanges once."""
    specs = {spec.name: spec for exchange in exchanges for spec in topic_specs(exchange)}
    return [specs[name] for name in sorted(specs)]


def create(admin: AdminClient, specs: list[TopicSpec], partitions: int, replicas: int) -> None:
    """Create the topics and wait until the broker has them."""
    topics = [
        NewTopic(
            spec.name,
            spec.partitions or partitions,
            replicas,
            config={"retention.ms": str(spec.retention_ms)},
        )
        for spec in specs
    ]
    for future in admin.create_topics(topics).values():
        future.result(_TIMEOUT_S)


def drift(admin: AdminClient, specs: list[TopicSpec], partitions: int) -> list[tuple[str, ...]]:
    """Return (topic, what, wanted, found) for each way in which the broker differs."""
    present = admin.list_topics(timeout=_TIMEOUT_S).topics
    differences = [
        (spec.name, "topic", "present", "missing") for spec in specs if spec.name not in present
    ]
    held = [spec for spec in specs if spec.name in present]
    resources = [ConfigResource(ConfigResource.Type.TOPIC, spec.name) for spec in held]
    configs = admin.describe_configs(resources) if resources else {}
    for spec, resource in zip(held, resources, strict=True):
        found = str(len(present[spec.name].partitions))
        if found != str(spec.partitions or partitions):
            differences.append((spec.name, "partitions", str(spec.partitions or partitions), found))
        retention = configs[resource].result(_TIMEOUT_S)["retention.ms"].value
        if retention != str(spec.retention_ms):
            differences.append((spec.name, "retention.ms", str(spec.retention_ms), retention))
    return differences


def main(
    check: Annotated[
        bool, typer.Option(help="Create nothing; exit 1 if anything differs.")
    ] = False,
) -> None:
    """Create missing topics (partitions and retention from one table) and report drift."""
    settings = load_settings()
    specs = wanted_topics(load_symbols(settings.paths.symbols_file).exchanges())
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    console = Console()
    if not check:
        present = admin.list_topics(timeout=_TIMEOUT_S).topics
        missing = [spec for spec in specs if spec.name not in present]
        if missing:
            create(admin, missing, settings.kafka.partitions, settings.kafka.replication_factor)
            console.print(f"created {', '.join(spec.name for spec in missing)}")
    differences = drift(admin, specs, settings.kafka.partitions)
    if differences:
        table = Table("topic", "what", "wanted", "found")
        for row in differences:
            table.add_row(*row)
        console.print(table)
    sys.exit(1 if differences and check else 0)


if __name__ == "__main__":
    typer.run(main)
