"""Every setting of every service: the only module that reads the environment.

A variable is `CRYPTO_` + section + `__` + field, for example `CRYPTO_KAFKA__BOOTSTRAP_SERVERS`;
`.env.example` explains each; a file `.env` beside it holds those that stay. Below the composition roots
settings travel as frozen arguments.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from dotenv import load_dotenv
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError

PREFIX = "CRYPTO_"
ENV_FILE = Path(__file__).parents[1] / ".env"
Port = Annotated[int, Field(ge=1, le=65535)]


class Compression(StrEnum):
    """Codecs that Kafka producers may use."""

    LZ4 = "lz4"
    SNAPPY = "snappy"
    GZIP = "gzip"
    ZSTD = "zstd"


class LogFormat(StrEnum):
    """JSON lines for machines, console for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Section(BaseModel):
    """A frozen group of settings that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PathSettings(Section):
    """Where the stack keeps its files."""

    data_dir: Path = Path("data")
    symbols_file: Path = Path("config/symbols.yaml")
    lake_root: str = ""  # empty: <data_dir>/lake

    @property
    def lake(self) -> str:
        """The lake's root as an absolute path or URI, for Hudi refuses relative paths."""
        return self.lake_root or str((self.data_dir / "lake").resolve())


class KafkaSettings(Section):
    """The broker and how producers send to it."""

    bootstrap_servers: str = "127.0.0.1:9092"
    compression: Compression = Compression.LZ4
    linger_ms: Annotated[float, Field(ge=0, le=5000)] = 5
    batch_messages: Annotated[int, Field(ge=1)] = 10_000
    queue_messages: Annotated[int, Field(ge=1000)] = 200_000
    delivery_timeout_s: Annotated[float, Field(gt=0)] = 120
    partitions: Annotated[int, Field(ge=1)] = 4
    replication_factor: Annotated[int, Field(ge=1)] = 1
    heap: str = "512m"  # of the embedded broker


class StreamingSettings(Section):
    """The collector's own doors and limits."""

    host: str = "127.0.0.1"
    http_port: Port = 8085
    high_water_frames: Annotated[int, Field(ge=100)] = 20_000
    low_water_frames: Annotated[int, Field(ge=10)] = 5_000
    shutdown_budget_s: Annotated[float, Field(gt=0)] = 20
    metrics_interval_s: Annotated[float, Field(gt=0)] = 30
    symbols_poll_s: Annotated[float, Field(gt=0, le=5)] = 1
    book_levels: Annotated[int, Field(ge=10, le=5000)] = 1000
    pipeline_version: str = "1.0.0"
    instance: Annotated[str, Field(pattern=r"^[a-z0-9]{0,16}$")] = ""
    shard: Annotated[str, Field(pattern=r"^[0-9]+/[0-9]+$")] = "0/1"
    spill_dir: str = ""  # empty: <data_dir>/spill
    spill_bytes: Annotated[int, Field(ge=0)] = 4 * 1024**3  # 0: none
    spill_segment_bytes: Annotated[int, Field(ge=64 * 1024)] = 64 * 1024**2
    spill_fsync: bool = False

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        index, count = map(int, self.shard.split("/"))
        if index >= count:
            raise ValueError(f"shard {self.shard}: the first number counts from 0")
        if self.low_water_frames >= self.high_water_frames:
            raise ValueError("low_water_frames must be below high_water_frames")
        if 0 < self.spill_bytes < 2 * self.spill_segment_bytes:
            raise ValueError("spill_bytes must be 0 or at least twice spill_segment_bytes")
        return self


class RecorderSettings(Section):
    """What is kept of the frames as they came."""

    enabled: bool = False
    dir: str = ""  # empty: <data_dir>/recordings
    file_bytes: Annotated[int, Field(ge=1000)] = 256 * 1024**2
    file_s: Annotated[float, Field(gt=0)] = 3600
    most_bytes: Annotated[int, Field(ge=2000)] = 20 * 1024**3
    most_days: Annotated[float, Field(gt=0)] = 30

    @model_validator(mode="after")
    def _files_fit(self) -> Self:
        if self.most_bytes < 2 * self.file_bytes:
            raise ValueError("most_bytes must be at least twice file_bytes")
        return self


