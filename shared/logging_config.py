"""Structured logs: one JSON object a line, or a console form for people."""

import logging
import sys

import structlog

from shared.settings import LogFormat, LogSettings


def configure_logging(log: LogSettings, service: str) -> None:
    """Set up structlog for this process; every line carries the service, UTC time and level."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log.format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    structlog.contextvars.bind_contextvars(service=service)
