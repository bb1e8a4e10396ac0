"""Headers and statuses of any length: reading them takes no square of it, and errors are typed."""

from __future__ import annotations

from email.message import Message

import grpc
import httpx
import pytest
from grpc.aio import AioRpcError, Metadata

from remote_client import RemoteClient
from remote_client._objects.content import Body
from remote_client._transport.call import Call
from remote_client._transport.engines.grpcio import failure_of
from remote_client._transport.http import requests
from remote_client._transport.http.requests import as_answer
from remote_client.errors import InternalError, SchemaError
from remote_client.settings import ConnectionInfo


@pytest.mark.parametrize("name", [";" * 60_000, ";" * 2_000, "a" * 60_000, '\\"' * 30_000])
def test_a_long_name_of_a_file_is_not_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """60,000 semicolons took seven seconds."""
    read: list[str] = []

    class Counting(Message):
        def get_filename(self, failobj: object = None) -> str | None:  # type: ignore[override]
            read.append(self["content-disposition"])
            return super().get_filename()

    monkeypatch.setattr(requests, "Message", Counting)
    answer = as_answer(b"data", {b"content-disposition": f'attachment; filename="{name}"'.encode()}, ())
    assert isinstance(answer, Body)
    assert answer == b"data"
    assert sum(map(len, read)) <= 2_000


def test_a_name_of_a_file_as_long_as_names_may_be() -> None:
    name = "ü" * 127 + "x"
    header = "attachment; filename*=utf-8''" + "%C3%BC" * 127 + "x"
    answer = as_answer(b"data", {b"content-disposition": header.encode()}, ())
    assert isinstance(answer, Body)
    assert answer.filename == name


async def test_a_length_of_thousands_of_digits_over_httpx() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-length": "9" * 5_000, "content-type": "application/json"})

    async with RemoteClient("http://localhost:1", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(SchemaError, match="larger than 16777216 bytes"):
            await client.describe()


def test_a_status_with_thousands_of_digits_over_grpcio() -> None:
    told = "RST_STREAM with error code " + "9" * 5_000
    error = AioRpcError(grpc.StatusCode.INTERNAL, Metadata(), Metadata(), told, "")
    assert isinstance(failure_of(Call("/a/b"), error, ConnectionInfo(hostname="localhost", port=1)), InternalError)
