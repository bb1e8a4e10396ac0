"""The errors of HTTP answers, by what they say: who answered, what is shown, and whether the outcome is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remote_client._transport.call import Call
from remote_client._transport.http_errors import (
    MAX_ERROR_SIZE,
    Answer,
    answer_error,
    explained_status,
    is_page,
    read_answer,
    reset_reason,
)
from remote_client.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidResponseError,
    NotFoundError,
    RemoteCallError,
    StreamTruncatedError,
    UnavailableError,
)

METADATA = (("authorization", "Bearer s3cr3t-token"), ("mm-model-id", "the-model"))


def error_of(answer: Answer, method: str = "POST /a/b", wanted: str = "JSON", now: float = 0.0) -> RemoteCallError:
    return answer_error(answer, Call(method, METADATA), "h:1", wanted=wanted, now=now)


def page(body: str, status: int = 502, kind: str = "text/html") -> str:
    return error_of(Answer(status, body.encode(), kind)).details.partition(";")[0]


# -- who answered -----------------------------------------------------------------------------------------------------

OWN: list[tuple[int, Any, bool]] = [
    (404, {"details": "d", "code": 404, "id": "i"}, True),
    (422, {"details": "d", "code": 422, "id": "i", "additional_info": []}, True),
    (422, {"details": [{"type": "t"}], "code": 422, "id": "i"}, True),
    (500, {"details": "d", "code": 500, "id": "i"}, True),
    (504, {"details": "d", "code": 504, "id": "i"}, False),  # it does not know itself
    (499, {"details": "d", "code": 499, "id": "i"}, False),
    (404, {"detail": "Not Found"}, True),
    (405, {"detail": "Method Not Allowed"}, True),
    (415, {"detail": "Unsupported media type"}, True),
    (422, {"detail": [{"loc": ["body"], "msg": "m"}]}, True),
    (500, {"detail": "d"}, False),
    (401, {"detail": "Not authenticated"}, False),
    (500, {"details": "d", "code": 404, "id": "i"}, False),
    (404, {"details": "d", "code": 404}, False),
    (404, {"details": "d", "code": "404", "id": "i"}, False),
    (404, {"details": "d", "id": "i"}, False),
    (404, {"code": 404, "message": "no route", "id": "i"}, False),
    (404, {"code": 5, "message": "no route", "details": []}, False),
    (404, {"detail": "Not Found", "status": 404}, False),
    (404, [], False),
    (404, "", False),
    (404, None, False),
]


@pytest.mark.parametrize(("status", "told", "known"), OWN)
def test_an_outcome_is_known_where_the_runtime_itself_answered(status: int, told: Any, known: bool) -> None:
    assert error_of(Answer(status, json.dumps(told).encode())).outcome_known is known


@pytest.mark.parametrize("status", range(300, 600))
def test_no_status_alone_tells_an_outcome(status: int) -> None:
    for body, kind in ((b"", ""), (b"no", "text/plain"), (b"<html>", "text/html"), (b'{"message": "no"}', "")):
        failure = error_of(Answer(status, body, kind))
        assert not failure.outcome_known
        assert failure.http_status == status
        assert str(failure).count(f"HTTP status {status}") == 1


def test_the_runtimes_504_is_a_deadline_and_a_proxys_is_not() -> None:
    assert type(error_of(Answer(504, b'{"details": "d", "code": 504, "id": "i"}'))) is DeadlineExceededError
    assert type(error_of(Answer(504, b'{"message": "d"}'))) is UnavailableError
    assert type(error_of(Answer(504))) is UnavailableError


def test_an_object_of_a_gateway_keeps_what_it_tells() -> None:
    failure = error_of(Answer(404, b'{"message": "no route", "id": "x", "additional_info": [1]}'))
    assert (type(failure), failure.details) == (NotFoundError, "no route")
    assert (failure.error_id, failure.additional_info) == ("x", [1])


def test_a_path_that_the_runtime_has_not_may_be_a_gateways() -> None:
    """As where nginx's `proxy_pass` lacks the slash at its end: the runtime itself answers."""
    failure = error_of(Answer(404, b'{"detail": "Not Found"}', "application/json"))
    assert failure.details.startswith("Not Found: the server has no such path; ")
    assert failure.details.endswith("a gateway leaves its own path before the runtime's")
    own = error_of(Answer(404, b'{"details": "Not Found", "code": 404, "id": "i"}', "application/json"))
    assert own.details == "Not Found"


