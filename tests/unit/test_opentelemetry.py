"""Names and attributes of spans, and what needs OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys
import timeit
from asyncio import CancelledError
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import rpc_attributes, url_attributes
from opentelemetry.semconv._incubating.metrics import rpc_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes
from opentelemetry.semconv.schemas import Schemas

from remote_client.errors import ConfigurationError, InvalidArgumentError, NotFoundError, UnavailableError
from remote_client.hooks import AttemptFailed, CallEnded, CallStarted, check_hooks, everywhere, with_everywhere
from remote_client.opentelemetry import OpenTelemetryHook
from remote_client.opentelemetry import _attributes as attributes
from tests.support.packages import MATRIX

GRPC = CallStarted("a.B/C", "host:8085", "foo", "CTask", "grpc", False, "id")
HTTP = CallStarted("POST /api/v1/task/c", "host:8080/base", None, None, "http", True, "id")


def ended(call: CallStarted, error: BaseException | None, http_status: int | None = None) -> CallEnded:
    return CallEnded(call.method, call.target, call.model, 1, 0.1, error, 1, 1, "id", call, http_status)


def test_a_call_over_grpc() -> None:
    assert attributes.span_name(GRPC) == "a.B/C"
    expected = {
        "rpc.system.name": "grpc",
        "rpc.method": "a.B/C",
        "server.address": "host",
        "server.port": 8085,
        "caikit.model": "foo",
        "caikit.task": "CTask",
    }
    assert dict(attributes.call_attributes(GRPC)) == dict(attributes.metric_attributes(GRPC)) == expected


def test_a_call_over_http() -> None:
    assert attributes.span_name(HTTP) == "POST /base/api/v1/task/c"
    expected = {
        "http.request.method": "POST",
        "url.template": "/base/api/v1/task/c",
        "server.address": "host",
        "server.port": 8080,
    }
    assert dict(attributes.call_attributes(HTTP)) == expected
    rpc = {"rpc.system.name": "http", "rpc.method": "POST /base/api/v1/task/c"}
    assert dict(attributes.metric_attributes(HTTP)) == expected | rpc


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("host:8085", "host", 8085),
        ("host:8085/base/path", "host", 8085),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:8085", "::1", 8085),
        ("[fe80::1%eth0]:8085/base", "fe80::1%eth0", 8085),
        ("unix:/run/a:b.sock", "/run/a:b.sock", None),
        ("unix:///run/a.sock", "/run/a.sock", None),
        ("unix:a.sock", "a.sock", None),
        ("unix-abstract:a", "a", None),
        ("xds:///runtime", "runtime", None),
        ("xds://authority/runtime", "authority/runtime", None),
    ],
)
def test_servers(target: str, address: str, port: int | None) -> None:
    found = dict(attributes.server_attributes(target))
    assert found == {"server.address": address} | ({} if port is None else {"server.port": port})


@pytest.mark.parametrize(
    ("call", "error", "http_status", "expected"),
    [
        (GRPC, None, None, {"rpc.response.status_code": "OK"}),
        (GRPC, NotFoundError("x"), None, {"rpc.response.status_code": "NOT_FOUND", "error.type": "NOT_FOUND"}),
        (GRPC, CancelledError(), None, {"rpc.response.status_code": "CANCELLED", "error.type": "CANCELLED"}),
        (GRPC, KeyError(), None, {"rpc.response.status_code": "UNKNOWN", "error.type": "builtins.KeyError"}),
        (HTTP, None, 201, {"http.response.status_code": 201}),
        (HTTP, NotFoundError("x"), 404, {"http.response.status_code": 404, "error.type": "404"}),
        (HTTP, UnavailableError("x"), None, {"error.type": "remote_client.errors.UnavailableError"}),
        (
            HTTP,
            InvalidArgumentError("x", http_status=400),  # an event in a stream that began well
            200,
            {"http.response.status_code": 200, "error.type": "remote_client.errors.InvalidArgumentError"},
        ),
        (HTTP, CancelledError(), None, {"error.type": "asyncio.exceptions.CancelledError"}),
    ],
)
def test_outcomes(call: CallStarted, error: Any, http_status: int | None, expected: dict[str, Any]) -> None:
    assert attributes.outcome_attributes(ended(call, error, http_status)) == expected


def test_failed_attempts() -> None:
    error = UnavailableError("x", http_status=503)
    failed = AttemptFailed(HTTP.method, "other:1", None, 2, error, 0.5, "id", HTTP)
    assert attributes.failure_attributes(failed) == {
        "caikit.attempt": 2,
        "server.address": "other",
        "server.port": 1,
        "http.response.status_code": 503,
        "error.type": "503",
        "caikit.wait": 0.5,
    }


@pytest.mark.skipif(MATRIX, reason="the names are those of one version of the conventions")
def test_the_names_are_those_of_the_conventions() -> None:
    used = {*attributes.call_attributes(GRPC), *attributes.metric_attributes(HTTP)}
    used |= {*attributes.outcome_attributes(ended(HTTP, NotFoundError("x"), 404)), attributes.STATUS}
    names = {
        value
        for module in (rpc_attributes, url_attributes, error_attributes, http_attributes, server_attributes)
        for name, value in vars(module).items()
        if name.isupper()
    }
    assert {name for name in used if not name.startswith("caikit.")} <= names
    assert rpc_metrics.RPC_CLIENT_CALL_DURATION == "rpc.client.call.duration"
    assert Schemas.V1_44_0.value == attributes.SCHEMA_URL


def test_the_class_itself_is_no_hook() -> None:
    with pytest.raises(ConfigurationError, match=r"^hooks: OpenTelemetryHook is a class: give an object, OpenTele"):
        check_hooks([OpenTelemetryHook])


# -- where it is off --------------------------------------------------------------------------------------------------


def test_hooks_of_every_client_cost_next_to_nothing_where_there_are_none() -> None:
    assert not everywhere
    own: tuple[Any, ...] = ()
    seconds = min(timeit.repeat(lambda: own or everywhere, number=100_000)) / 100_000
    assert seconds < 500e-9  # 10 ns, and the lambda's call; a slow machine takes a few times as long
    assert with_everywhere(own) is own


WITHOUT = """
import importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith({missing!r}):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
"""


def run(code: str, missing: str) -> str:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing) + code], capture_output=True, text=True, check=True
    )
    return told.stdout


def test_without_opentelemetry_the_extra_is_named() -> None:
    code = "sys.modules['opentelemetry'] = None\ntry: import remote_client.opentelemetry\n"
    message = "remote_client.opentelemetry needs OpenTelemetry: pip install 'remote-client[otel]'\n"
    assert run(code + "except ImportError as error: print(error)", "nothing") == message


def test_the_api_alone_is_enough() -> None:
    code = (
        "from remote_client.opentelemetry import OpenTelemetryHook, instrument, uninstrument\n"
        "from remote_client.hooks import CallEnded, CallStarted\n"
        "call = CallStarted('a.B/C', 'host:8085', 'foo', 'CTask', 'grpc', False, 'id')\n"
        "hook = OpenTelemetryHook()\nhook(call)\nprint(hook.metadata(call))\n"
        "hook(CallEnded('a.B/C', 'host:8085', 'foo', 1, 0.1, None, call=call))\n"
        "import sys; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    for missing in ("opentelemetry.instrumentation", "opentelemetry.sdk"):
        assert run(code, missing) == "{}\n[]\n"


def test_the_client_does_not_import_opentelemetry() -> None:
    code = "import remote_client.sync, sys; print('opentelemetry' in sys.modules)"
    assert run(code, "nothing") == "False\n"
