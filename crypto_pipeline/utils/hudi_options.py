"""What Hudi is told: options of writes and of its table services, and the statement of a compaction."""

from enum import StrEnum

from crypto_pipeline.specs import Layer, TableSpec, WriteMode

_COMPACTION_MIB = 8 * 1024


class Hoodie(StrEnum):
    """The options that are set, each named once."""

    TABLE_NAME = "hoodie.table.name"
    TABLE_TYPE = "hoodie.datasource.write.table.type"
    OPERATION = "hoodie.datasource.write.operation"
    RECORD_KEY = "hoodie.datasource.write.recordkey.field"
    PARTITION = "hoodie.datasource.write.partitionpath.field"
    ORDERING = "hoodie.datasource.write.precombine.field"
    HIVE_STYLE = "hoodie.datasource.write.hive_style_partitioning"
    KEY_GENERATOR = "hoodie.datasource.write.keygenerator.class"
    META_PREFIX = "hoodie.datasource.write.commitmeta.key.prefix"
    BULK_SORT = "hoodie.bulkinsert.sort.mode"
    BULK_PARALLELISM = "hoodie.bulkinsert.shuffle.parallelism"
    UPSERT_PARALLELISM = "hoodie.upsert.shuffle.parallelism"
    INDEX_TYPE = "hoodie.index.type"
    BUCKETS = "hoodie.bucket.index.num.buckets"
    BUCKET_FIELD = "hoodie.bucket.index.hash.field"
    CODEC = "hoodie.parquet.compression.codec"
    LOG_BLOCKS = "hoodie.logfile.data.block.format"
    RECORDS = "hoodie.write.record.merge.custom.implementation.classes"
    COMBINE = "hoodie.combine.before.upsert"
    LOG_BUFFER_BYTES = "hoodie.memory.dfs.buffer.max.size"
    SPILL_COMPRESSED = "hoodie.common.diskmap.compression.enabled"
    COLUMN_STATS = "hoodie.metadata.index.column.stats.enable"
    PARTITION_STATS = "hoodie.metadata.index.partition.stats.enable"
    METADATA = "hoodie.metadata.enable"
    BLOOM = "hoodie.parquet.bloom.filter.enabled"
    BLOOM_ENTRIES = "hoodie.index.bloom.num_entries"
    BLOOM_TYPE = "hoodie.bloom.index.filter.type"
    BLOOM_FAULTS = "hoodie.index.bloom.fpp"
    MARKER_BATCH_MS = "hoodie.markers.timeline_server_based.batch.interval_ms"
    TIMEZONE = "hoodie.table.timeline.timezone"
    CLOCK_SKEW_MS = "hoodie.time.generator.max_expected_clock_skew_ms"
    INLINE_COMPACT = "hoodie.compact.inline"
    COMPACT_AFTER = "hoodie.compact.inline.max.delta.commits"
    COMPACTION_MIB = "hoodie.compaction.target.io"
    CLEAN_INLINE = "hoodie.clean.automatic"
    ARCHIVE_INLINE = "hoodie.archive.automatic"
    SMALL_FILE = "hoodie.clustering.plan.strategy.small.file.limit"
    MERGED_FILE = "hoodie.clustering.plan.strategy.target.file.max.bytes"
    MERGE_GROUP = "hoodie.clustering.plan.strategy.max.bytes.per.group"
    MERGE_GROUPS = "hoodie.clustering.plan.strategy.max.num.groups"
    QUERY_TYPE = "hoodie.datasource.query.type"
    BEGIN = "hoodie.datasource.read.begin.instanttime"
    END = "hoodie.datasource.read.end.instanttime"


# Of writes and of the table services that rewrite files.
_FILES: dict[str, str] = {
    Hoodie.METADATA: "false",
    Hoodie.COLUMN_STATS: "false",
    Hoodie.PARTITION_STATS: "false",
    Hoodie.CODEC: "zstd",
    # Neither appends nor a bucket index look keys up, and the filter weighs 430 kB a file.
    Hoodie.BLOOM: "false",
    # A file is begun when its marker is written, and markers are gathered as long as this: 50 ms unless told
    # otherwise, for each of a task's files in turn.
    Hoodie.MARKER_BATCH_MS: "5",
}
# The row writer always adds the filter; this makes it as small as it gets, and one that hashes a key twice and not
# thirty times, which was a tenth of a bronze step.
_LEAST_BLOOM: dict[str, str] = {
    Hoodie.BLOOM_ENTRIES: "1",
    Hoodie.BLOOM_TYPE: "SIMPLE",
    Hoodie.BLOOM_FAULTS: "0.5",
}