def test_a_proxy_that_speaks_http1_to_a_server_of_grpc() -> None:
    """As nginx with `proxy_pass`: it passes the frames on as an answer of HTTP/0.9, with the status 000."""
    failure = error_of(Answer(0, b"\0\0\x18\4\0\0\0\0\0\0\4"), wanted="gRPC")
    assert (type(failure), failure.http_status, failure.outcome_known) == (InvalidResponseError, 0, False)
    assert failure.details.startswith("a proxy passed on what is no HTTP/1.1: the server behind it speaks HTTP/2")


def test_a_gateway_without_a_route_gives_no_word() -> None:
    """As Envoy over gRPC, where no virtual host has the target's name."""
    assert "no route for this host name" in explained_status("UNIMPLEMENTED", "")[1]
    assert explained_status("UNIMPLEMENTED", "Method not found!") == (None, "Method not found!")
    assert explained_status("INTERNAL", "") == (None, "")
    assert "keepalive" in explained_status("UNAVAILABLE", "too_many_pings")[1]


def test_a_wait_that_a_proxy_asks_for() -> None:
    assert error_of(Answer(503, retry_after="7")).pushback == 7
    assert error_of(Answer(503, retry_after="Thu, 01 Jan 1970 00:01:00 GMT"), now=10.0).pushback == 50
    assert error_of(Answer(503)).pushback is None


# -- pages ------------------------------------------------------------------------------------------------------------

PAGES = {
    "<title>a</title>": "a",
    "<TITLE lang=x>a</TITLE>": "a",
    "<title>\n a &lt;b&gt; \t c\n</title><h1>d</h1>": "a <b> c",
    "<title></title><h1>d <i>e</i></h1>": "d e",
    "<html><body>f<br>g</body></html>": "f g",
    "<title>cut short": "cut short",
    "<html></html>": "a proxy or gateway answers so when it gets no valid answer from the server behind it",
    "<title>\u0130</title>": "\u0130",
    f"<title>{'x' * 300}</title>": "x" * 200 + "...",
}


@pytest.mark.parametrize(("body", "shown"), PAGES.items())
def test_a_page_is_reduced_to_its_title(body: str, shown: str) -> None:
    assert page(body) == shown


def test_a_page_without_a_type_is_seen() -> None:
    assert page("\n<!DOCTYPE html><title>a</title>", kind="") == "a"
    assert page("<a>", kind="text/plain") == "<a>"
    assert page("a < b", kind="") == "a < b"


@pytest.mark.parametrize("piece", ["<title>", "<", "</title", "<h1>", "&", "<title", ">", "\u0130<title>"])
def test_a_hostile_page_takes_no_longer_than_its_size(piece: str) -> None:
    """As a pattern of `<title>.*?</title>` these would take minutes."""
    assert len(page((piece * MAX_ERROR_SIZE)[:MAX_ERROR_SIZE])) < 5000


@pytest.mark.parametrize("kind", [b"text/html", b"Text/HTML ; charset=utf-8", b"application/xhtml+xml"])
def test_types_of_pages(kind: bytes) -> None:
    assert is_page(kind)
    assert not is_page(b"x-" + kind)


@pytest.mark.parametrize("wanted", ["JSON", "gRPC", "a stream of events"])
def test_a_success_that_is_not_the_wanted_answer(wanted: str) -> None:
    told = {
        ("text/html", b"<title>Log in</title>"): "text/html, not {}: it is a page (Log in), such as that of a login, a "
        "proxy or another server",
        ("text/html", b""): "text/html, not {}: it is a page, such as that of a login, a proxy or another server",
        ("text/plain", b" later "): "text/plain, not {}: later",
        ("", b""): "without a content type, not {}",
        ("application/json", b'{"message": "no"}'): "application/json, not {}: no",
        ("application/json", b"{}"): "application/json, not {}",
        ("a\x1bb", b""): "a b, not {}",
    }
    for (kind, body), words in told.items():
        failure = error_of(Answer(200, body, kind), wanted=wanted)
        assert type(failure) is InvalidResponseError
        assert failure.details == f"HTTP status 200, but {words.format(wanted)}"
        assert not failure.outcome_known


