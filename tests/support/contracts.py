"""The `.proto` files of a small runtime, as caikit writes them, and schemas as a client that read them knows them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf.services import describe, describe_set
from remote_client._schema.rpc import ServiceDescription

FILES = {
    "data.proto": """
syntax = "proto3";
package caikit_data_model.test;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
enum Color {
  RED = 0;
  GREEN = 1;
  BLUE = 2;
}
message Place {
  string label = 1;
  double lat = 2;
}
message Input {
  string name = 1;
  int32 count = 2;
  uint32 size = 3;
  Color color = 4;
  repeated string tags = 5;
  map<string, int64> sizes = 6;
  optional int64 limit = 7;
  Input parent = 8;
  string text = 9;
  bytes data = 10;
  sint32 delta = 11;
  fixed32 hash = 12;
  google.protobuf.Timestamp at = 13;
  oneof value {
    string value_str = 14;
    Place value_place = 15;
  }
}
message Output {
  string greeting = 1;
  int64 total = 2;
  int32 small = 3;
  Color color = 4;
  repeated Place places = 5;
  string text = 6;
  bytes data = 7;
  optional int64 rank = 8;
  google.protobuf.Struct more = 9;
  Node tree = 10;
  oneof value {
    string value_str = 11;
    Place value_place = 12;
  }
}
message Node {
  string name = 1;
  repeated Node children = 2;
}
message Unused {
  string name = 1;
}
""",
    "service.proto": """
syntax = "proto3";
package caikit.runtime.Test;
import "data.proto";
import "runtime.proto";
message SampleTaskRequest {
  caikit_data_model.test.Input sample_input = 1;
  optional bool throw = 2;
  repeated string words = 3;
  int32 times = 4;
}
message OtherTaskRequest {
  string text = 1;
}
message TrainParameters {
  string rows = 1;
  optional int64 batch_size = 2;
}
message TrainRequest {
  string model_name = 1;
  TrainParameters parameters = 2;
}
service TestService {
  rpc SampleTaskPredict (SampleTaskRequest) returns (caikit_data_model.test.Output);
  rpc ServerStreamingSampleTaskPredict (SampleTaskRequest) returns (stream caikit_data_model.test.Output);
  rpc OtherTaskPredict (OtherTaskRequest) returns (caikit_data_model.test.Output);
}
service TestJobService {
  rpc OtherTaskStartPredictionJob (OtherTaskRequest) returns (caikit_data_model.runtime.Job);
  rpc OtherTaskGetPredictionJobStatus (caikit_data_model.runtime.Job) returns (caikit_data_model.runtime.JobStatus);
  rpc OtherTaskGetPredictionJobResult (caikit_data_model.runtime.Job) returns (caikit_data_model.test.Output);
  rpc OtherTaskCancelPredictionJob (caikit_data_model.runtime.Job) returns (caikit_data_model.runtime.JobStatus);
}
service TestTrainingService {
  rpc SampleTaskSampleModuleTrain (TrainRequest) returns (caikit_data_model.runtime.TrainingJob);
}
""",
    "runtime.proto": """
syntax = "proto3";
package caikit_data_model.runtime;
message Job {
  string prediction_id = 1;
}
message JobStatus {
  string state = 1;
}
message TrainingJob {
  string training_id = 1;
}
""",
    "training.proto": """
syntax = "proto3";
package caikit.runtime.training;
import "runtime.proto";
service TrainingManagement {
  rpc GetTrainingStatus (caikit_data_model.runtime.TrainingJob) returns (caikit_data_model.runtime.JobStatus);
  rpc CancelTraining (caikit_data_model.runtime.TrainingJob) returns (caikit_data_model.runtime.JobStatus);
}
""",
}
Change = tuple[str, str]
"""What stands once in one of the files, and what takes its place."""


def changed(*changes: Change) -> dict[str, str]:
    """The files with these changes."""
    files = dict(FILES)
    for before, after in changes:
        (name,) = (name for name, text in files.items() if before in text)
        assert files[name].count(before) == 1, f"{before!r} stands several times in {name}"
        files[name] = files[name].replace(before, after)
    return files


def renamed(before: str, after: str) -> dict[str, str]:
    """The files with a name replaced wherever it stands."""
    return {name: text.replace(before, after) for name, text in FILES.items()}


def set_of(files: dict[str, str]) -> bytes:
    """A `FileDescriptorSet`, made by protoc."""
    return _compiled(tuple(files.items()))


@cache
def _compiled(files: tuple[tuple[str, str], ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files:
            Path(folder, name).write_text(text)
        written = Path(folder, "set.binpb")
        own = resources.files("grpc_tools") / "_proto"
        options = [f"--proto_path={folder}", f"--proto_path={own}", "--include_imports"]
        arguments = ["protoc", *options, f"--descriptor_set_out={written}", *(name for name, _ in files)]
        assert protoc.main(arguments) == 0
        return written.read_bytes()


def described(data: bytes) -> ServiceDescription:
    """What a `FileDescriptorSet` tells, all of it: what cannot be used is told here."""
    files = {each.name: each for each in FileDescriptorSet.FromString(data).file}
    services = [f"{file.package}.{each.name}".lstrip(".") for file in files.values() for each in file.service]
    return replace(describe(files, services), source=(describe_set, data))


def described_document(data: bytes) -> ServiceDescription:
    """What an OpenAPI document tells."""
    return replace(openapi.describe(data), source=(openapi.describe, data))
