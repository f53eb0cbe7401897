"""Log lines are facts as JSON: a lower_snake event with keys, never a number or a text of a person."""

import logging
import sys
from typing import Any

import structlog


def configure(service: str, level: str = "info") -> None:
    """Sends structlog and the libraries' loggers to stdout, one JSON object a line."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, stamp]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(_OncePerSecond())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class _OncePerSecond(logging.Filter):
    """A broker outage makes aiokafka say the same some 290 times a worker: one line a second and logger is enough."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.name, record.lineno)
        due = record.created - self._last.get(place, 0.0) >= 1.0
        if due:
            self._last[place] = record.created
        return due