# -- redirects --------------------------------------------------------------------------------------------------------

PLACES = {
    "https://h/a/b": "https://h/a/b, which is not followed: calls carry credentials; use https://h",
    "https://h:8/a/b?c": "https://h:8/a/b, which is not followed: calls carry credentials; use https://h:8",
    "https://h/team/a/b": "https://h/team/a/b, which is not followed: calls carry credentials; use https://h/team",
    "http://h/a/b": "http://h/a/b, which is not followed: calls carry credentials",
    "https://u:p@h/login#x": "https://h/login, which is not followed: calls carry credentials",
    "//h/x": "//h/x, which is not followed: calls carry credentials",
    "/x?y": "/x, which is not followed: calls carry credentials",
    "https://h/s3cr3t-token": "https://h/[redacted], which is not followed: calls carry credentials",
}


@pytest.mark.parametrize(("place", "words"), PLACES.items())
def test_a_redirect_names_where_it_points(place: str, words: str) -> None:
    assert error_of(Answer(302, location=place)).details == f"a redirect to {words}"


def test_a_redirect_of_grpc_names_grpcs() -> None:
    failure = error_of(Answer(308, location="https://h/p.S/M"), method="p.S/M", wanted="gRPC")
    assert failure.details.endswith("; use grpcs://h")


@pytest.mark.parametrize("place", [None, "", "?a=b", "https://[h", "https://h:x/", "https://h:99999/"])
def test_a_redirect_to_nowhere(place: str | None) -> None:
    assert error_of(Answer(302, location=place)).details.startswith("a redirect, which is not followed")


# -- heads and resets -------------------------------------------------------------------------------------------------


def test_what_is_read_of_a_head() -> None:
    headers = {b"content-type": b"text/html", b"location": b"/x", b"retry-after": b"1"}
    assert read_answer(302, headers) == Answer(302, kind="text/html", location="/x", retry_after="1")
    packed = read_answer(502, {b"content-encoding": b"gzip"})
    assert packed.with_body(b"\x1f\x8b").body == b""
    assert read_answer(502, {}).with_body(b"x").body == b"x"


@pytest.mark.parametrize("code", range(0x10))
def test_only_resets_of_proxies_are_no_matter_of_grpcs_table(code: int) -> None:
    before = UnavailableError if code in (0x2, 0x8) else None
    assert reset_kind(code, started=False, within=False) is before
    assert reset_kind(code, started=True, within=False) is None
    assert reset_kind(code, started=True, within=True) is (StreamTruncatedError if code == 0x2 else None)


def test_a_reset_of_a_stream_whose_input_pauses() -> None:
    assert reset_kind(0x1, started=False, within=False, uploads=True) is UnavailableError
    assert reset_kind(0x1, started=True, within=True, uploads=True) is StreamTruncatedError
    reason = reset_reason(0x1, started=True, within=True, uploads=True)
    assert reason is not None
    assert "client_body_timeout" in reason[1]


def reset_kind(code: int, **told: bool) -> type[RemoteCallError] | None:
    reason = reset_reason(code, **told)
    return None if reason is None else reason[0]


def test_secrets_are_not_repeated() -> None:
    for body in (b"s3cr3t-token is wrong", b"<title>s3cr3t-token</title>", b'{"message": "s3cr3t-token"}'):
        for status in (200, 401):
            assert "s3cr3t" not in str(error_of(Answer(status, body)))
    assert "s3cr3t" not in str(error_of(Answer(200, b"x", "text/s3cr3t-token")))
    assert type(error_of(Answer(500))) is InternalError
