"""What a proxy, a gateway or a login answers in the runtime's place: one class and the same words on both protocols."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client.errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidResponseError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    SchemaError,
    StreamTruncatedError,
    UnauthenticatedError,
    UnavailableError,
    UnknownError,
)
from remote_client.settings import ConnectionInfo
from tests.conftest import ENGINE
from tests.support import http2 as raw
from tests.support import http_server
from tests.support.http2 import Http2Server
from tests.support.http_wire import CLOSE, RESET, HttpWire, Step, answer, chunked, http_module, send, sleep
from tests.support.wire import ROOT, raw_module

from .kinds import Deed
from .test_start_once import start, starting

HANG = sleep(3600)
HTML = {"content-type": "text/html; charset=utf-8"}
LOGIN = "<!doctype html><html><head><title>Log in &amp;\n go on</title></head><body>secret</body></html>"
NGINX = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr></body></html>"

Edge = tuple[int, dict[str, str], str]
"""Status, headers and body."""


def over_http2(edge: Edge, end: bool = True) -> list[Step]:
    """The script of an answer for `Http2Server`."""
    status, headers, body = edge
    head = raw.headers((":status", str(status)), *headers.items(), end=end and not body)
    return [send(head + (raw.frame(raw.DATA, body.encode(), raw.END_STREAM * end) if body else b"")), HANG]


def reset(code: int, before: bytes = b"") -> list[Step]:
    return [send(before + raw.frame(raw.RST_STREAM, struct.pack(">I", code))), HANG]


def info(server: Http2Server, retries: int = 0) -> ConnectionInfo:
    return ConnectionInfo(hostname="127.0.0.1", port=server.port, timeout=30, retries=retries)


UNARY_AND_STREAM: tuple[Deed, ...] = (lambda module: module.echo(b"x"), lambda module: anext(module.count(n=1)))


async def grpc_failures(steps: list[Step]) -> list[RemoteCallError]:
    """What a call of each kind of answer raises."""
    failures = []
    async with Http2Server(steps) as server:
        for call in UNARY_AND_STREAM:
            async with raw_module(info(server)) as module:
                with pytest.raises(RemoteCallError) as caught:
                    await call(module)
                failures.append(caught.value)
    return failures


async def http_failures(http: Any, steps: list[Step]) -> list[RemoteCallError]:
    failures = []
    for call in (http.script(steps=steps), anext(http.script_stream(steps=steps))):
        with pytest.raises(RemoteCallError) as caught:
            await call
        failures.append(caught.value)
    return failures


EDGES: dict[str, tuple[Edge, type[RemoteCallError], str]] = {
    "nginx 413": (
        (413, HTML, NGINX.format("413 Request Entity Too Large")),
        ResourceExhaustedError,
        r"413 Request Entity Too Large; a proxy, or the server, accepts no request this large",
    ),
    "nginx 502": ((502, HTML, NGINX.format("502 Bad Gateway")), UnavailableError, "^502 Bad Gateway; a proxy"),
    "nginx 504": ((504, HTML, NGINX.format("504 Gateway Time-out")), UnavailableError, "read timeout"),
    "Envoy 503": ((503, {"content-type": "text/plain"}, "upstream connect error"), UnavailableError, "^upstream c"),
    "Kong 429": (
        (429, {"content-type": "application/json"}, '{"message": "API rate limit exceeded"}'),
        ResourceExhaustedError,
        "^API rate limit exceeded$",
    ),
    "a CDN's 520": ((520, HTML, "<title>520: Web server is returning an unknown error"), UnavailableError, "CDN"),
    "a CDN's 524": ((524, HTML, NGINX.format("524: A timeout occurred")), UnavailableError, "524: A timeout.*CDN"),
    "a page of HTML 403": ((403, HTML, "<p>Access <b>denied</b></p>"), PermissionDeniedError, "^Access denied; "),
    "a page without a type": ((403, {}, NGINX.format("No")), PermissionDeniedError, "^No; "),
    "compressed": (
        (502, {**HTML, "content-encoding": "br"}, "\x0b\x02\x80"),
        UnavailableError,
        "^HTTP status 502: a proxy or gateway",
    ),
    "empty 407": ((407, {}, ""), UnauthenticatedError, "a proxy on the way wants credentials of its own"),
    "empty 421": ((421, {}, ""), UnavailableError, "no server for this host name"),
    "empty 431": ((431, {}, ""), ResourceExhaustedError, "metadata .headers. this large"),
    "empty 502": ((502, {}, ""), UnavailableError, "a proxy or gateway answers so"),
    "empty 503": ((503, {}, ""), UnavailableError, "a proxy or gateway answers so"),
    "empty 511": ((511, {}, ""), UnauthenticatedError, "captive portal"),
    "empty 418": ((418, {}, ""), UnknownError, "^$"),
    "a login elsewhere": (
        (302, {"location": "https://sso.example/login?next=secret"}, ""),
        UnknownError,
        "^a redirect to https://sso.example/login, which is not followed: calls carry credentials$",
    ),
    "a login here": ((303, {"location": "/login?s=1"}, "moved"), UnknownError, "^a redirect to /login, which"),
    "another host": ((301, {"location": "//h/x"}, ""), UnknownError, "^a redirect to //h/x, which"),
    "nowhere": ((307, {"location": "https://[h/x"}, ""), UnknownError, "^a redirect, which is not followed"),
}


ONLY_OURS = pytest.mark.only_engine("asyncio", "grpc.aio tells nothing of an answer but its status")


@ONLY_OURS
@pytest.mark.parametrize(("edge", "kind", "words"), EDGES.values(), ids=EDGES)
async def test_one_class_and_the_same_words_on_both_protocols(
    http: Any, edge: Edge, kind: type[RemoteCallError], words: str
) -> None:
    status, headers, body = edge
    failures = await http_failures(http, answer(body, status, {"content-type": None, **headers}))
    failures += await grpc_failures(over_http2(edge))
    for failure in failures:
        assert type(failure) is kind
        assert failure.http_status == status
        assert str(failure).count(f"HTTP status {status}") == 1
        assert not failure.outcome_known
        assert re.search(words, failure.details)
        assert not re.search("secret|<|>", str(failure))
    assert len({failure.details for failure in failures}) == 1


@pytest.mark.parametrize(("edge", "kind", "words"), EDGES.values(), ids=EDGES)
async def test_one_class_on_both_engines(edge: Edge, kind: type[RemoteCallError], words: str) -> None:
    """Without a body: where it comes together with the head, grpc.aio may forget the status."""
    for failure in await grpc_failures(over_http2((*edge[:2], ""))):
        assert (type(failure), failure.http_status, failure.outcome_known) == (kind, edge[0], False)


async def test_a_body_without_grpc_leaves_open_what_happened() -> None:
    for failure in await grpc_failures(over_http2(EDGES["nginx 502"][0])):
        assert isinstance(failure, UnavailableError)
        assert not failure.outcome_known


@ONLY_OURS
async def test_a_redirect_to_tls_names_what_to_use(http: Any) -> None:
    """Neither the user's name nor the query is shown."""
    place = "https://user:secret@h:8{}?token=secret"
    failure, _ = await http_failures(http, answer("", 308, {"location": place.format("/script")}))
    told = "a redirect to https://h:8{}, which is not followed: calls carry credentials; use {}://h:8"
    assert failure.details == told.format("/script", "https")
    failure, _ = await grpc_failures(over_http2((308, {"location": place.format("/test.Test/Echo")}, "")))
    assert failure.details == told.format("/test.Test/Echo", "grpcs")


