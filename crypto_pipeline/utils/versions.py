"""Which Spark, Scala, Hudi and Java serve a session, and whether they fit together.

Told by the server's own JVM, for a remote Spark Connect endpoint may run anything: a Hudi bundle is
built for one Spark and one Scala version, and a mismatch shows as a missing method in the midst of a write.
"""

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from crypto_pipeline.errors import IncompatibleEngineError

NEEDED = {"Spark": ("3.5",), "Scala": ("2.12",), "Hudi": ("1.2",), "Java": ("17", "21")}
"""The versions that this is built and tested with, by their first digits; `infra/jars.txt` pins them."""
_ASK = {
    "Scala": "java_method('scala.util.Properties', 'versionNumberString')",
    "Hudi": "java_method('org.apache.hudi.HoodieVersion', 'get')",
    "Java": "java_method('java.lang.System', 'getProperty', 'java.version')",
}


def versions(spark: SparkSession) -> dict[str, str | None]:
    """Return the version of each part that serves a session, None for one that is not there."""
    found: dict[str, str | None] = {"Spark": spark.version}
    for part, expression in _ASK.items():
        try:
            found[part] = spark.sql(f"select {expression}").collect()[0][0]
        except AnalysisException:  # Spark's words for a class that it has not got
            found[part] = None
    return found


def misfits(found: dict[str, str | None]) -> list[str]:
    """Return what does not fit, in words; none if all does."""
    wrong = []
    for part, wanted in NEEDED.items():
        version = found.get(part)
        if not any(f"{version}.".startswith(f"{one}.") for one in wanted):
            wrong.append(f"{part} {version or 'is missing'}, {' or '.join(wanted)} is needed")
    return wrong


def check(spark: SparkSession, remote: str) -> None:
    """Refuse a session whose parts do not fit together.

    Raises:
        IncompatibleEngineError: names every part that does not fit.
    """
    wrong = misfits(versions(spark))
    if wrong:
        raise IncompatibleEngineError(remote, wrong)
