"""Structured logs: one JSON object a line, or a console form for people.

Libraries that log through `logging` come out in the same form, from WARNING on.
"""

import logging
import sys
from typing import TextIO

import structlog

from shared.settings import LogFormat, LogSettings


def configure_logging(log: LogSettings, service: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process; every line carries the service, UTC time and level.

    Args:
        log: level and format.
        service: name of the process in every line.
        stream: where to, standard output by default.
    """
    output = stream or sys.stdout
    level = logging.getLevelNamesMapping()[log.level]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log.format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(output),
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
