"""Which connection carries which subscriptions: settings and symbols in, a plan out."""

from collections.abc import Iterable

import msgspec

from shared.market.instruments import Exchange, Market, Subscription


class Endpoint(msgspec.Struct, frozen=True):
    """One kind of connection a venue offers, and what it carries at most."""

    name: str
    exchange: Exchange
    market: Market
    ws_url: str
    rest_url: str
    most_streams: int
    ping_interval_s: float


class ConnectionPlan(msgspec.Struct, frozen=True):
    """One socket and its subscriptions; the name stays the same while symbols come and go."""

    name: str
    endpoint: Endpoint
    subscriptions: tuple[Subscription, ...]


def split(endpoint: Endpoint, subscriptions: Iterable[Subscription]) -> list[ConnectionPlan]:
    """Spread subscriptions over as many connections of an endpoint as its limit asks for."""
    ordered = sorted(subscriptions)
    size = endpoint.most_streams
    return [
        ConnectionPlan(
            f"{endpoint.name}-{start // size}", endpoint, tuple(ordered[start : start + size])
        )
        for start in range(0, len(ordered), size)
    ]
