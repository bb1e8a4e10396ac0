"""Metadata: where it comes from, what may be sent."""

from typing import Any

import pytest

from remote_client import RemoteModelInitializer, RemoteModuleConfig
from remote_client._transport.metadata import resolve_metadata
from remote_client.errors import InputError
from remote_client.settings import ConnectionInfo, Protocol


async def asynchronous() -> dict[str, str]:
    return {"b": "async"}


async def test_sources_are_merged_in_order() -> None:
    sources: Any = ({"A": "first", "b": "first"}, lambda: {"a": "second"}, asynchronous, {"c-bin": b"\x00\xff"})
    assert await resolve_metadata(sources) == (("a", "second"), ("b", "async"), ("c-bin", b"\x00\xff"))
    assert await resolve_metadata(()) == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {"": "s3cr3t"},
        {"a b": "s3cr3t"},
        {"ü": "s3cr3t"},
        {"grpc-timeout": "s3cr3t"},
        {"mm-model-id": "s3cr3t"},
        {"MM-Model-Id": "s3cr3t"},
        {"a": "s3cr3t\n"},
        {"a": "s3cr3t ü"},
        {"a": b"s3cr3t"},
        {"a-bin": "s3cr3t"},
        {"a": 5},
        {"a": None},
    ],
)
async def test_what_cannot_be_sent_is_refused_without_showing_it(metadata: Any) -> None:
    with pytest.raises(InputError, match="metadata: ") as caught:
        await resolve_metadata((metadata,), reserved="mm-model-id")
    assert "s3cr3t" not in str(caught.value)


async def test_an_error_of_the_source_is_the_users() -> None:
    def fails() -> dict[str, str]:
        raise KeyError("token")

    with pytest.raises(KeyError):
        await resolve_metadata((fails,))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("name", ["foo ", " foo", " ", "", "foo\r\nx-other: 1", "foo\x00", "füü"])
def test_models_whose_names_arrive_as_another_one_are_refused(name: str, protocol: Protocol) -> None:
    config = RemoteModuleConfig(ConnectionInfo(hostname="localhost", port=1), protocol, "mm-model-id", [], name)
    with pytest.raises(InputError, match="cannot be sent"):
        RemoteModelInitializer().init(config)
