"""The HTTP side of a fake runtime: an ASGI application with caikit's routes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from .._schema.declared.answers import as_builtins
from ..errors import InternalError, InvalidArgumentError
from ._dispatch import Dispatcher, Request
from ._errors import error_body, http_status_of
from ._forms import values_of_form
from ._http_types import ANSWER
from ._routes import Route, document_of, routes_of
from ._values import plain

_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class App:
    """The application.

    Args:
        dispatcher: answers the calls.
        library: the library's name, for the document.
    """

    def __init__(self, dispatcher: Dispatcher, library: str) -> None:
        self._dispatcher = dispatcher
        routes = routes_of(dispatcher.library)
        self._routes = {(route.verb, route.path): route for route in routes}
        self._paths = {route.path for route in routes} | {"/health", "/openapi.json"}
        self._document = document_of(routes, library)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = HttpRequest(scope, receive)
        try:
            await request.body()  # kept, also for forms; what comes next is that the client leaves
        except ClientDisconnect:
            return
        route = self._routes.get((request.method.lower(), request.url.path))
        if route is not None and route.kind == "stream":
            await self._stream(route, request, send)
            return
        answer = self._fixed(request) if route is None else await self._answer(route, request, receive)
        if answer is not None:  # else the client has left
            await answer(scope, receive, send)

    def _fixed(self, request: HttpRequest) -> Response:
        path = request.url.path
        if request.method == "GET" and path == "/health":
            return PlainTextResponse("OK")
        if request.method == "GET" and path == "/openapi.json":
            return JSONResponse(self._document)
        if path in self._paths:
            return JSONResponse({"detail": "Method Not Allowed"}, 405)
        return JSONResponse({"detail": "Not Found"}, 404)

    async def _answer(self, route: Route, request: HttpRequest, receive: Any) -> Response | None:
        try:
            answer: Response | None = await _while_connected(partial(self._content, route, request), receive)
        except HTTPException as error:
            return JSONResponse({"detail": error.detail}, error.status_code)
        except Exception as error:
            return _error(error)
        return answer

    async def _content(self, route: Route, request: HttpRequest) -> Response:
        body = await _body(route, request)
        dispatcher = self._dispatcher
        if body is None:
            return _response(route, dispatcher.manage(route.kind, _query(request)))
        if route.method is None:
            return _response(route, dispatcher.manage(route.kind, as_builtins(body)))
        if route.kind == "train":
            call = Request(route.method, "", dict(request.headers), "http")
            return _response(route, await dispatcher.train(call, as_builtins(body)))
        answer = dispatcher.start if route.kind == "start" else dispatcher.unary
        return _response(route, await answer(_call(route, request, body), route.given(body)))

    async def _stream(self, route: Route, request: HttpRequest, send: Any) -> None:
        """Answer with server-sent events. What a body raises is an event, as the head has gone out."""
        try:
            body = await _body(route, request)
            assert body is not None
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code)(request.scope, request.receive, send)
            return
        except Exception as error:
            await _error(error)(request.scope, request.receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})

        async def write(answer: Any) -> None:
            await send(_event("message", _json(route, answer)))

        async def answers() -> bool:
            try:
                await self._dispatcher.stream(_call(route, request, body), route.given(body), write)
            except Exception as error:
                await send(_event("error", error_body(error)))
            return True

        if await _while_connected(answers, request.receive):
            await send({"type": "http.response.body", "body": b""})


async def _body(route: Route, request: HttpRequest) -> BaseModel | None:
    """Return the body of a request that has one.

    Raises:
        InvalidArgumentError: it does not fit its model (422).
        HTTPException: it is of another media type.
    """
    if route.request is None:
        return None
    media_type = request.headers.get("content-type", "")
    try:
        if media_type == "application/json":
            return route.request.model_validate_json(await request.body())
        if "multipart/form-data" not in media_type:
            raise HTTPException(415, f"Unsupported media type: {media_type}.")
        return route.request.model_validate(await values_of_form(route.request, request))
    except ValidationError as error:
        problems = json.loads(error.json(include_url=False))
        raise InvalidArgumentError(problems[0]["msg"], http_status=422, additional_info=problems) from None


def _call(route: Route, request: HttpRequest, body: Any) -> Request:
    assert route.method is not None
    if body.model_id is None:
        raise InvalidArgumentError("Please provide model_id in payload")
    return Request(route.method, body.model_id, dict(request.headers), "http")


def _query(request: HttpRequest) -> dict[str, Any]:
    values: dict[str, Any] = dict(request.query_params)
    if "model_ids" in values:
        values["model_ids"] = request.query_params.getlist("model_ids")
    return values


def _response(route: Route, answer: Any) -> Response:
    if not route.answers_file:
        return Response(_json(route, answer), media_type="application/json")
    content = io.BytesIO()
    file = answer.to_file(content)
    name = getattr(file, "filename", None)
    disposition = f'attachment; filename="{name}"' if name else "attachment"
    media_type = getattr(file, "type", None) or "application/octet-stream"
    return Response(content.getvalue(), headers={"Content-Disposition": disposition}, media_type=media_type)


def _json(route: Route, answer: Any) -> bytes:
    model = route.answer
    try:
        return model.model_validate(plain(answer), context=ANSWER).model_dump_json().encode()
    except ValueError as error:
        raise InternalError(f"the answer of the body is no {model.__name__}: {error}") from None


def _error(error: Exception) -> Response:
    return Response(error_body(error), http_status_of(error))


def _event(name: str, data: bytes) -> dict[str, Any]:
    body = b"event: %s\r\ndata: %s\r\n\r\n" % (name.encode(), data)
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _while_connected(answer: Callable[[], Awaitable[Any]], receive: Callable[[], Awaitable[Any]]) -> Any:
    """Return an answer, or None if the client leaves before it is there: then its work is cancelled."""
    work = asyncio.ensure_future(answer())
    left = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        for task in (work, left):
            task.cancel()
        await asyncio.gather(work, left, return_exceptions=True)
