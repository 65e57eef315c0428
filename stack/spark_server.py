"""The embedded Spark Connect server: one JVM with Hudi and Kafka, on loopback only.

`spark-submit --class …SparkConnectServer` of Spark 3.5 listens on every interface and has no setting
for it, so `python -m stack.spark_server` starts the same gRPC service itself, bound to an address.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from pyspark import SparkContext
from pyspark.sql import SparkSession

from shared.settings import Settings, load_settings
from stack.jars import classpath

# What Spark Connect's client sends at most in one message, as its own server allows.
_MAX_MESSAGE_BYTES = 128 * 1024 * 1024


def spark_conf(settings: Settings) -> dict[str, str]:
    """Return the server's configuration, sized for one machine."""
    spark_dir = settings.paths.data_dir.resolve() / "spark"
    return {
        "spark.app.name": "crypto-lakehouse",
        "spark.driver.extraClassPath": classpath("spark"),
        "spark.driver.memory": settings.spark.driver_memory,
        # Here the driver executes. By these Hudi sizes the buffer in which a task merges a file's logs;
        # by their defaults it would spill to disk after 100,000 trades.
        "spark.executor.memory": settings.spark.driver_memory,
        "spark.executor.cores": str(settings.spark.cores),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # G1, which the JVM takes unless told otherwise, needed a tenth more processor time and a third more memory.
        # A heap that grows as it fills is collected whole each time before it does.
        # Hudi estimates sizes by a library that would start processes to look at its own JVM for seconds.
        "spark.driver.extraJavaOptions": f"-Xms{settings.spark.driver_memory} -XX:+UseParallelGC"
        " -Djol.skipHotspotSAAttach=true -Duser.timezone=UTC",
        "spark.ui.port": str(settings.spark.ui_port),
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.retainedJobs": "200",
        "spark.ui.retainedStages": "200",
        "spark.sql.ui.retainedExecutions": "50",
        "spark.local.dir": str(spark_dir / "tmp"),
        "spark.sql.warehouse.dir": str(spark_dir / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark.cores),
        "spark.default.parallelism": str(settings.spark.cores),
        # A tick's plans have many small stages; to run each as a job and plan the rest anew took longer than the work.
        "spark.sql.adaptive.enabled": "false",
        # What the tables of one tick share is read a few times and then dropped.
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        # A tick compiles more classes than the 100 that are kept unless told otherwise; the next one would
        # have to compile them, and the JVM to warm them up, all over again.
        "spark.sql.codegen.cache.maxEntries": "5000",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Without libhadoop, which pyspark does not bring, Hadoop starts `chmod` for each file it writes and `ls` for
        # each log it reads: hundreds of processes a tick.
        "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.spark.HoodieSparkKryoRegistrar",
        "spark.sql.extensions": "org.apache.spark.sql.hudi.HoodieSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.hudi.catalog.HoodieCatalog",
    }


def address(settings: Settings) -> tuple[str, int]:
    """Return host and port of the `sc://host:port` endpoint."""
    parts = urlsplit(settings.spark.remote)
    return parts.hostname or "127.0.0.1", parts.port or 15002


def main() -> int:
    """Serve until a signal comes (0) or the JVM dies (1)."""
    settings = load_settings()
    conf = spark_conf(settings)
    # Connect keeps what clients send in `artifacts` in its working directory, and has no setting for it.
    Path(conf["spark.local.dir"]).mkdir(parents=True, exist_ok=True)
    os.chdir(Path(conf["spark.local.dir"]).parent)
    # Connect starts its Python workers by this variable and by no configuration; without it by the
    # PATH's python3, which knows neither pyarrow nor us.
    os.environ["PYSPARK_PYTHON"] = sys.executable  # noqa: TID251 - the JVM's, not a setting of ours
    # By it the JVM names files: in the C locale that cron and the like give, none after a symbol in Chinese.
    os.environ["LC_ALL"] = "C.UTF-8"  # noqa: TID251 - likewise
    # Spark's web page listens where this says, whatever its configuration; else on every interface.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"  # noqa: TID251 - likewise
    builder = SparkSession.builder.master(f"local[{settings.spark.cores}]")
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    jvm: Any = session._jvm  # noqa: SLF001 - pyspark has no public door to its JVM
    host, port = address(settings)
    service = jvm.org.apache.spark.sql.connect.service.SparkConnectService(False)
    server = (
        jvm.org.sparkproject.connect.grpc.netty.NettyServerBuilder.forAddress(
            jvm.java.net.InetSocketAddress(host, port)
        )
        .maxInboundMessageSize(_MAX_MESSAGE_BYTES)
        .addService(service)
        .build()
    )
    signal.signal(signal.SIGTERM, _leave)
    server.start()
    print(f"Spark Connect listens on {host}:{port}", flush=True)  # noqa: T201 - the service's log
    gateway: Any = SparkContext._gateway  # noqa: SLF001 - the JVM's process is only to be had here
    gateway.proc.wait()
    return 1


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
