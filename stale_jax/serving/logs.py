"""Structured logs: one JSON object per line on stderr."""

import json
import logging
import sys
import time
from typing import Any

_LOGGER = logging.getLogger("stale_jax.serving")


class _Lines(logging.Formatter):
  """Formats a record as JSON, with the fields that `log` adds."""

  def format(self, record: logging.LogRecord) -> str:
    line: dict[str, Any] = {
      "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
      "level": record.levelname.lower(),
      "event": record.getMessage(),
      **record.__dict__.get("fields", {}),
    }
    if record.name != _LOGGER.name:
      line["logger"] = record.name
    if record.exc_info:
      line["error"] = self.formatException(record.exc_info)
    return json.dumps(line, ensure_ascii=False, default=str)


def log_to_stderr() -> None:
  """Sends the logs of this package and of the web server to stderr."""
  handler = logging.StreamHandler(sys.stderr)
  handler.setFormatter(_Lines())
  for logger in (_LOGGER, logging.getLogger("uvicorn")):
    logger.handlers, logger.propagate = [handler], False
  _LOGGER.setLevel(logging.INFO)
  logging.getLogger("uvicorn").setLevel(logging.WARNING)


def log(event: str, **fields: Any) -> None:
  """Writes a line. Access tokens and resume tokens never belong into `fields`."""
  _LOGGER.info(event, extra={"fields": fields})


def log_failure(event: str, **fields: Any) -> None:
  """Writes a line about the exception that is being handled."""
  _LOGGER.error(event, extra={"fields": fields}, exc_info=True)
