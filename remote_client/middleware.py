"""Middleware: functions around every attempt of a call, one kind for both protocols. Calls without any pay nothing.

```python
async def signed(call: OutgoingCall, proceed: Proceed) -> Answer:
    call.metadata["x-signature"] = sign(call.method)
    answer = await proceed(call)
    print(answer.metadata.get("server"))
    return answer

client = RemoteClient("localhost:8085", middleware=[signed])
```
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ConfigurationError
from .hooks import accepts, name_of

__all__ = ["Answer", "Middleware", "OutgoingCall", "Proceed"]


@dataclass(slots=True, eq=False)
class OutgoingCall:
    """An attempt that is to be sent. Only `metadata` may be changed.

    Attributes:
        method: `package.Service/Method`, or over HTTP the verb and the route.
        target: the server.
        model: the model's name; None for calls that belong to no model.
        protocol: `grpc` or `http`.
        attempt: the number of the attempt, from 1.
        request_id: the id that all attempts of the call send as `x-request-id`.
        timeout: seconds that are left for the attempt; None for no limit.
        metadata: what is sent besides the model's name and the id: metadata or headers, with keys in lower case.
            Values may be secret.
    """

    method: str
    target: str
    model: str | None
    protocol: Literal["grpc", "http"]
    attempt: int
    request_id: str
    timeout: float | None
    metadata: dict[str, str | bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to an attempt, or of a stream its beginning.

    Attributes:
        metadata: the initial metadata, or the headers.
        trailing_metadata: the trailing metadata; empty over HTTP, and for a stream.
    """

    metadata: Mapping[str, str | bytes] = field(repr=False)
    trailing_metadata: Mapping[str, str | bytes] = field(repr=False)


Proceed = Callable[[OutgoingCall], Awaitable[Answer]]
"""Sends the attempt, once, and returns its answer, or raises its error. Of a stream, the answer's metadata has arrived,
and none of its items was read."""
Middleware = Callable[[OutgoingCall, Proceed], Awaitable[Answer]]
"""A coroutine function around every attempt of every call. It returns what `proceed` returned, else the call ends with
a `MiddlewareError`.

It runs in the event loop, that of the blocking client too. Its time counts as the call's. A `RemoteCallError` that it
raises is retried by the rules; any other exception ends the call, and its caller gets it.
"""


def check_middleware(middleware: Any) -> tuple[Middleware, ...]:
    """Return middleware as a tuple, the outermost first.

    Raises:
        ConfigurationError: it is no iterable, or one of them is no coroutine function of two arguments.
    """
    if callable(middleware) or not isinstance(middleware, Iterable):
        name = name_of(middleware)
        raise ConfigurationError(f"middleware: give a list of functions, as in middleware=[{name}], not {name}")
    given = tuple(middleware)
    for each in given:
        method: Any = getattr(each, "__call__", None)  # noqa: B004  # of an object whose class defines it
        if not (inspect.iscoroutinefunction(each) or inspect.iscoroutinefunction(method)):
            raise ConfigurationError(
                f"middleware: {name_of(each)} is no coroutine function: write `async def f(call, proceed)`"
            )
        if not accepts(each, None, None):
            raise ConfigurationError(f"middleware: {name_of(each)} cannot be called with a call and `proceed`")
    return given
