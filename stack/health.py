"""Is a service up? One cheap question each, answered with a reason when it is not."""

from collections.abc import Callable
from urllib.parse import urlsplit

import grpc
import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shared.settings import Settings

Check = Callable[[], str | None]
"""Returns None when healthy, else why not."""

_TIMEOUT_S = 3


def kafka(settings: Settings) -> Check:
    """The broker answers with its metadata."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 0})

    def check() -> str | None:
        try:
            return None if admin.list_topics(timeout=_TIMEOUT_S).brokers else "no broker"
        except KafkaException as error:
            return str(error)

    return check


def spark(settings: Settings) -> Check:
    """The gRPC endpoint takes connections."""

    def check() -> str | None:
        with grpc.insecure_channel(urlsplit(settings.spark.remote).netloc) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=_TIMEOUT_S)
            except grpc.FutureTimeoutError:
                return "no gRPC answer"
        return None

    return check


def http(url: str) -> Check:
    """An address answers with success."""

    def check() -> str | None:
        try:
            response = httpx.get(url, timeout=_TIMEOUT_S)
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return None if response.is_success else f"HTTP {response.status_code}"

    return check
