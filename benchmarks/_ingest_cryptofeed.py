"""The rival of the ingest benchmark: cryptofeed's Binance feed with its own Kafka backend.

Runs in a throw-away environment that the benchmark makes. Usage: PORT BOOTSTRAP LOGFILE
"""

import sys

from cryptofeed import FeedHandler
from cryptofeed.backends.kafka import BookKafka, TickerKafka, TradeKafka
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint, WSAsyncConn
from cryptofeed.defines import L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import Binance

PORT, BOOTSTRAP, LOG = sys.argv[1:4]
ROUTES = Routes("/api/v3/exchangeInfo", l2book="/api/v3/depth?symbol={}&limit={}")

_open = WSAsyncConn._open  # noqa: SLF001 - it takes wss:// only, the benchmark's venue has no TLS


async def _open_without_tls(self: WSAsyncConn) -> None:
    self.address = self.address.replace("wss://", "ws://")
    await _open(self)


WSAsyncConn._open = _open_without_tls  # noqa: SLF001 - see above
Binance.websocket_endpoints = [
    WebsocketEndpoint(f"wss://127.0.0.1:{PORT}", options={"compression": None})
]
Binance.rest_endpoints = [RestEndpoint(f"http://127.0.0.1:{PORT}", routes=ROUTES)]
kafka = {"bootstrap_servers": BOOTSTRAP, "acks": "all", "enable_idempotence": True}
handler = FeedHandler({"log": {"filename": LOG, "level": "WARNING"}})
handler.add_feed(
    Binance(
        symbols=["BTC-USDT", "ETH-USDT"],
        channels=[TRADES, TICKER, L2_BOOK],
        callbacks={
            TRADES: TradeKafka(**kafka),
            TICKER: TickerKafka(**kafka),
            L2_BOOK: BookKafka(**kafka),
        },
    )
)
handler.run()
