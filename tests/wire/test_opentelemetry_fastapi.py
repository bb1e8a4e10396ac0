"""A FastAPI service that calls a runtime: its own span, the call's, and what the runtime gets are one trace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind

from remote_client.opentelemetry import instrument, uninstrument
from remote_client.sync._modules import wrapped
from tests.support.packages import main_only
from tests.support.telemetry import Telemetry, traceparent_of

fastapi = main_only("fastapi")
responses = main_only("fastapi.responses")
instrumentation = main_only("opentelemetry.instrumentation.fastapi")
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    instrument(tracer_provider=made.tracer_provider, meter_provider=made.meter_provider)
    yield made
    uninstrument()
    made.close()


@pytest.fixture
async def service(server: Any, telemetry: Telemetry) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service whose routes call the server."""
    app = fastapi.FastAPI()
    module = server.plain()
    blocking = wrapped(server.plain())

    @app.get("/unary")
    async def unary() -> str:
        return (await module.echo(b"1")).decode()

    @app.get("/stream")
    async def stream() -> Any:
        async def items() -> AsyncIterator[bytes]:
            async for item in module.count(n=3):
                yield item

        return responses.StreamingResponse(items())

    @app.get("/blocking")  # which FastAPI runs in a thread
    def from_a_thread() -> str:
        return blocking.echo(b"1").decode()

    instrumentation.FastAPIInstrumentor.instrument_app(
        app, tracer_provider=telemetry.tracer_provider, exclude_spans=["receive", "send"]
    )
    async with module, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as web:
        yield web
    blocking.close()


@pytest.mark.parametrize("route", ["unary", "stream", "blocking"])
async def test_one_trace(
    service: httpx.AsyncClient, server: Any, protocol: str, telemetry: Telemetry, route: str
) -> None:
    answer = await service.get(f"/{route}", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    assert answer.status_code == 200
    (call,), (served,) = telemetry.calls(), telemetry.spans(SpanKind.SERVER)
    assert served.name == f"GET /{route}"
    assert served.parent is not None
    assert (f"{served.parent.trace_id:032x}", f"{served.parent.span_id:016x}") == (TRACE, CALLER)
    assert call.parent == served.context
    stats = await server.stats()
    assert stats["metadata"][-1]["traceparent"] == traceparent_of(call)
    assert traceparent_of(call).split("-")[1] == TRACE
    assert len(telemetry.spans()) == 2


async def test_requests_at_once_keep_apart(service: httpx.AsyncClient, telemetry: Telemetry) -> None:
    import asyncio

    await asyncio.gather(*(service.get(f"/{route}") for route in ("unary", "stream", "blocking") * 5))
    calls, served = telemetry.calls(), telemetry.spans(SpanKind.SERVER)
    assert len(calls) == len(served) == 15
    assert {each.parent.span_id for each in calls if each.parent} == {each.context.span_id for each in served}