async def test_what_the_runtime_says_itself_has_its_class(http: Any) -> None:
    """A proxy's 504 is another error than the runtime's, whose call took too long."""
    own = {"details": "too slow", "code": 504, "id": "0" * 32}
    for failure in await http_failures(http, answer(own, 504)):
        assert (type(failure), failure.details) == (DeadlineExceededError, "too slow")


@pytest.mark.sampled(2)
@ONLY_OURS
@pytest.mark.parametrize(
    "edge", [(200, HTML, LOGIN), (302, {}, ""), (502, HTML, "<title>Log in & go on"), (503, {}, "x")]
)
async def test_a_body_that_does_not_end_is_not_waited_for(http: Any, edge: Edge) -> None:
    """Nor is one whose end is lost."""
    status, headers, body = edge
    async with asyncio.timeout(20):
        for end in (HANG, CLOSE, RESET):
            given = {"content-length": 1000, "content-type": None, **headers}
            failures = await http_failures(http, [*answer(body, status, given), end])
            failures += await grpc_failures([over_http2(edge, end=False)[0], end])
            assert {failure.http_status for failure in failures} == {status}


# -- a login page with status 200 -------------------------------------------------------------------------------------


@ONLY_OURS
async def test_a_page_is_told_by_its_type(http: Any) -> None:
    failures = await http_failures(http, answer(LOGIN, headers=HTML))
    failures += await http_failures(http, chunked(LOGIN, headers=HTML))
    failures += await grpc_failures(over_http2((200, HTML, LOGIN)))
    for failure in failures:
        assert type(failure) is InvalidResponseError
        assert "HTTP status 200, but text/html; charset=utf-8, not " in failure.details
        assert "a page (Log in & go on), such as that of a login" in failure.details
        assert "secret" not in str(failure)
        assert not failure.outcome_known


