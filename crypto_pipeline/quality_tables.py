"""The tables that say what the lake holds and lacks."""

from crypto_pipeline.schemas import DATE, TIME, Column
from crypto_pipeline.specs import CHANNEL, IDENTITY, SEQUENCE, Layer, TableSpec

RANGE = "first_id:bigint,last_id:bigint"
# A time within an array as a number: hudi-rs 0.5 cannot merge timestamps there from log files.
_EDGE = "offset:bigint,partition:int,time_us:bigint"
HELD = f"array<struct<{RANGE},source:string,start:struct<{_EDGE}>,end:struct<{_EDGE}>>>"
TOLD = f"array<struct<state:string,{RANGE},reason:string>>"
RANGES = f"array<struct<{RANGE}>>"

QUALITY_TABLES = (
    TableSpec(
        name="quality_completeness",
        layer=Layer.QUALITY,
        description="Which ids of each channel and day are held, and which lack",
        sources=(
            "bronze_trades",
            "bronze_depth",
            "bronze_klines",
            "bronze_quotes",
            "bronze_stream_status",
        ),
        key=("exchange", "market", "symbol", "channel", "date"),
        ordering="row_order",
        columns=(
            *IDENTITY,
            CHANNEL,
            Column("state", "string", "complete, open, unhealable, or unnumbered: no ids to go by"),
            Column("first_id", "bigint", "Lowest id held of the day; null without numbers"),
            Column("last_id", "bigint", "Highest id held of the day"),
            Column("expected", "bigint", "Ids that there should be: present + missing"),
            Column("present", "bigint", "Ids that are held; without numbers the messages"),
            Column("missing", "bigint", "Ids that are not held, up to the next day's first"),
            Column("duplicates", "bigint", "Ids that came again"),
            Column("fetched", "bigint", "Ids that are held, but did not come live"),
            Column("gaps_open", "bigint", "Rows of quality_gaps in that state"),
            Column("gaps_healed", "bigint", "The same, of those that are not late live records"),
            Column("gaps_unhealable", "bigint", "Rows of quality_gaps in that state"),
            Column("messages", "bigint", "Records in bronze, duplicates too"),
            Column("first_time", TIME, "The exchange's time of the earliest record"),
            Column("last_time", TIME, "Of the latest"),
            Column("held", HELD, "Ids held from each source, live or fetched, and their records"),
            Column("told", TOLD, "What the collector said of ids that did not come live"),
            Column("day_before", "string", "The nearest earlier day with records; null: none"),
            Column("day_after", "string", "The nearest later one"),
            SEQUENCE,
            DATE,
        ),
    ),
    TableSpec(
        name="quality_gaps",
        layer=Layer.QUALITY,
        description="Each range of ids that did not come live: why, and what became of it",
        sources=("quality_completeness", "quality_dead_letters"),
        key=("exchange", "market", "symbol", "channel", "date", "first_id"),
        ordering="row_order",
        columns=(
            *IDENTITY,
            CHANNEL,
            Column("first_id", "bigint", "Lowest id of the range"),
            Column("last_id", "bigint", "Highest id of the range"),
            Column("ids", "bigint", "How many they are"),
            Column("missing", "bigint", "How many of them are held from nowhere"),
            Column("missing_ranges", RANGES, "Which"),
            Column("open_ranges", RANGES, "Which of those may yet be found"),
            Column("before_time", TIME, "The exchange's time of the record before; null: none"),
            Column("after_time", TIME, "Of the record after"),
            Column("cause", "string", "Why it did not come live, as far as it is known"),
            Column("reason", "string", "What was said about that"),
            Column("state", "string", "open, healed, unhealable, or withdrawn: part of another"),
            Column("why_not", "string", "Why it cannot be healed"),
            Column("healed_from", "string", "Where the ids were found"),
            Column("found_at", TIME, "When the lake first knew of it"),
            Column("healed_at", TIME, "When the last of it was held"),
            SEQUENCE,
            DATE,
        ),
    ),
)
