"""docs/troubleshooting.md: every message in its headings is one that the library, or a server, still says."""

from __future__ import annotations

import ast
import asyncio
import errno
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

import remote_client
from remote_client import RemoteClient, RemoteModuleBase
from remote_client._bulk.extras import needed
from remote_client.declare import module, taskmethod
from remote_client.errors import ConfigurationError, InvalidArgumentError, ResourceExhaustedError, SchemaError

from ..support.readme import DOCS
from ..support.runtime import Runtime

PAGE = DOCS / "troubleshooting.md"
PACKAGE = Path(remote_client.__file__).parent
MESSAGE = re.compile(r"`([^`]+)`")


def headings() -> Iterator[str]:
    """The headings of entries, up to the symptoms that have no message."""
    text = PAGE.read_text().partition("\n## Symptoms without an error\n")[0]
    yield from re.findall(r"^### (.+)$", text, re.MULTILINE)


def messages() -> Iterator[str]:
    """What stands in code in the headings, and in the table of extras."""
    for heading in headings():
        yield from MESSAGE.findall(heading)
    table = PAGE.read_text().partition("| message | extra |\n|---|---|\n")[2].partition("\n\n")[0]
    for row in table.splitlines():
        yield from MESSAGE.findall(row.split("|")[1])


def pieces(message: str) -> list[str]:
    """The parts of a message that are always the same."""
    parts = re.sub(r"^[A-Z_]+: ", "", message).split("...")
    return [part for part in (part.strip(" :;,()'") for part in parts) if len(part) > 3]


def literals() -> Iterator[str]:
    """The texts in the library's code, with `...` where values are put in."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                yield node.value.decode("latin-1")
            elif isinstance(node, ast.JoinedStr):
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "..." for each in node.values)


SOURCE = "\n".join(literals())


async def large_request(runtime: Runtime) -> str:
    async with RemoteClient(runtime.target) as client:
        model: Any = await client.model("foo")
        with pytest.raises(ResourceExhaustedError) as caught:
            await model.run_sample({"name": "x" * 5_000_000})
    return str(caught.value)


async def missing_argument(runtime: Runtime) -> str:
    path = "/caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict"
    async with RemoteClient(runtime.target) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            await client.call(path, b"", model="foo", idempotent=True)
    return str(caught.value)


async def closed_file(runtime: Runtime) -> str:
    """What a call iterated is closed."""
    with tempfile.TemporaryFile("w+") as file:
        file.write("Ada\nAlan\n")
        file.seek(0)
        async with RemoteClient(runtime.target) as client:
            model: Any = await client.model("foo")
            await model.run_sample_stream_in(Rows(file), greeting="Hi ")
        with pytest.raises(ValueError, match="closed file") as caught:
            file.readline()
    return str(caught.value)


class Rows:
    """An iterator over a file that closes it, as the file's own `close` does."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> dict[str, str]:
        return {"name": next(self.file).strip()}

    def close(self) -> None:
        self.file.close()


async def another_type(runtime: Runtime) -> str:
    @module(name="SampleModule", task="SampleTask")
    class Wrong(RemoteModuleBase):
        @taskmethod()
        async def run(self, sample_input: int) -> Any:
            raise NotImplementedError

    async with RemoteClient(runtime.target) as client:
        with pytest.raises(SchemaError) as caught:
            await client.model("foo", Wrong)
    return str(caught.value)


async def no_member(runtime: Runtime) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Literal[0, 1, 7]).validate_python(5)
    return str(caught.value)


async def expired(runtime: Runtime) -> str:
    async with RemoteClient(runtime.target) as client:
        slow = (await client.model("slow", task="SlowTask")).with_options(timeout=0.1)
        calls = (slow.run(5.0) for _ in range(5))  # now and then the client is faster than the runtime
        return "\n".join(map(str, await asyncio.gather(*calls, return_exceptions=True)))


async def timed_out(runtime: Runtime) -> str:
    return os.strerror(errno.ETIMEDOUT)


def without(extra: str) -> Callable[[Runtime], Awaitable[str]]:
    async def missing(runtime: Runtime) -> str:
        with pytest.raises(ConfigurationError) as caught:
            needed("a_library_that_is_not_there", extra)
        return str(caught.value)

    return missing


PROVOKED = {
    "Deadline Exceeded": expired,
    "Connection timed out": timed_out,
    "Received message larger than max": large_request,
    "missing 1 required positional argument": missing_argument,
    "I/O operation on closed file": closed_file,
    "Input should be ...": no_member,
    "... is ... on the server, not ...": another_type,
    **{f"remote_client.{extra} needs ...": without(extra) for extra in ("testing", "ray", "spark")},
}
"""Messages of others, or put together, and what makes somebody say them."""


def test_every_entry_has_a_message() -> None:
    assert [heading for heading in headings() if not MESSAGE.search(heading)] == []


@pytest.mark.parametrize("message", dict.fromkeys(each for each in messages() if each not in PROVOKED))
def test_the_library_has_every_message(message: str) -> None:
    assert pieces(message)
    assert [piece for piece in pieces(message) if piece not in SOURCE] == []


@pytest.mark.parametrize("message", PROVOKED)
async def test_every_other_message_is_still_said(message: str, runtime: Runtime) -> None:
    assert message in messages()
    said = await PROVOKED[message](runtime)
    assert [piece for piece in pieces(message) if piece not in said] == []
