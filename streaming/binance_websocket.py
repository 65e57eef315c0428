"""Binance's servers: addresses per market, which route carries which channel, and limits.

Since 2026-04-23 the um market has two routes, and a subscription on the wrong one is acknowledged
and then stays silent: `/public` carries depth, bookTicker and trade, `/market` the rest.
"""

from collections.abc import Iterable

from shared.market.instruments import Exchange, Market, Subscription
from shared.settings import BinanceSettings
from streaming.config import ConnectionPlan, ConnectLimits, Endpoint, RestLimits, spread
from streaming.exchanges.binance import BinanceProtocol
from streaming.exchanges.binance_events import channel_kind

_UM_PUBLIC = {"depth", "bookTicker", "trade"}
# The pages say 1024; older ones and several libraries 200 on futures, so the smaller is kept there.
_MOST_STREAMS = {Market.SPOT: 1024, Market.UM: 200, Market.CM: 200}
# Spot allows 6000 a minute and um 2400, which it shares with cm; a fifth is left to other
# programs at the same address. The header's figure is the venue's own count.
_WEIGHT_PER_MINUTE = {Market.SPOT: 4800, Market.UM: 1400, Market.CM: 500}
_USED_WEIGHT_HEADER = "x-mbx-used-weight-1m"
_PING_PATH = {
    Market.SPOT: "/api/v3/ping",
    Market.UM: "/fapi/v1/ping",
    Market.CM: "/dapi/v1/ping",
}
# A venue's limit is 5 messages a second on spot and 10 on futures; pings and pongs count too.
_MESSAGES_PER_S = 4
# 300 attempts in 5 minutes, per address; the rest is for other programs there.
_CONNECT_LIMITS = ConnectLimits(attempts=200, per_s=300)
# A socket is closed after 24 hours.
_LIFETIME_S = 23 * 3600
# Between two pings of ours on a silent socket, and for the answer; um pings only every 3 min itself.
_PING_INTERVAL_S = 60


def plan(
    settings: BinanceSettings,
    subscriptions: Iterable[Subscription],
    present: Iterable[ConnectionPlan] = (),
    instance: str = "",
) -> list[ConnectionPlan]:
    """Return the connections for these subscriptions; what `present` ones carry stays where it is.

    `instance` is part of their names, where several collectors carry the same.
    """
    endpoints = _endpoints(settings, instance)
    running = list(present)
    groups: dict[str, list[Subscription]] = {}
    for subscription in subscriptions:
        groups.setdefault(_endpoint_name(subscription), []).append(subscription)
    return [
        connection
        for name, group in sorted(groups.items())
        for connection in spread(endpoints[name], group, running)
    ]


def protocol(connection: ConnectionPlan, book_levels: int) -> BinanceProtocol:
    """Return a protocol object for one planned connection."""
    return BinanceProtocol(
        connection.endpoint.market, connection.name, connection.subscriptions, book_levels
    )


def rest_address(settings: BinanceSettings, market: Market) -> tuple[str, RestLimits]:
    """Return a market's REST address, and how much of its budget we may use."""
    urls = {
        Market.SPOT: settings.spot_rest_url,
        Market.UM: settings.um_rest_url,
        Market.CM: settings.cm_rest_url,
    }
    return urls[market], RestLimits(_WEIGHT_PER_MINUTE[market], _USED_WEIGHT_HEADER)


def _endpoint_name(subscription: Subscription) -> str:
    market = subscription.instrument.market
    if market is Market.SPOT:
        return "binance-spot"
    if market is Market.UM:
        is_public = channel_kind(subscription.channel) in _UM_PUBLIC
        return "binance-um-public" if is_public else "binance-um-market"
    return "binance-cm"


def _endpoints(settings: BinanceSettings, instance: str) -> dict[str, Endpoint]:
    def endpoint(name: str, market: Market, ws_url: str) -> tuple[str, Endpoint]:
        rest_url, rest_limits = rest_address(settings, market)
        return name, Endpoint(
            name=f"{name}-{instance}" if instance else name,
            exchange=Exchange.BINANCE,
            market=market,
            ws_url=f"{ws_url.rstrip('/')}/stream",
            rest_url=rest_url,
            ping_path=_PING_PATH[market],
            rest_limits=rest_limits,
            most_streams=_MOST_STREAMS[market],
            ping_interval_s=_PING_INTERVAL_S,
            messages_per_s=_MESSAGES_PER_S,
            connect_limits=_CONNECT_LIMITS,
            lifetime_s=_LIFETIME_S,
        )

    endpoints = [
        endpoint("binance-spot", Market.SPOT, settings.spot_ws_url),
        endpoint("binance-um-public", Market.UM, settings.um_public_ws_url),
        endpoint("binance-um-market", Market.UM, settings.um_market_ws_url),
        endpoint("binance-cm", Market.CM, settings.cm_ws_url),
    ]
    return dict(endpoints)
