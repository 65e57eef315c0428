import pytest

from crypto_pipeline.utils.versions import misfits

GOOD = {"Spark": "3.5.7", "Scala": "2.12.18", "Hudi": "1.2.0", "Java": "17.0.15"}


@pytest.mark.parametrize("java", ["17", "17.0.15", "21.0.2"])
def test_the_tested_versions_fit(java):
    assert misfits(GOOD | {"Java": java}) == []


@pytest.mark.parametrize(
    ("part", "version", "told"),
    [
        ("Spark", "3.4.1", "Spark 3.4.1, 3.5 is needed"),
        ("Scala", "2.13.8", "Scala 2.13.8, 2.12 is needed"),
        ("Hudi", "1.20.0", "Hudi 1.20.0, 1.2 is needed"),
        ("Hudi", None, "Hudi is missing, 1.2 is needed"),
        ("Java", "11.0.1", "Java 11.0.1, 17 or 21 is needed"),
    ],
)
def test_another_version_is_named_with_what_is_needed(part, version, told):
    assert misfits(GOOD | {part: version}) == [told]


def test_every_misfit_is_told_at_once():
    assert len(misfits({})) == 4
