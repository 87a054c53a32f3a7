"""What the long-running processes (vault, node, ServerApp) write to standard error: lines for people on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys

import structlog

_LOGGER = "riskfed"


def configure_logging() -> None:
    """Set structlog, and the loggers below ``riskfed``, up for this process.

    Every line of JSON has ``event``, ``level`` and ``timestamp`` (UTC, ISO 8601). Tracebacks show code, never local variables: those may
    hold records.
    """
    common: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        renderers = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=True)]
    structlog.configure(
        processors=[*common, *renderers],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logger = logging.getLogger(_LOGGER)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
