"""The metadata of a call: merged from the configured sources and checked."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

from ..auth import Credentials, Fetch
from ..errors import InputError
from ..hooks import name_of
from ..settings import MetadataSource

RawMetadata = tuple[tuple[str, str | bytes], ...]
REQUEST_ID = "x-request-id"
"""The key of a call's id, which proxies such as Envoy log as well."""

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_RESERVED = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers that frame a request: a value from outside would break it, or smuggle in another one."""


async def resolve_metadata(
    sources: tuple[MetadataSource, ...], reserved: str | None = None, fetch: Fetch | None = None
) -> RawMetadata:
    """Call the sources in order and merge their metadata, with keys in lower case.

    Args:
        sources: the metadata of the call options.
        reserved: a key that the sources must not set.
        fetch: sends the requests of credentials.

    Raises:
        InputError: a source returned no mapping, or a key or value that gRPC cannot send, or the key `reserved`. The
            message never repeats a value: it may be secret.
    """
    merged: dict[str, str | bytes] = {}
    for source in sources:
        if isinstance(source, Credentials):
            metadata: Any = await _call_source(partial(source, cast("Fetch", fetch)))
        else:
            metadata = await _call_source(source) if callable(source) else source
        if not isinstance(metadata, Mapping):
            problem: str | None = f"{name_of(source)} must return a mapping, not {type(metadata).__name__}"
            del sources, source, metadata, merged  # tools show the variables of a traceback's frames
            raise InputError(f"metadata: {problem}")
        for name, value in metadata.items():
            key = name.lower() if isinstance(name, str) else ""
            problem = _problem(name, key, value, reserved)
            if problem is not None:
                del sources, source, metadata, value, merged  # as above
                raise InputError(f"metadata: {problem}")
            merged[key] = value
    return tuple(merged.items())


async def _call_source(source: Callable[[], Any]) -> Any:
    try:
        result = source()
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled this task. Passed on, the error would end it as if somebody had, silently in a task group.
        raise InputError(f"metadata: {name_of(source)} raised CancelledError") from None


def joined(pairs: Iterable[tuple[str, str | bytes]]) -> dict[str, str | bytes]:
    """Return metadata as a dict: texts of one key are joined by commas (RFC 9110, 5.2), of bytes the last counts."""
    found: dict[str, str | bytes] = {}
    for key, value in pairs:
        before = found.get(key)
        found[key] = f"{before}, {value}" if isinstance(before, str) and isinstance(value, str) else value
    return found


def merged(metadata: RawMetadata, added: Mapping[str, str | bytes], reserved: str | None = None) -> RawMetadata:
    """Return metadata with more of it, which overrides equal keys.

    Raises:
        InputError: gRPC cannot send a key or a value, or the key is `reserved`. The message never repeats a value.
    """
    pairs: dict[str, str | bytes] = dict(metadata)
    for name, value in added.items():
        key = name.lower() if isinstance(name, str) else ""
        problem = _problem(name, key, value, reserved)
        if key == REQUEST_ID:  # it is the call's, and errors and events have it already
            problem = f"the key {name!r} cannot be used: give it in the metadata of the client or model"
        if problem is not None:
            del metadata, added, value, pairs  # tools show the variables of a traceback's frames
            raise InputError(f"metadata: {problem}")
        pairs[key] = value
    return tuple(pairs.items())


def name_problem(name: str) -> str | None:
    """Return why a model's name cannot be sent as metadata; None if it can."""
    # Servers and proxies strip blanks around metadata: "foo " would arrive as "foo", another model.
    if name and name.isascii() and name.isprintable() and name == name.strip():
        return None
    return f"{name!r} cannot be sent: metadata takes printable ASCII names without blanks around them"


def _problem(name: object, key: str, value: object, reserved: str | None) -> str | None:
    if not _KEY.fullmatch(key) or key.startswith("grpc-") or key in _RESERVED or key == reserved:
        return f"the key {name!r} cannot be used"
    if key.endswith("-bin"):
        return None if isinstance(value, bytes) else f"{name!r} ends in -bin, so its value must be bytes"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return f"the value of {name!r} must be a str of printable ASCII characters"
    return None