class BinanceSettings(Section):
    """Binance's servers, per market; point them at `mock_exchange` to run without internet."""

    spot_ws_url: str = "wss://data-stream.binance.vision"
    spot_rest_url: str = "https://data-api.binance.vision"
    um_public_ws_url: str = "wss://fstream.binance.com/public"
    um_market_ws_url: str = "wss://fstream.binance.com/market"
    um_rest_url: str = "https://fapi.binance.com"
    cm_ws_url: str = "wss://dstream.binance.com"
    cm_rest_url: str = "https://dapi.binance.com"
    archive_url: str = "https://data.binance.vision"


class SparkSettings(Section):
    """The Spark Connect endpoint, and the embedded server's size."""

    remote: str = "sc://127.0.0.1:15002"
    ui_port: Port = 4040
    driver_memory: str = "4g"
    cores: Annotated[int, Field(ge=1)] = 2


class DagsterSettings(Section):
    """The Dagster web UI, when a tick of the lake begins, how much it takes, how long it is remembered.

    `trades_every_s`: seconds from the beginning of a tick, which brings trades to the candles, to that of the next.
    `tick_every_s`: likewise of a round of ticks over all other tables.
    `portion_s`: how long those of them may take that share a tick, their checks apart.
    """

    host: str = "127.0.0.1"
    port: Port = 3000
    tick_every_s: Annotated[float, Field(ge=1, le=300)] = 60
    trades_every_s: Annotated[float, Field(ge=5, le=300)] = 30
    portion_s: Annotated[float, Field(ge=0, le=300)] = 5
    max_rows_per_tick: Annotated[int, Field(ge=1000)] = 2_000_000
    keep_runs_h: Annotated[float, Field(ge=1)] = 24
    heal_days: Annotated[int, Field(ge=1, le=3650)] = 31
    heal_within_s: Annotated[float, Field(ge=1, le=3000)] = 600


class MockSettings(Section):
    """The mock exchange: spot at `port`, um one above, cm two, control nine above."""

    host: str = "127.0.0.1"
    port: Port = 9470


class LogSettings(Section):
    """How services log."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.JSON


class Settings(BaseSettings):
    """All sections, read once from the environment by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    paths: PathSettings = PathSettings()
    kafka: KafkaSettings = KafkaSettings()
    streaming: StreamingSettings = StreamingSettings()
    recorder: RecorderSettings = RecorderSettings()
    binance: BinanceSettings = BinanceSettings()
    spark: SparkSettings = SparkSettings()
    dagster: DagsterSettings = DagsterSettings()
    mock: MockSettings = MockSettings()
    log: LogSettings = LogSettings()

    @property
    def spill_dir(self) -> Path:
        """Folder of the records that wait for the broker."""
        return Path(self.streaming.spill_dir or self.paths.data_dir / "spill")

    @property
    def archive_dir(self) -> Path:
        """Folder of the archive's files on their way, and of the list of finished days."""
        return self.paths.data_dir / "archive"

    @property
    def recorder_dir(self) -> Path:
        """Folder of the frames as they came."""
        return Path(self.recorder.dir or self.paths.data_dir / "recordings")


def variable_name(section: str, field: str) -> str:
    """Return the environment variable that sets one field: `CRYPTO_KAFKA__LINGER_MS`."""
    return f"{PREFIX}{section}__{field}".upper()


def known_variables() -> dict[str, object]:
    """Return every variable that is read, with its default."""
    return {
        variable_name(section, field): value
        for section, group in Settings.model_construct()
        for field, value in group
    }


def load_settings(**given: dict[str, str | None]) -> Settings:
    """Read the environment; fields given by section (not None) go before it.

    What `ENV_FILE` sets, and the environment does not, becomes part of it, for children too.

    Raises:
        ConfigurationError: naming the variable that is unknown or has a bad value.
    """
    load_dotenv(ENV_FILE)
    _refuse_unknown(os.environ)
    try:
        return Settings(
            **{  # type: ignore[arg-type]  # a section's fields are checked, and merged with its others
                section: {name: value for name, value in fields.items() if value is not None}
                for section, fields in given.items()
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(
            where, first["msg"], "See .env.example for what it may hold."
        ) from error


def process_environment() -> dict[str, str]:
    """Return a copy of this process's environment, for starting another program with it."""
    return dict(os.environ)


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = known_variables()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            raise ConfigurationError(
                name, "no such setting", "Check the spelling against .env.example, or unset it."
            )