async def test_a_page_may_be_a_file(http: Any) -> None:
    """The runtime names its files."""
    headers = {**HTML, "content-disposition": 'attachment; filename="a.html"'}
    assert await http.script(steps=answer(LOGIN, headers=headers)) == LOGIN.encode()


@pytest.mark.parametrize("deed", ["models", "model", "describe", "runtime_info", "healthy", "deploy"])
async def test_discovery_meets_a_login_page(http_wire: HttpWire, deed: str) -> None:
    page = {"body": LOGIN, "headers": HTML}
    routes = ("GET /openapi.json", "GET /info/models", "GET /info/version", "GET /health")
    await http_wire.faults(dict.fromkeys(routes, page))
    async with RemoteClient(http_wire.target, retries=0) as client:
        with pytest.raises((SchemaError, InvalidResponseError)) as caught:
            if deed == "model":
                await client.model("raw")
            elif deed == "deploy":
                await client.deploy_model("m", {"config.yml": b""})
            else:
                await getattr(client, deed)()
    assert "HTTP status 200, but text/html" in str(caught.value)
    assert "Log in & go on" in str(caught.value)
    assert "redeployed" not in str(caught.value)


@pytest.mark.parametrize("deed", ["run", "describe", "runtime_info"])
async def test_a_text_is_told_by_its_type(http_wire: HttpWire, deed: str) -> None:
    text = {"body": "down for a moment", "headers": {"content-type": "text/plain; charset=utf-8"}}
    async with RemoteClient(http_wire.target, retries=0) as client:
        model = await client.model("raw")
        await http_wire.faults(dict.fromkeys(("POST /api/v1/task/echo", "GET /info/version"), text))
        if deed == "describe":
            await http_wire.faults({"GET /openapi.json": text})
            client = RemoteClient(http_wire.target, retries=0)
        with pytest.raises((SchemaError, InvalidResponseError)) as caught:
            await (model.run_echo("a") if deed == "run" else getattr(client, deed)())
        await client.aclose()
    assert "HTTP status 200, but text/plain; charset=utf-8, not JSON" in str(caught.value)
    assert "redeployed" not in str(caught.value)


