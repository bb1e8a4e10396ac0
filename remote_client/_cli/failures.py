"""Errors as the command tells them: a line with the class, the message and what to do, and an exit code."""

from __future__ import annotations

import re
import sys
from traceback import print_exception
from typing import TYPE_CHECKING

from .usage import FAILED, USAGE_ERROR, UsageError

if TYPE_CHECKING:
    from ..errors import RemoteClientError
    from .options import Options

_NAMES = re.compile("^(?:target|timeout|schema|proxy|token_file|insecure)(?=:)|\\b(?:ca_file|cert_file|key_file)\\b")
"""The names of options in messages about arguments of `RemoteClient`."""
_ADVICE = {
    "UnauthenticatedError": "give credentials with --token-file or --header",
    "DeadlineExceededError": "a longer --timeout gives it more time",
    "UnavailableError": "-t or REMOTE_CLIENT_TARGET names the runtime",
    "SchemaUnavailableError": "give a schema file with --schema, or credentials with --token-file or --header, or ask "
    "where the runtime can be reached directly: in its pod, or through a port-forward",
    "ModelNotFoundError": "`remote-client models` lists them",
}
"""What to do about errors of a class; the messages of others say it."""
_LIMITS = {"not ready within": "--wait", "is not done after": "--limit"}
"""The options that limit what a DeadlineExceededError is about, in place of --timeout."""


def report(error: Exception, options: Options | None) -> int:
    """Print an expected error on standard error and return its exit code. Raise any other again.

    Args:
        error: the error.
        options: with `verbose` the traceback comes before the line; None if they could not be read.
    """
    from .._text.cleaning import clean  # here, so that `--help` stays quick
    from ..errors import ConfigurationError, InputError, RemoteClientError, UnsupportedError

    if not isinstance(error, (UsageError, RemoteClientError, OSError)):
        raise error
    if options is not None and options.verbose:
        print_exception(error)
    told = _told(error, options) if isinstance(error, RemoteClientError) else _text(error)
    sys.stderr.write(f"remote-client: {clean(told)}\n")
    wrong_use = (UsageError, ConfigurationError, InputError, UnsupportedError)
    return USAGE_ERROR if isinstance(error, wrong_use) else FAILED


def _text(error: Exception) -> str:
    """Return an error's message, without the number of an OSError that names no file."""
    return error.strerror if isinstance(error, OSError) and error.strerror and not error.filename else str(error)


def _told(error: RemoteClientError, options: Options | None) -> str:
    from .. import errors

    names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in errors.__all__]
    # The advice of a SchemaUnavailableError is for Python.
    message = error.reason if isinstance(error, errors.SchemaUnavailableError) else str(error)
    if isinstance(error, errors.ConfigurationError) and options is not None:
        message = _as_typed(message, options)
    if isinstance(error, errors.TlsError) and options is not None:
        message = re.sub("tls\\.(\\w+_file)", lambda match: options.typed(match[1]), message)
    advice = _ADVICE.get(names[0], "")
    for words, option in _LIMITS.items():
        advice = advice.replace("--timeout", option) if words in message else advice
    return f"{names[0]}: {message}{f'; {advice}' if advice else ''}"


def _as_typed(message: str, options: Options) -> str:
    """Return a message about arguments of `RemoteClient` with the names of options, or of their variables."""
    message = re.sub("^(ConnectionInfo|ConnectionTlsInfo|FinderConfig): ", "", message)
    message = message.replace("BearerToken: file:", "token_file:", 1).replace("tls.insecure_verify", "insecure")
    message = message.replace("seconds or a timedelta above 0, or None for", "seconds above 0, or inf for")
    return _NAMES.sub(lambda match: options.typed(match[0]), message)
