"""How a declaration and an interface disagree, in the words of the error: who told, and what may have been meant."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client._schema.declaration import declaration_of
from remote_client._schema.declared.matching import match
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf.services import describe_set
from remote_client.declare import module, taskmethod
from remote_client.errors import SchemaError
from remote_client.settings import Protocol
from tests.support.wire_schema import descriptor_set, document

OFFERED = {"grpc": describe_set(descriptor_set()), "http": openapi.describe_file(document())}


def typo(task: str) -> Any:
    @module(task=task)
    class Declared:
        @taskmethod()
        async def run(self, sample_input: Any) -> Any:
            raise NotImplementedError

        @taskmethod()
        def run_stream_out(self, sample_input: Any) -> Any:
            raise NotImplementedError

    return Declared


@module(task="SampleTask")
class Wrong:
    @taskmethod()
    async def run(self, sample_input: int, other: int) -> Any:
        raise NotImplementedError


def refusal(declared: type, protocol: Protocol, **more: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        match(declaration_of(declared), OFFERED[protocol], protocol, **more)
    return str(caught.value)


@pytest.mark.parametrize(("protocol", "task"), [("grpc", "SampelTask"), ("http", "EhcoTask")])
def test_a_task_that_is_misspelt_is_told_once_with_the_closest_name(protocol: Protocol, task: str) -> None:
    closest = {"SampelTask": "SampleTask", "EhcoTask": "EchoTask"}[task]
    told = f"Declared disagrees with the server: run, run_stream_out: the server has no task {task}"
    assert refusal(typo(task), protocol) == f"{told} (did you mean {closest}?)"


@pytest.mark.parametrize("protocol", OFFERED)
def test_an_unknown_task_is_told_once_with_the_tasks_there_are(protocol: Protocol) -> None:
    told = refusal(typo("Unheard"), protocol)
    assert told.count("has no task Unheard; it has ") == 1
    assert told.endswith(f"it has {', '.join(OFFERED[protocol].tasks)}")


@pytest.mark.parametrize("name", ["a/runtime.binpb", "the schema"])
def test_what_disagrees_with_a_schema_on_file_is_not_told_of_the_server(name: str) -> None:
    told = refusal(Wrong, "grpc", source=name)
    assert told.startswith(f"Wrong disagrees with {name}: run: ")
    assert "sample_input is SampleInputType in the schema, not int" in told
    assert "the schema knows no parameter other" in told
    assert "server" not in told
    assert "server" not in refusal(typo("Unheard"), "grpc", source=name)