@pytest.mark.parametrize("kind", ["text/plain", "text/json", "application/vnd.x+json", "APPLICATION/JSON", None])
async def test_json_may_have_another_type(http_wire: HttpWire, kind: str | None) -> None:
    document = http_server.as_json(http_server.openapi()).decode()
    given = {"headers": {"content-type": kind}}
    await http_wire.faults({"GET /openapi.json": {"body": document, **given}})
    await http_wire.faults({"POST /api/v1/task/echo": {"body": '{"text": "b"}', **given}})
    async with RemoteClient(http_wire.target, retries=0) as client:
        model = await client.model("raw")
        assert (await model.run_echo("a")).text == "b"
        assert pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_discovery_meets_a_proxy_without_a_server(http_wire: HttpWire, protocol: str, status: int) -> None:
    page = NGINX.format("Bad Gateway")
    routes = ("GET /openapi.json", "GET /info/models", "GET /info/version")
    await http_wire.faults({route: {"status": status, "headers": HTML, "body": page} for route in routes})
    async with Http2Server(over_http2((status, HTML, page))) as server:
        target = http_wire.target if protocol == "http" else f"grpc://127.0.0.1:{server.port}"
        for deed in ("models", "describe", "runtime_info", "model"):
            async with RemoteClient(target, retries=0) as client:
                with pytest.raises(UnavailableError) as caught:
                    await (client.model("raw") if deed == "model" else getattr(client, deed)())
            if ENGINE == "asyncio" or protocol == "http":
                assert f"HTTP status {status}" in str(caught.value)
                assert "Bad Gateway" in str(caught.value)


# -- streams that are reset, or end too early -------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "kind"), [(0x2, UnavailableError), (0x8, UnavailableError), (0x1, InternalError)])
async def test_a_reset_before_any_answer(code: int, kind: type[RemoteCallError]) -> None:
    """A proxy resets so, whose server is gone or silent: the model said nothing."""
    for failure in await grpc_failures(reset(code)):
        assert type(failure) is kind
        assert not failure.outcome_known
        assert not failure.shed


async def _items(stream: AsyncIterator[bytes], seen: list[bytes]) -> None:
    async for each in stream:
        seen.append(each)


ENDS = {
    "INTERNAL_ERROR": (raw.frame(raw.RST_STREAM, struct.pack(">I", 0x2)), StreamTruncatedError),
    "CANCEL": (raw.frame(raw.RST_STREAM, struct.pack(">I", 0x8)), CallCancelledError),
    "no status": (raw.frame(raw.DATA, b"", raw.END_STREAM), StreamTruncatedError),
    "the model's own": (raw.trailers("13"), InternalError),
}


@pytest.mark.parametrize(("end", "kind"), ENDS.values(), ids=ENDS)
async def test_a_stall_that_a_proxy_ends_is_not_the_models_error(end: bytes, kind: type[RemoteCallError]) -> None:
    for name, wish in (("count", {"n": 2}), ("chat", [b"1"])):
        steps = [send(raw.head() + raw.message(b"1")), sleep(0.01), send(end), HANG]
        async with Http2Server(steps) as server, raw_module(info(server)) as module:
            seen: list[bytes] = []
            with pytest.raises(RemoteCallError) as caught:
                method = getattr(module, name)
                await _items(method(**wish) if isinstance(wish, dict) else method(wish), seen)
            assert type(caught.value) is kind
            assert seen == [b"1"]


@pytest.mark.parametrize("body", [b"", raw.message(b"half", length=9)], ids=["nothing", "half a message"])
async def test_an_answer_that_a_proxy_cuts_is_not_the_models_error(body: bytes) -> None:
    """No server of gRPC ends an answer with its body: its status comes in trailers."""
    for failure in await grpc_failures([send(raw.head() + body + raw.frame(raw.DATA, b"", raw.END_STREAM)), HANG]):
        assert isinstance(failure, UnavailableError)
        assert not failure.outcome_known


@ONLY_OURS
async def test_a_stall_after_an_acknowledgement_is_not_the_models_error() -> None:
    """The runtime acknowledges a stream of messages by a head, long before its first answer."""
    async with Http2Server(reset(0x2, raw.head(("acknowledgement", "ok")))) as server:
        async with raw_module(info(server)) as module:
            with pytest.raises(StreamTruncatedError):
                await anext(module.chat([b"1"]))


# -- what is sent once ------------------------------------------------------------------------------------------------

ONCE: dict[str, Edge] = {
    "a login page": (200, HTML, LOGIN),
    "a redirect": (302, {"location": "https://sso/login"}, ""),
    **{str(status): (status, HTML, NGINX.format(status)) for status in (401, 403, 404, 413, 429, 499, 500, 502, 503)},
    **{str(status): (status, HTML, NGINX.format(status)) for status in (504, 520, 522, 524, 530)},
}


