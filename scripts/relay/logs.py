"""Log lines: JSON on standard error, one event a line, without personal data.

What is logged is what happened to spans, files, cohorts and requests: counts, sizes, states, names
that vendors or the user gave to those. Never an identifier of a person, a line of an export, a key,
an address with a query, or the words of an error that may hold one.
"""

import logging
import sys

import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure(level: str = "warning") -> None:
    """Write log lines of at least this level; standard output stays a command's own."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=_to_standard_error,
        cache_logger_on_first_use=False,
    )


def _to_standard_error(*_: object) -> structlog.WriteLogger:
    # Looked up for each logger: a test, or a progress bar, may have put another stream there.
    return structlog.WriteLogger(sys.stderr)
