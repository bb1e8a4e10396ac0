"""pytest's plugin of remote-client: the fixture `fake_runtime`. Loading it imports neither the client nor gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from remote_client.testing import FakeRuntime


@pytest.fixture
def fake_runtime() -> Iterator[Callable[..., FakeRuntime]]:
    """Start fake runtimes: `fake_runtime({"foo": Greeter()})` takes the arguments of `FakeRuntime`, and returns it.

    They run until the test is over, in a thread of their own, so plain and async tests use them alike.
    """
    with ExitStack() as stack:

        def start(*args: Any, **kwargs: Any) -> FakeRuntime:
            from remote_client.testing import FakeRuntime

            return stack.enter_context(FakeRuntime(*args, **kwargs))

        yield start