@pytest.mark.parametrize("kind", ["job", "training"])
@pytest.mark.parametrize("edge", ONCE.values(), ids=ONCE)
async def test_nobody_knows_what_a_start_did_where_a_proxy_answers(kind: str, edge: Edge) -> None:
    async with Http2Server(over_http2(edge)) as server, raw_module(info(server, retries=5)) as module:
        with pytest.raises(OutcomeUnknownError) as caught:
            await start(starting(module, "big"), "big", kind, size=1)
    assert isinstance(caught.value.__cause__, RemoteCallError)
    if ENGINE == "asyncio":
        assert f"HTTP status {edge[0]}" in str(caught.value)


@pytest.mark.parametrize("code", [0x0, 0x1, 0x2, 0x8, 0xB, 0xC])
async def test_nobody_knows_what_a_start_did_that_is_reset(code: int) -> None:
    async with Http2Server(reset(code)) as server, raw_module(info(server, retries=5)) as module:
        with pytest.raises(OutcomeUnknownError):
            await start(starting(module, "big"), "big", "training", size=1)


@pytest.mark.parametrize("edge", ONCE.values(), ids=ONCE)
async def test_nobody_knows_what_a_deployment_did_where_a_proxy_answers(http_wire: HttpWire, edge: Edge) -> None:
    status, headers, body = edge
    route = "POST /management/models"
    document = json.loads((ROOT / "tests/support/openapi/complete.json").read_text())
    fault = {"status": status, "headers": headers, "body": body}
    await http_wire.faults({"GET /openapi.json": {"body": document}, route: fault})
    async with RemoteClient(http_wire.target, retries=5) as client:
        with pytest.raises(OutcomeUnknownError, match=f"HTTP status {status}") as caught:
            await client.deploy_model("m", {"config.yml": b""})
        assert caught.value.model_name == "m"
    assert (await http_wire.stats())["started"][route] == 1


@pytest.mark.parametrize("edge", [ONCE["a login page"], ONCE["502"], ONCE["524"]], ids=["a login page", "502", "524"])
def test_nobody_knows_what_a_blocking_clients_deployment_did(http_wire: HttpWire, edge: Edge) -> None:
    status, headers, body = edge
    document = json.loads((ROOT / "tests/support/openapi/complete.json").read_text())
    fault = {"status": status, "headers": headers, "body": body}
    faults = {"GET /openapi.json": {"body": document}, "POST /management/models": fault}
    http_wire.command("faults", faults=faults)
    with sync.RemoteClient(http_wire.target, retries=5) as client:
        with pytest.raises(OutcomeUnknownError, match=f"HTTP status {status}"):
            client.deploy_model("m", {"config.yml": b""})


# -- secrets ----------------------------------------------------------------------------------------------------------


@ONLY_OURS
async def test_secrets_that_an_edge_repeats_are_not_shown(http_wire: HttpWire) -> None:
    secret = "s3cr3t-token"
    edges: list[Edge] = [
        (401, HTML, f"<title>{secret} is wrong</title>"),
        (401, {}, f"{secret} is wrong"),
        (401, {"content-type": "application/json"}, f'{{"message": "{secret} is wrong"}}'),
        (302, {"location": f"https://h/{secret}"}, ""),
        (200, HTML, f"<title>{secret}</title>"),
    ]
    for edge in edges:
        status, headers, body = edge
        async with Http2Server(over_http2(edge)) as server, raw_module(info(server)) as over_grpc:
            async with http_module(http_wire.info()) as over_http:
                given = {"metadata": {"authorization": f"Bearer {secret}"}}
                steps = answer(body, status, {"content-type": None, **headers})
                for call in (
                    over_grpc.with_options(**given).echo(b"x"),
                    over_http.with_options(**given).script(steps=steps),
                ):
                    with pytest.raises(RemoteCallError) as caught:
                        await call
                    assert secret not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
