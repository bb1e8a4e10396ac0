"""The tests that an engine fails, or a proxy whoever calls, with the reasons."""

from __future__ import annotations

import os

import pytest

ENGINE = os.environ.get("REMOTE_CLIENT_ENGINE") or "asyncio"
"""The engine that the tests run on."""

_RESET = "a status with RST_STREAM(CANCEL) right behind it becomes CANCELLED"

_KEPT = "HAProxy 2.6 keeps the reset of a request whose buffers are full to itself in one of ten, whoever sends it"

_BEGUN = "it does not tell whether an answer began before the stream was reset"
_TWICE = "it sends a call anew once, and these meet a GOAWAY more often"
_CONTENT = "it does not look at an answer's content type"
_FORGOTTEN = "it may forget the status of an answer whose body comes with the head"

ALWAYS: dict[str, dict[str, str]] = {
    "grpcio": {
        "test_a_status_that_comes_before_the_request_is_whole[haproxy]": _RESET,
        "test_goaway_under_load[once]": _TWICE,
        "test_goaway_under_load[twice]": _TWICE,
        "test_refused_streams_are_sent_anew": "it sends refused calls anew only where it has a retry policy",
        "test_data_frame_padding": "it takes no padded data",
        "test_a_head_above_the_servers_limit_is_not_sent": "it sends a head whatever limit the server has",
        "test_interim_answers_are_skipped": "an interim answer ends the call",
        "test_rst_after_header_by_every_code[INTERNAL_ERROR]": _BEGUN,
        "test_rst_after_header_by_every_code[CANCEL]": _BEGUN,
        "test_an_answer_that_is_no_grpc": _CONTENT,
        "test_what_it_sends_back": _CONTENT,
        "test_a_relay_that_black_holes_connections[grpc]": "it keeps a silent connection until keepalive ends it",
    },
    "asyncio": {},
}
"""Engine -> a part of a test's name with its parameters -> why it fails."""
_FULL = {
    "test_a_cancel_reaches_the_server[haproxy-stream_in_writing]": _KEPT,
    "test_a_cancel_reaches_the_server[haproxy-bidi_writing]": _KEPT,
}
SOMETIMES: dict[str, dict[str, str]] = {
    "grpcio": {
        **_FULL,
        "test_an_answer_that_comes_before_the_request_is_whole[haproxy]": _RESET,
        "test_a_status_of_http_is_its_class": _FORGOTTEN,
        "test_status_code_and_message[haproxy]": _RESET,
        "test_discovery_and_health_through_a_proxy[haproxy]": _RESET,
        "[haproxy-grpc]": _RESET,
        "test_a_backend_that_is_down[grpc]": _FORGOTTEN,
    },
    "asyncio": _FULL,
}
"""The same, of tests that fail now and then."""


def mark(item: pytest.Item) -> pytest.MarkDecorator | None:
    """Return the mark of a test that is expected to fail, else None."""
    for table, strict in ((ALWAYS, True), (SOMETIMES, False)):
        for name, why in table[ENGINE].items():
            if name in item.name:
                return pytest.mark.xfail(reason=f"{ENGINE}: {why}", strict=strict)
    return None
