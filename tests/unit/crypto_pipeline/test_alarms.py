from crypto_pipeline.alarms import freshness_alerts, stale
from crypto_pipeline.assets.describe import STALE_AFTER
from shared.alerts import Alert, AlertKind

LIMIT_S = STALE_AFTER.total_seconds()


def test_a_table_is_stale_when_its_last_report_is_older_than_the_limit():
    reported = {"old": 1000.0, "just": 1001.0, "new": 1500.0}
    assert stale(reported, 1001.0 + LIMIT_S) == {"old"}


def test_becoming_stale_and_fresh_again_are_told_once_each():
    told = freshness_alerts({"a", "b"}, {"b", "c", "d"}, 5_000_999)
    assert [(alert.kind, alert.subject, alert.raised_at) for alert in told] == [
        (AlertKind.STALE, "c", 5000),
        (AlertKind.STALE, "d", 5000),
        (AlertKind.FRESH, "a", 5000),
    ]
    assert told[0].text == "not brought up to date for 15 minutes"
    assert freshness_alerts({"a"}, {"a"}, 1) == []


def test_an_alert_carries_its_schema_version():
    alert = Alert(kind=AlertKind.STALE, subject="a", text="t", raised_at=1)
    assert alert.schema_version == 1
