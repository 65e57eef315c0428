"""The contract of a venue protocol: a pure object that one connection drives.

Life of a connection, as the shell runs it:

    open ─► commands ─► SendText … ─► receive frame ─► events (+ commands) ─► … ─► close ─► open …
                      └► FetchSnapshot ─► receive_snapshot | snapshot_failed

A protocol never awaits, never reads a clock and never raises on venue input: what it cannot
understand becomes a `DeadLetter` event. Every method that can want something done leaves commands
that the shell drains with `commands()` after each call.
"""

from collections.abc import Iterable
from typing import Protocol, Self

import msgspec

from shared.market.events import DeadLetter, Event, Origin
from shared.market.instruments import Subscription
from streaming.exchanges.liveness import Liveness

KEPT_BYTES = 100_000
"""How much of a payload a dead letter keeps."""


class SendText(msgspec.Struct, frozen=True):
    """Send one text message to the venue."""

    text: str


class FetchSnapshot(msgspec.Struct, frozen=True):
    """Fetch a book snapshot over REST; `path` is below the market's REST address.

    `not_before_ns` holds a refetch back; `weight` is what the venue charges for the call.
    """

    subscription: Subscription
    path: str
    weight: int
    not_before_ns: int = 0


class Reconnect(msgspec.Struct, frozen=True):
    """Close the socket and open another; the reason goes to the log and `stream-status`."""

    reason: str


class RollOver(msgspec.Struct, frozen=True):
    """Replace the socket by a fresh one, which must deliver before this one is closed.

    `is_urgent` where the venue is about to close this one.
    """

    reason: str
    is_urgent: bool = False


Command = SendText | FetchSnapshot | Reconnect | RollOver


def dead_letter(origin: Origin, data: bytes, reason: str, received_ns: int) -> DeadLetter:
    """Return what becomes of a payload that cannot be understood; of a long one the beginning stays.

    Kafka takes a megabyte, and a byte that is no text becomes five in its record.
    """
    if len(data) > KEPT_BYTES:
        reason = f"{reason} (the first {KEPT_BYTES} of {len(data)} bytes are kept)"
    return DeadLetter(
        origin=origin,
        received_ns=received_ns,
        event_time=None,
        reason=reason,
        payload=data[:KEPT_BYTES].decode(errors="backslashreplace"),
    )


class StreamView(Protocol):
    """One subscription as the shell sees it."""

    subscription: Subscription
    life: Liveness


class ExchangeProtocol(Protocol):
    """One connection's language and state."""

    control_origin: Origin
    """Origin of frames that belong to no subscription, in the current epoch."""

    @property
    def has_commands(self) -> bool:
        """Whether `commands` would return any; asked after every frame."""
        ...

    def streams(self) -> Iterable[StreamView]:
        """Yield every subscription with what is known of its life."""
        ...

    def open(self, now_ns: int, *, beside: bool = False, epoch: int | None = None) -> list[Event]:
        """Begin a new epoch on a fresh socket: forgets books, asks for every subscription.

        `beside` another connection that still carries the same, books wait for `adopt`. Without
        `epoch` the next one begins.
        """
        ...

    def joins(self, before: Self) -> bool:
        """Say whether `adopt` would leave no hole."""
        ...

    def excuse(self, now_ns: int) -> None:
        """Learn that nothing was read for a while, which was not the venue's fault."""
        ...

    def adopt(self, before: Self, now_ns: int) -> list[Event]:
        """Take over ids, books and habits of the connection beside which this one was opened."""
        ...

    def tick(self, now_ns: int) -> list[Event]:
        """Judge what is silent; called about once a second while the socket is open."""
        ...

    def receive(self, frame: str | bytes, received_ns: int) -> list[Event]:
        """Translate one frame. The first event's origin is the frame's; no event: control."""
        ...

    def receive_snapshot(
        self, request: FetchSnapshot, body: bytes, received_ns: int
    ) -> list[Event]:
        """Take a snapshot body that answers `request`; a stale request is ignored."""
        ...

    def snapshot_failed(self, request: FetchSnapshot, now_ns: int) -> None:
        """Learn that a snapshot could not be had; it will be asked for again later."""
        ...

    def subscribe(self, wanted: Iterable[Subscription], now_ns: int) -> list[Event]:
        """Make `wanted` the subscriptions, touching only what differs from the present ones."""
        ...

    def close(self, reason: str, now_ns: int, *, planned: bool = False) -> list[Event]:
        """End the epoch: the socket is gone, or `planned` given up."""
        ...

    def commands(self) -> list[Command]:
        """Return and forget what is wanted of the shell, in order."""
        ...
