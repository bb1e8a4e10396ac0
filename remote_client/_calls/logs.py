"""The log lines of calls at DEBUG, one for each call and each failed attempt, and `REMOTE_CLIENT_LOG`."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..hooks import Event

ENVIRONMENT = "REMOTE_CLIENT_LOG"
"""The environment variable with a level, such as `debug`, at which the package's log goes to standard error."""
_LEVELS = ("debug", "info", "warning", "error")
_logger = logging.getLogger("remote_client")


def log(event: Event) -> None:
    """Log the end of a call, or of an attempt that is followed by another one, at DEBUG."""
    if not _logger.isEnabledFor(logging.DEBUG):
        return
    from ..errors import RemoteCallError
    from ..hooks import AttemptFailed, CallEnded

    model = "" if event.model is None else f" model={event.model}"
    if isinstance(event, CallEnded):
        _logger.debug(
            "%s%s target=%s attempts=%d seconds=%.6f status=%s id=%s",
            event.method,
            model,
            event.target,
            event.attempts,
            event.seconds,
            event.status,
            event.request_id,
        )
    elif isinstance(event, AttemptFailed) and event.wait is not None:
        _logger.debug(
            "%s%s target=%s attempt=%d failed status=%s wait=%.3f id=%s",
            event.method,
            model,
            event.target,
            event.attempt,
            event.error.status if isinstance(event.error, RemoteCallError) else "",
            event.wait,
            event.request_id,
        )


def log_as_environment_says() -> None:
    """Send the package's log to standard error if `REMOTE_CLIENT_LOG` names a level. Called once, at import."""
    level = os.environ.get(ENVIRONMENT, "").strip().lower()
    if not level:
        return
    if level not in _LEVELS:
        _logger.warning("%s=%s: expected one of %s", ENVIRONMENT, level, ", ".join(_LEVELS))
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(level.upper())
