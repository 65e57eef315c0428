"""Read a topic and print its records for people.

Example: python scripts/consumer_example.py --topic binance-trades --from-beginning --limit 5
"""

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from rich.console import Console
from rich.json import JSON
from rich.markup import escape

from shared.market.codec import PAYLOAD_MARK, split_raw
from shared.settings import load_settings

_ANSWER_S = 10.0


def readable(value: bytes) -> str:
    """Return a record as indented JSON, a raw one with its frame; what is no JSON as it is."""
    try:
        if PAYLOAD_MARK in value:
            envelope, payload = split_raw(value)
            return json.dumps(envelope | {"payload": json.loads(payload)}, indent=1)
        return json.dumps(json.loads(value), indent=1)
    except ValueError:
        return json.dumps({"not JSON": value.decode(errors="backslashreplace")})


def record_of(message: Message | None, tell: Callable[[KafkaError], None]) -> Message | None:
    """Return what was polled if it is a record; `tell` hears of an error that may pass.

    Raises:
        KafkaException: an error that does not pass.
    """
    if message is None or (error := message.error()) is None:
        return message
    if error.fatal():
        raise KafkaException(error)
    tell(error)
    return None


def main(
    topic: Annotated[str, typer.Option(help="For example binance-trades or stream-status.")],
    from_beginning: Annotated[bool, typer.Option(help="Not only what comes from now on.")] = False,
    limit: Annotated[int, typer.Option(help="Stop after so many; 0 for never.")] = 0,
    symbol: Annotated[str | None, typer.Option(help="Only records of this symbol.")] = None,
) -> None:
    """Print a topic's records, key and offset first."""
    console = Console()

    told: set[int] = set()

    def tell(error: KafkaError) -> None:
        # A broker that is away is reported at every attempt to reach it.
        if error.code() in told:
            return
        told.add(error.code())
        console.print(f"[red]Kafka: {escape(error.str())}[/red]")

    consumer = Consumer(
        {
            # A broker that goes away is told here and comes with no message.
            "error_cb": tell,
            "log_level": 0,
            "bootstrap.servers": load_settings().kafka.bootstrap_servers,
            "group.id": "consumer-example",
            "auto.offset.reset": "earliest" if from_beginning else "latest",
            "enable.auto.commit": False,
        }
    )
    try:
        if topic not in consumer.list_topics(timeout=_ANSWER_S).topics:
            console.print(f"[red]{topic}: no such topic[/red]; scripts/setup_kafka.py creates them")
            sys.exit(2)
        consumer.subscribe([topic])
        shown = 0
        while not limit or shown < limit:
            message = record_of(consumer.poll(1.0), tell)
            if message is None:
                continue
            told.clear()
            key = (message.key() or b"").decode()
            if symbol is None or key.endswith(f":{symbol}"):
                console.print(f"{topic}[{message.partition()}]@{message.offset()} {key}")
                console.print(JSON(readable(message.value() or b"")))
                shown += 1
    except KafkaException as error:
        console.print(f"[red]the broker does not answer: {escape(error.args[0].str())}[/red]")
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("stopped")
    finally:
        consumer.close()


if __name__ == "__main__":
    typer.run(main)