# Spark's rows go to Parquet's blocks as they are, instead of through Avro; 200,000 trades in 4.2 s, not 5.3.
_SPARK_ROWS: dict[str, str] = {Hoodie.RECORDS: "org.apache.hudi.DefaultSparkRecordMerger"}
EACH_KEY_ONCE: dict[str, str] = {Hoodie.COMBINE: "false"}
"""For rows of which no two have the same key: 200,000 trades in 2.2 s instead of 4.2."""


# For whoever merges logs, reader or service. What does not fit the merge's memory goes to disk, compressed a
# record at a time unless told otherwise; and each log would be read through 16 MB of its own, zeroed before.
MERGE: dict[str, str] = {Hoodie.SPILL_COMPRESSED: "false", Hoodie.LOG_BUFFER_BYTES: str(64 * 1024)}


def write_options(spec: TableSpec) -> dict[str, str]:
    """Return how a table is written.

    Statistics are off and bulk inserts unsorted, for they cost a third of the speed on small
    commits. Cleaning, archiving and compaction cost a write as much again and wait for the
    maintenance job (`table_services`).
    """
    options: dict[str, str] = {
        **_FILES,
        Hoodie.TABLE_NAME: spec.name,
        Hoodie.OPERATION: spec.mode.value,
        Hoodie.RECORD_KEY: ",".join(spec.key),
        Hoodie.PARTITION: "symbol,date",
        Hoodie.HIVE_STYLE: "true",
        Hoodie.KEY_GENERATOR: "org.apache.hudi.keygen.ComplexKeyGenerator",
        Hoodie.TIMEZONE: "UTC",
        # Hudi waits this long after each time it takes, several times a commit, in case other machines
        # write too; a table here has one writer, whose times all come from the driver's clock.
        Hoodie.CLOCK_SKEW_MS: "10",
        Hoodie.CLEAN_INLINE: "false",
        Hoodie.ARCHIVE_INLINE: "false",
    }
    if spec.mode is WriteMode.APPEND:
        return {
            **options,
            **_LEAST_BLOOM,
            Hoodie.TABLE_TYPE: "COPY_ON_WRITE",
            Hoodie.BULK_SORT: "NONE",
            Hoodie.BULK_PARALLELISM: "2",
        }
    is_silver = spec.layer is Layer.SILVER
    return {
        **options,
        Hoodie.TABLE_TYPE: "MERGE_ON_READ",
        Hoodie.ORDERING: spec.ordering or "",
        Hoodie.INDEX_TYPE: "BUCKET",
        Hoodie.BUCKETS: "1",
        Hoodie.BUCKET_FIELD: ",".join(spec.key),
        # Parquet's are a tenth of the size and faster to read from about 2,000 rows on; opening one costs
        # 7 ms, and a tick brings most tables a few rows a symbol.
        Hoodie.LOG_BLOCKS: "parquet" if is_silver else "avro",
        **(_SPARK_ROWS if is_silver else {}),
        Hoodie.UPSERT_PARALLELISM: "2",
        Hoodie.INLINE_COMPACT: "false",
    }


def service_options(more: dict[str, str]) -> str:
    """Return the options of a service as one SQL argument."""
    options = _FILES | _LEAST_BLOOM | MERGE | more
    return ",".join(f"{key}={value}" for key, value in options.items())


def compaction(path: str, operation: str) -> str:
    """Return the statement that plans or carries out a compaction, or both."""
    options = service_options(
        {Hoodie.COMPACT_AFTER: "1", Hoodie.COMPACTION_MIB: str(_COMPACTION_MIB)}
    )
    return f"call run_compaction(path => '{path}', op => '{operation}', options => '{options}')"
