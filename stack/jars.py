"""Where the downloaded jars lie."""

from pathlib import Path

JARS = Path(__file__).parent.parent / "jars"


def classpath(jar_set: str) -> str:
    """Return the Java class path of one set (`kafka` or `spark`) of `infra/jars.txt`."""
    return ":".join(str(jar) for jar in sorted((JARS / jar_set).glob("*.jar")))
