"""What a written file declares of a server with odd names is what the client calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client import RemoteClient
from remote_client._cli.main import main
from remote_client._stubs.writer import render
from remote_client.testing._caikit_files import info_files
from tests.support.http_wire import HttpWire, models
from tests.support.odd_schemas import BUSY, HARM, MEMBERS, add, add_enum, objects, operation
from tests.support.stubs import check_only_defines, imported
from tests.support.wire import WireServer
from tests.support.wire_library import INFO_SERVICE, SERVICE


def odd_file() -> FileDescriptorProto:
    """The wire server's own service, where all messages are one with odd names."""
    package, _, service = SERVICE.rpartition(".")
    file = FileDescriptorProto(name="odd.proto", package=package, syntax="proto3")
    add_enum(file, "Members", MEMBERS)
    message = file.message_type.add(name="import")
    for name in BUSY:
        add(message, name)
    add(message, "member", f"enum {package}.Members")
    method = file.service.add(name=service).method.add(name="SampleTaskPredict")
    method.input_type = method.output_type = f".{package}.import"
    return file


async def test_odd_names_over_grpc(wire: WireServer, tmp_path: Path) -> None:
    files = info_files()
    sent = {each.name: each.SerializeToString().hex() for each in (*files.values(), odd_file())}
    await wire.faults(services=[SERVICE, INFO_SERVICE], files=sent)
    async with RemoteClient(wire.info()) as client:
        description = await client.describe()
        (learned,) = description.tasks["SampleTask"].methods
        with imported(render(description, "a server"), tmp_path) as stubs:
            message = stubs.Import(**{name: f"of {name}" for name in BUSY}, member=stubs.Members.class_)
            by_attribute = {name: getattr(message, name) for name in stubs.Import.model_fields}
            data = learned.codec.encode("", (), {name: by_attribute[name] for name in learned.signature.parameters})
            assert learned.codec.decode(data, "dict") == {**{name: f"of {name}" for name in BUSY}, "member": "class"}
            await wire.faults(services=[SERVICE, INFO_SERVICE], files=sent, predict_raw=data.hex())
            module: Any = await client.model("foo", stubs.SampleTask)
            assert await module.run(**by_attribute) == message


async def test_odd_names_over_http(http_wire: HttpWire, tmp_path: Path) -> None:
    names = [*BUSY, HARM, "1", "µ_score", "μ_score", "a b"]
    kind = objects({name: {"type": "string"} for name in names}, title="Odd")
    route = f"/api/v1/task/{HARM.replace('#', '')}"
    told = {"paths": {route: operation(kind, inputs=kind), "/info/models": {"get": {}}}}
    await http_wire.faults({"GET /openapi.json": {"body": json.dumps(told)}, "GET /info/models": models("foo")})
    async with RemoteClient(http_wire.target) as client:
        description = await client.describe()
        with imported(render(description, "a server"), tmp_path) as stubs:
            (task,) = [each for name, each in vars(stubs).items() if name.endswith("Task")]
            message = stubs.Odd(**{name: f"of {name}" for name in names})
            answer = {name: f"of {name}" for name in names}
            await http_wire.faults(
                {
                    "GET /openapi.json": {"body": json.dumps(told)},
                    "GET /info/models": models("foo"),
                    f"POST {route.replace(' ', '%20')}": {"body": json.dumps(answer)},
                }
            )
            module: Any = await client.model("foo", task)
            assert json.loads(type(module).run.rpc.codec.encode("foo", (message,), {}))["inputs"] == answer
            assert await module.run(message) == message


@pytest.mark.parametrize("name", [HARM, 'a"b', "\\", "ü\u202e"])
async def test_the_command_writes_no_code(
    name: str, http_wire: HttpWire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = {"type": "array", "items": objects({"b": {"type": "integer"}}, title=name), "default": [{"b": 1}]}
    told = {"paths": {f"/task/{name}": operation(objects({"a": kind}, title="All"), inputs=kind)}}
    await http_wire.faults({"GET /openapi.json": {"body": json.dumps(told)}})
    assert await asyncio.to_thread(main, ["stubs", http_wire.target, "-o", str(tmp_path / "written.py")]) == 0
    text = (tmp_path / "written.py").read_text(encoding="utf-8")
    check_only_defines(text)
    with imported(text, tmp_path):
        assert capsys.readouterr() == ("", "")
