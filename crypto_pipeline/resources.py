"""What assets reach the world through. Nothing is opened, and no setting read, before a run asks."""

from collections.abc import Callable
from functools import cached_property
from uuid import uuid4

from dagster import ConfigurableResource, InitResourceContext
from pydantic import PrivateAttr
from pyspark.sql import DataFrame, SparkSession

from crypto_pipeline.utils.broker import watermarks
from crypto_pipeline.utils.kafka_utils import Watermarks
from crypto_pipeline.utils.spark_utils import connect
from shared.clock import Clock, SystemClock
from shared.market.instruments import Exchange, Instrument
from shared.market.topics import Feed, topic_name
from shared.settings import Settings, load_settings
from shared.symbol_manager import SymbolBook, file_version, load_symbols


class LakehouseResource(ConfigurableResource):  # type: ignore[type-arg]
    """Settings, the Spark session, the lake's place and the known symbols of one run."""

    _shared: dict[str, str] = PrivateAttr(default_factory=dict)
    # All runs join one Spark session: a view must be this run's own.
    _own: str = PrivateAttr(default_factory=lambda: uuid4().hex)
    _symbols: tuple[object, SymbolBook] | None = PrivateAttr(default=None)

    @cached_property
    def settings(self) -> Settings:
        """The environment's settings."""
        return load_settings()

    @property
    def clock(self) -> Clock:
        """Our time."""
        return SystemClock()

    @property
    def spark(self) -> SparkSession:
        """The Spark Connect session."""
        return connect(self.settings.spark.remote)

    @property
    def lake(self) -> str:
        """The lake's root."""
        return self.settings.paths.lake

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return self.settings.kafka.bootstrap_servers

    @property
    def max_records(self) -> int:
        """How many Kafka records one bronze commit takes at most."""
        return self.settings.dagster.max_rows_per_tick

    @property
    def symbols(self) -> SymbolBook:
        """The symbols file as it is now: a symbol may come, with its records, in the midst of a run."""
        path = self.settings.paths.symbols_file
        version = file_version(path)
        if self._symbols is None or self._symbols[0] != version:
            self._symbols = (version, load_symbols(path))
        return self._symbols[1]

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Every listed instrument, disabled ones too: their records are still good."""
        return self.symbols.instruments()

    def topics(self, feed: Feed) -> list[str]:
        """Return the topics of a feed over all exchanges."""
        exchanges = self.symbols.exchanges() or tuple(Exchange)
        return sorted({topic_name(exchange, feed) for exchange in exchanges})

    def watermarks(self, feed: Feed) -> Watermarks:
        """Return what the broker holds of a feed."""
        return watermarks(self.bootstrap, self.topics(feed))

    def shared(self, name: str, version: str, build: Callable[[], DataFrame]) -> DataFrame:
        """Return what `build` makes, computed once for all who ask for this version; kept until another.

        Spark Connect analyses a plan anew at each use and then finds nothing in its cache; a view is
        analysed once.
        """
        view = f"{name}_{version}_{self._own}"
        if self._shared.get(name) != view:
            self._forget(name)
            build().createOrReplaceTempView(view)
            self.spark.catalog.cacheTable(view)
            self._shared[name] = view
        return self.spark.table(view)

    def teardown_after_execution(self, context: InitResourceContext) -> None:  # noqa: ARG002 - Dagster's
        """Free at the end of a run what was shared in it."""
        for name in list(self._shared):
            self._forget(name)

    def _forget(self, name: str) -> None:
        view = self._shared.pop(name, None)
        if view is not None:
            self.spark.catalog.uncacheTable(view)
            self.spark.catalog.dropTempView(view)
