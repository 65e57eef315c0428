"""Binance's servers: addresses per market, which route carries which channel, and limits.

Since 2026-04-23 the um market has two routes, and a subscription on the wrong one is acknowledged
and then stays silent: `/public` carries depth, bookTicker and trade, `/market` the rest.
"""

from collections.abc import Iterable

from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Market, Subscription
from shared.settings import BinanceSettings
from streaming.config import ConnectionPlan, Endpoint, split
from streaming.exchanges.binance import BinanceProtocol
from streaming.exchanges.binance_events import channel_kind

_UM_PUBLIC = {"depth", "bookTicker", "trade"}
# The pages say 1024; older ones and several libraries 200 on futures, so the smaller is kept there.
_MOST_STREAMS = {Market.SPOT: 1024, Market.UM: 200}


def plan(settings: BinanceSettings, subscriptions: Iterable[Subscription]) -> list[ConnectionPlan]:
    """Return the connections for these subscriptions.

    Raises:
        ConfigurationError: a market that is not collected yet.
    """
    endpoints = _endpoints(settings)
    groups: dict[str, list[Subscription]] = {}
    for subscription in subscriptions:
        groups.setdefault(_endpoint_name(subscription), []).append(subscription)
    return [
        connection
        for name, group in sorted(groups.items())
        for connection in split(endpoints[name], group)
    ]


def protocol(connection: ConnectionPlan, book_levels: int) -> BinanceProtocol:
    """Return the protocol object of one planned connection."""
    return BinanceProtocol(
        connection.endpoint.market, connection.name, connection.subscriptions, book_levels
    )


def _endpoint_name(subscription: Subscription) -> str:
    market = subscription.instrument.market
    if market is Market.SPOT:
        return "binance-spot"
    if market is Market.UM:
        is_public = channel_kind(subscription.channel) in _UM_PUBLIC
        return "binance-um-public" if is_public else "binance-um-market"
    raise ConfigurationError(
        f"exchanges.binance.{market}", "this market is not collected yet", "Use spot or um."
    )


def _endpoints(settings: BinanceSettings) -> dict[str, Endpoint]:
    def endpoint(name: str, market: Market, ws_url: str, rest_url: str) -> Endpoint:
        return Endpoint(
            name=name,
            exchange=Exchange.BINANCE,
            market=market,
            ws_url=f"{ws_url}/stream",
            rest_url=rest_url,
            most_streams=_MOST_STREAMS[market],
            ping_interval_s=60,
        )

    endpoints = [
        endpoint("binance-spot", Market.SPOT, settings.spot_ws_url, settings.spot_rest_url),
        endpoint("binance-um-public", Market.UM, settings.um_public_ws_url, settings.um_rest_url),
        endpoint("binance-um-market", Market.UM, settings.um_market_ws_url, settings.um_rest_url),
    ]
    return {item.name: item for item in endpoints}
