import io
import json
import logging

import pytest
import structlog

from shared.logging_config import configure_logging
from shared.settings import LogFormat, LogLevel, LogSettings


@pytest.fixture(autouse=True)
def restored():
    """Give the process its logging back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(**settings) -> io.StringIO:
    output = io.StringIO()
    configure_logging(LogSettings(**settings), "streaming", output)
    return output


def test_a_line_is_json_with_service_time_level_and_bound_context():
    output = configured()
    structlog.get_logger().bind(connection="binance-spot-0").info("connected", url="ws://here")
    line = json.loads(output.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "connected",
        "level": "info",
        "service": "streaming",
        "connection": "binance-spot-0",
        "url": "ws://here",
    }


def test_an_exception_travels_inside_its_line():
    output = configured()
    try:
        int("no number")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError: invalid literal" in json.loads(output.getvalue())["exception"]


def test_lines_below_the_level_are_left_out():
    output = configured(level=LogLevel.WARNING)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["loud"]


def test_libraries_speak_in_the_same_form_from_warning_on():
    output = configured()
    logging.getLogger("httpx").info("a request")
    logging.getLogger("librdkafka").warning("broker %s is gone", 1)
    line = json.loads(output.getvalue())
    assert (line["event"], line["level"]) == ("broker 1 is gone", "warning")
    assert (line["service"], line["logger"]) == ("streaming", "librdkafka")


def test_the_console_form_is_for_people():
    output = configured(format=LogFormat.CONSOLE)
    structlog.get_logger().info("connected")
    assert "connected" in output.getvalue()
    assert not output.getvalue().startswith("{")
