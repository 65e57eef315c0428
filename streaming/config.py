"""Which connection carries which subscriptions: settings and symbols in, a plan out."""

import zlib
from collections.abc import Iterable

import msgspec

from shared.market.instruments import Exchange, Instrument, Market, Subscription


class RestLimits(msgspec.Struct, frozen=True):
    """How much we may use of a venue's REST budget, and which header tells what is used."""

    weight_per_minute: int
    used_weight_header: str


class ConnectLimits(msgspec.Struct, frozen=True):
    """How many sockets a venue lets one address open in a span of seconds."""

    attempts: int
    per_s: float


class Endpoint(msgspec.Struct, frozen=True):
    """One kind of connection a venue offers, and what it carries at most."""

    name: str
    exchange: Exchange
    market: Market
    ws_url: str
    rest_url: str
    rest_limits: RestLimits
    most_streams: int
    ping_interval_s: float
    messages_per_s: int
    connect_limits: ConnectLimits
    lifetime_s: float


class ConnectionPlan(msgspec.Struct, frozen=True):
    """One socket and its subscriptions; the name stays the same while symbols come and go."""

    name: str
    endpoint: Endpoint
    subscriptions: tuple[Subscription, ...]


def in_shard(instrument: Instrument, shard: str) -> bool:
    """Say whether an instrument belongs to shard `i/n`: one of n, the same on every machine."""
    index, count = map(int, shard.split("/"))
    return zlib.crc32(f"{instrument.market}:{instrument.symbol}".encode()) % count == index


def spread(
    endpoint: Endpoint,
    subscriptions: Iterable[Subscription],
    present: Iterable[ConnectionPlan] = (),
) -> list[ConnectionPlan]:
    """Spread subscriptions over as few connections of an endpoint as its limit allows.

    What a present connection of this endpoint carries stays there if it is still wanted, so that a
    change moves nobody else's stream to another socket; new ones fill the lowest-numbered gaps. A
    connection that carries nothing any more is not in the answer.
    """
    wanted = set(subscriptions)
    carried: dict[int, list[Subscription]] = {}
    for plan in present:
        if plan.endpoint.name == endpoint.name:
            kept = [item for item in plan.subscriptions if item in wanted]
            carried[int(plan.name.rpartition("-")[2])] = kept
            wanted.difference_update(kept)
    number = 0
    for item in sorted(wanted):
        while len(carried.setdefault(number, [])) >= endpoint.most_streams:
            number += 1
        carried[number].append(item)
    return [
        ConnectionPlan(f"{endpoint.name}-{number}", endpoint, tuple(sorted(items)))
        for number, items in sorted(carried.items())
        if items
    ]
