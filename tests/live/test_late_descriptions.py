"""With the sample library's schema on file a call parses its own task, on both implementations of protobuf."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remote_client import sync
from remote_client._schema.schema_file import schema_bytes

from ..support.runtime import Runtime
from ..support.script import python
from .protocols import Protocol, target_of

CALL = """
import json, sys
from unittest import mock
from google.protobuf.internal import api_implementation
from remote_client._schema.protobuf import descriptor_pools
from remote_client.sync import RemoteClient

target, schema = sys.argv[1:]
check_types, added = descriptor_pools.check_types, []
with mock.patch.object(descriptor_pools, "check_types", lambda file: (added.append(file.name), check_types(file))):
    with RemoteClient(target, schema=schema) as client:
        answer = client.model("foo").run_sample({"name": "World"})
        description = client.describe()
        made = sorted(name.rpartition(".")[2] for name in description.types.made)
        told = [api_implementation.Type(), answer.greeting, sorted(added), made, str(description)]
        print(json.dumps(told))
"""
MADE = {
    "grpc": ["SampleInputType", "SampleOutputType", "SampleTaskRequest"],
    "http": ["SampleInputType", "SampleOutputType", "SampleTaskRequestParameters"],
}
DATA = "caikit_data_model.common.sample_lib"
ADDED = {
    "grpc": [
        "caikit.runtime.SampleLib.sampletaskrequest.proto",
        f"{DATA}.sampleinputtype.proto",
        f"{DATA}.sampleoutputtype.proto",
    ],
    "http": [],
}


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_one_call_parses_one_task(
    runtime: Runtime, protocol: Protocol, implementation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = target_of(runtime, protocol)
    with sync.RemoteClient(target) as client:
        description = client.describe()
    path = tmp_path / "schema"
    path.write_bytes(schema_bytes(description))
    monkeypatch.setenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", implementation)
    told = json.loads(python(CALL, target, str(path), timeout=60))
    assert told == [implementation, "Hello World", ADDED[protocol], MADE[protocol], str(description)]
