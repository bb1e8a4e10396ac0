"""Calls of each kind under a tracing agent or an unusual loop.

Run as `python -m tests.support.instrumented AGENT GRPC_PORT HTTP_PORT`. Both change the whole process, so each has one
of its own. The engine is that of `REMOTE_CLIENT_ENGINE`. Where all
calls are over it writes a line and waits for one, so that its parent can look at the servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any


def open_telemetry() -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    aio: Any = GrpcAioInstrumentorClient
    blocking: Any = GrpcInstrumentorClient
    aio().instrument()
    blocking().instrument()


def datadog() -> None:
    os.environ["DD_TRACE_AGENT_URL"] = "http://127.0.0.1:9"
    for name in ("INSTRUMENTATION_TELEMETRY", "REMOTE_CONFIGURATION", "CRASHTRACKING", "TRACE_STARTUP_LOGS"):
        os.environ[f"DD_{name}_ENABLED"] = "false"
    import ddtrace.auto  # noqa: F401
    from ddtrace.trace import TraceFilter, tracer

    class Dropping(TraceFilter):
        def process_trace(self, trace: Any) -> None:
            """Send nothing: there is no agent to send it to."""

    tracer.configure(trace_processors=[Dropping()])


def sentry() -> None:
    import sentry_sdk
    from sentry_sdk.integrations.grpc import GRPCIntegration
    from sentry_sdk.integrations.httpx import HttpxIntegration
    from sentry_sdk.transport import Transport

    class Dropping(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            """Send nothing."""

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Dropping,
        traces_sample_rate=1.0,
        integrations=[GRPCIntegration(), HttpxIntegration()],
    )


AGENTS: dict[str, Callable[[], None]] = {
    "OpenTelemetry": open_telemetry,
    "ddtrace": datadog,
    "sentry-sdk": sentry,
}


def uvloop() -> None:
    import uvloop as imported

    asyncio.set_event_loop_policy(imported.EventLoopPolicy())


def nested_loops() -> None:
    import nest_asyncio2

    nest_asyncio2.apply()


def debug_mode() -> None:
    os.environ["PYTHONASYNCIODEBUG"] = "1"


def task_factory() -> None:
    """Make the tasks of each new loop as tracing libraries do: by a factory that wraps their coroutines."""

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await coroutine

        return asyncio.Task(run(), loop=loop, **more)

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            loop = super().new_event_loop()
            loop.set_task_factory(factory)
            return loop

    asyncio.set_event_loop_policy(Policy())


LOOPS: dict[str, Callable[[], None]] = {
    "uvloop": uvloop,
    "nest_asyncio2": nested_loops,
    "debug mode": debug_mode,
    "task factory": task_factory,
}


async def endless() -> AsyncIterator[bytes]:
    yield b"1"
    await asyncio.Event().wait()


async def in_a_loop(module: Any, hasty: Any, streams_in: bool) -> None:
    """Each kind of call, to its end, left early, cancelled, and too late."""
    from remote_client.errors import DeadlineExceededError

    for _ in range(3):
        await module.echo(b'"x"')
        assert len([item async for item in module.count(n=3)]) == 3
    hanging: list[Callable[[], Any]] = [lambda: module.sleep(seconds=3600), lambda: anext(module.silent())]
    late: list[Callable[[], Any]] = [lambda: hasty.sleep(seconds=3600), lambda: anext(hasty.silent())]
    if streams_in:
        assert await module.sum([b"1", b"2"]) == b"3"
        assert [item async for item in module.chat([b"a", b"b"])] == [b"a", b"b"]
        hanging += [lambda: module.sum(endless()), lambda: module.sum([b"hang"]), lambda: anext(module.chat([b"hang"]))]
        late += [lambda: hasty.sum([b"hang"])]
    async for _ in module.count(n=3, hang=True):
        break
    tasks = [asyncio.ensure_future(call()) for call in hanging]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    for call in late:
        with contextlib.suppress(DeadlineExceededError):
            await call()
            raise AssertionError


def in_a_thread(module: Any, hasty: Any, streams_in: bool) -> None:
    """As `in_a_loop`, blocking."""
    from remote_client.errors import DeadlineExceededError

    for _ in range(3):
        module.echo(b'"x"')
        assert len(list(module.count(n=3))) == 3
    late: list[Callable[[], Any]] = [lambda: hasty.sleep(seconds=3600), lambda: next(hasty.silent())]
    if streams_in:
        assert module.sum(iter([b"1", b"2"])) == b"3"
        assert list(module.chat(iter([b"a", b"b"]))) == [b"a", b"b"]
        late += [lambda: hasty.sum([b"hang"])]
    for _ in module.count(n=3, hang=True):
        break
    with module.count(n=3, hang=True) as stream:
        next(stream)
    for call in late:
        with contextlib.suppress(DeadlineExceededError):
            call()
            raise AssertionError


def over() -> None:
    print("over", flush=True)
    assert sys.stdin.readline()


def main(agent: str, grpc_port: str, http_port: str) -> None:
    {**AGENTS, **LOOPS}[agent]()
    from remote_client.settings import ConnectionInfo
    from remote_client.sync._modules import wrapped
    from tests.support.http_wire import http_module
    from tests.support.wire import raw_module

    async def asynchronous(make: Any, info: ConnectionInfo, streams_in: bool) -> None:
        if agent == "sentry-sdk":
            from sentry_sdk.integrations.asyncio import enable_asyncio_integration

            enable_asyncio_integration()
        async with make(info) as module:
            await in_a_loop(module, module.with_options(timeout=0.1), streams_in)
            await asyncio.to_thread(over)

    for make, port, streams_in in ((raw_module, grpc_port, True), (http_module, http_port, False)):
        for age in (-1.0, 0.05):
            info = ConnectionInfo(hostname="127.0.0.1", port=int(port), timeout=20, retries=0, max_session_age=age)
            asyncio.run(asynchronous(make, info, streams_in))
            with wrapped(make(info)) as module:
                in_a_thread(module, module.with_options(timeout=0.1), streams_in)
                over()


if __name__ == "__main__":
    main(*sys.argv[1:])
