"""The real endpoint tells its versions, and one that does not fit is refused in one line."""

import pytest

from crypto_pipeline.errors import IncompatibleEngineError
from crypto_pipeline.utils import versions

pytestmark = [pytest.mark.spark]


def test_the_pinned_jars_fit_and_another_need_is_refused_in_one_line(
    spark, spark_server, monkeypatch
):
    found = versions.versions(spark)
    assert found["Spark"] == "3.5.7"
    assert found["Hudi"] == "1.2.0"
    versions.check(spark, spark_server)
    monkeypatch.setitem(versions.NEEDED, "Hudi", ("2.0",))
    with pytest.raises(IncompatibleEngineError) as refused:
        versions.check(spark, spark_server)
    assert str(refused.value) == (
        f"{spark_server}: Hudi 1.2.0, 2.0 is needed."
        " Start Spark Connect with the versions of infra/jars.txt."
    )
    monkeypatch.setitem(versions._ASK, "Hudi", "java_method('org.apache.NotThere', 'get')")
    assert versions.versions(spark)["Hudi"] is None
