"""What a caller of one schema meets at a gRPC server of another: every kind of change, each classed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from remote_client._schema.comparison import compare
from remote_client._schema.differences import Difference
from tests.support.contracts import FILES, changed, described, renamed, set_of

RUN = "SampleTask.run_sample"
INPUT = f"{RUN}.sample_input"
# Answers of one type are compared once, where they are met first.
ANSWER = "OtherTask.run_other()"
TRAIN = "SampleTaskSampleModuleTrain.train"
PREDICT = "rpc SampleTaskPredict (SampleTaskRequest) returns (caikit_data_model.test.Output);"
OTHER = "rpc OtherTaskPredict (OtherTaskRequest) returns (caikit_data_model.test.Output);"
MANAGEMENT = {name: text for name, text in FILES.items() if name != "training.proto"}

BREAKING, TOLD = True, False
Expected = tuple[str, bool, str]


class Case(NamedTuple):
    files: Mapping[str, str]
    expected: list[Expected]
    before: Mapping[str, str] = FILES


def case(*changes: tuple[str, str], told: list[Expected]) -> Case:
    return Case(changed(*changes), told)


def one(before: str, after: str, path: str, breaking: bool, text: str) -> Case:
    """One change, and the one difference that it makes."""
    return case((before, after), told=[(path, breaking, text)])


def proto2(fields: str) -> dict[str, str]:
    """A runtime of one task that takes and answers a message of these fields."""
    service = "service AService { rpc ATaskPredict (A) returns (A); }"
    return {"a.proto": f'syntax = "proto2"; package a; message A {{ {fields} }} {service}'}


CASES = {
    # -- methods
    "a method removed": one(OTHER, "", "OtherTask.run_other", BREAKING, "removed (RPC_NO_DELETE)"),
    "a task removed": case(
        (PREDICT, ""),
        (
            "rpc ServerStreamingSampleTaskPredict (SampleTaskRequest) returns (stream caikit_data_model.test.Output);",
            "",
        ),
        told=[("SampleTask", BREAKING, "the task was removed (RPC_NO_DELETE)")],
    ),
    "a task added": one(
        OTHER,
        f"{OTHER} rpc NewTaskPredict (OtherTaskRequest) returns (caikit_data_model.test.Output);",
        "NewTask",
        TOLD,
        "the task was added",
    ),
    "a method added": one(
        OTHER,
        f"{OTHER} rpc BidiStreamingOtherTaskPredict (stream OtherTaskRequest)"
        " returns (stream caikit_data_model.test.Output);",
        "OtherTask.run_other_bidi_stream",
        TOLD,
        "added",
    ),
    "a service moved": Case(
        renamed("caikit.runtime.Test", "caikit.runtime.New"),
        [
            (
                "OtherTask",
                BREAKING,
                "the task moved to /caikit.runtime.New.TestService/OtherTaskPredict (RPC_NO_DELETE)",
            ),
            ("SampleTask", BREAKING, "the task moved to /caikit.runtime.New.TestService/SampleTaskPredict"),
            (TRAIN, BREAKING, "moved to /caikit.runtime.New.TestTrainingService/SampleTaskSampleModuleTrain"),
        ],
    ),
    "streamed answers where there was one": one(
        PREDICT,
        PREDICT.replace("returns (", "returns (stream "),
        RUN,
        BREAKING,
        "server streaming began (RPC_SAME_SERVER_STREAMING)",
    ),
    "one answer where they were streamed": one(
        "(SampleTaskRequest) returns (stream ",
        "(SampleTaskRequest) returns (",
        "SampleTask.run_sample_stream_out",
        BREAKING,
        "server streaming ended (RPC_SAME_SERVER_STREAMING)",
    ),
    "a streamed request where there was one": one(
        OTHER,
        OTHER.replace("(OtherTaskRequest)", "(stream OtherTaskRequest)"),
        "OtherTask.run_other",
        BREAKING,
        "client streaming began (RPC_SAME_CLIENT_STREAMING)",
    ),
    "another type of request": one(
        PREDICT, PREDICT.replace("SampleTaskR", "OtherTaskR"), RUN, BREAKING, "(RPC_SAME_REQUEST_TYPE)"
    ),
    "another type of answer": one(
        PREDICT, PREDICT.replace("test.Output", "test.Node"), f"{RUN}()", BREAKING, "(RPC_SAME_RESPONSE_TYPE)"
    ),
    "a job's method removed": one(
        "  rpc OtherTaskCancelPredictionJob (caikit_data_model.runtime.Job)"
        " returns (caikit_data_model.runtime.JobStatus);\n",
        "",
        "OtherTask.start_other_job().cancel",
        BREAKING,
        "removed (RPC_NO_DELETE)",
    ),
    "a training removed": one(
        "  rpc SampleTaskSampleModuleTrain (TrainRequest) returns (caikit_data_model.runtime.TrainingJob);\n",
        "",
        TRAIN,
        BREAKING,
        "removed (RPC_NO_DELETE)",
    ),
    "a runtime's own method removed": one(
        "  rpc CancelTraining (caikit_data_model.runtime.TrainingJob) returns (caikit_data_model.runtime.JobStatus);\n",
        "",
        "CancelTraining",
        BREAKING,
        "removed (RPC_NO_DELETE)",
    ),
    "the runtime's own methods added": Case(
        FILES,
        [(TRAIN, TOLD, "added"), ("GetTrainingStatus", TOLD, "added"), ("CancelTraining", TOLD, "added")],
        MANAGEMENT,
    ),
    # -- parameters
    "a parameter removed": one(
        "  optional bool throw = 2;\n", "", f"{RUN}.throw", BREAKING, "removed (FIELD_NO_DELETE)"
    ),
    "an optional parameter added": one(
        "int32 times = 4;", "int32 times = 4; optional string more = 5;", f"{RUN}.more", TOLD, "added"
    ),
    "a list added as a parameter": one(
        "int32 times = 4;", "int32 times = 4; repeated string more = 5;", f"{RUN}.more", TOLD, "added"
    ),
    "a union added as a parameter": one(
        "int32 times = 4;", "int32 times = 4; oneof more { string a = 5; int32 b = 6; }", f"{RUN}.more", TOLD, "added"
    ),
    "a required parameter added": one(
        "int32 times = 4;", "int32 times = 4; string more = 5;", f"{RUN}.more", BREAKING, "a new required parameter"
    ),
    "an optional parameter required": one(
        "optional bool throw = 2;", "bool throw = 2;", f"{RUN}.throw", BREAKING, "required now"
    ),
    "a required parameter optional": one(
        "int32 times = 4;", "optional int32 times = 4;", f"{RUN}.times", TOLD, "optional now"
    ),
    "a training's parameter removed": one(
        "  optional int64 batch_size = 2;\n", "", f"{TRAIN}.batch_size", BREAKING, "removed (FIELD_NO_DELETE)"
    ),
    "a required parameter of a training added": one(
        "optional int64 batch_size = 2;",
        "optional int64 batch_size = 2; string more = 3;",
        f"{TRAIN}.more",
        BREAKING,
        "a new required parameter",
    ),
    "a field added around a training's parameters": one(
        "TrainParameters parameters = 2;",
        "TrainParameters parameters = 2; string output_path = 3;",
        f"{TRAIN}.output_path",
        TOLD,
        "added",
    ),
    # -- fields
    "a field of a request removed": one(
        "  string name = 1;\n  int32 count", "  int32 count", f"{INPUT}.name", BREAKING, "removed (FIELD_NO_DELETE)"
    ),
    "a field of an answer removed": one(
        "  string greeting = 1;\n", "", f"{ANSWER}.greeting", BREAKING, "removed (FIELD_NO_DELETE)"
    ),
    "a field of an answer added": one(
        "string greeting = 1;", "string greeting = 1; string new = 99;", f"{ANSWER}.new", TOLD, "added"
    ),
    "a field inside of a request added": one(
        "int32 count = 2;", "int32 count = 2; string more = 99;", f"{INPUT}.more", TOLD, "added"
    ),
    "another number": one(
        "string greeting = 1;",
        "string greeting = 99;",
        f"{ANSWER}.greeting",
        BREAKING,
        "number changed from 1 to 99 (FIELD_NO_DELETE)",
    ),
    "two numbers swapped": case(
        ("int32 count = 2;", "int32 count = 3;"),
        ("uint32 size = 3;", "uint32 size = 2;"),
        told=[
            (f"{INPUT}.count", BREAKING, "number changed from 2 to 3"),
            (f"{INPUT}.size", BREAKING, "number changed from 3 to 2"),
        ],
    ),
    "a field renamed": one(
        "string greeting = 1;",
        "string salute = 1;",
        f"{ANSWER}.greeting",
        TOLD,
        "renamed to salute, with the same number",
    ),
    "a number that another field has now": one(
        "string greeting = 1;",
        "int32 salutes = 1;",
        f"{ANSWER}.greeting",
        BREAKING,
        "removed: salutes, of another type, has its number (FIELD_NO_DELETE)",
    ),
    "a field added under the number of one that moved": case(
        ("string greeting = 1;", "string greeting = 98; string new = 1;"),
        told=[(f"{ANSWER}.greeting", BREAKING, "number changed from 1 to 98"), (f"{ANSWER}.new", TOLD, "added")],
    ),
    "another scalar type": one(
        "string greeting = 1;",
        "double greeting = 1;",
        f"{ANSWER}.greeting",
        BREAKING,
        "type changed from string to double (FIELD_WIRE_COMPATIBLE_TYPE)",
    ),
    "a message where a scalar was": one(
        "string greeting = 1;",
        "Place greeting = 1;",
        f"{ANSWER}.greeting",
        BREAKING,
        "type changed from string to caikit_data_model.test.Place (FIELD_WIRE_COMPATIBLE_TYPE)",
    ),
    "an enum where a number was": one(
        "int32 small = 3;", "Color small = 3;", f"{ANSWER}.small", BREAKING, "(FIELD_WIRE_COMPATIBLE_TYPE)"
    ),
    "an integer of a request wider": one(
        "int32 count = 2;", "int64 count = 2;", f"{INPUT}.count", TOLD, "from int32 to int64: all values fit"
    ),
    "an unsigned integer of a request wider": one(
        "uint32 size = 3;", "int64 size = 3;", f"{INPUT}.size", TOLD, "from uint32 to int64: all values fit"
    ),
    "an integer of a request without its sign": one(
        "int32 count = 2;", "uint64 count = 2;", f"{INPUT}.count", BREAKING, "from int32 to uint64"
    ),
    "an integer of a request narrower": one(
        "optional int64 limit = 7;", "optional int32 limit = 7;", f"{INPUT}.limit", BREAKING, "from int64 to int32"
    ),
    "an integer of an answer wider": one(
        "int32 small = 3;", "int64 small = 3;", f"{ANSWER}.small", BREAKING, "from int32 to int64"
    ),
    "an integer of an answer narrower": one(
        "int64 total = 2;", "int32 total = 2;", f"{ANSWER}.total", TOLD, "from int64 to int32: all values fit"
    ),
    "an integer encoded otherwise": one(
        "sint32 delta = 11;", "int32 delta = 11;", f"{INPUT}.delta", BREAKING, "from sint32 to int32"
    ),
    "a fixed integer with a sign": one(
        "fixed32 hash = 12;", "sfixed32 hash = 12;", f"{INPUT}.hash", BREAKING, "from fixed32 to sfixed32"
    ),
    "bytes where text was sent": one(
        "string text = 9;", "bytes text = 9;", f"{INPUT}.text", TOLD, "from string to bytes: all values fit"
    ),
    "bytes where text was answered": one(
        "string text = 6;", "bytes text = 6;", f"{ANSWER}.text", BREAKING, "from string to bytes"
    ),
    "text where bytes were sent": one(
        "bytes data = 10;", "string data = 10;", f"{INPUT}.data", BREAKING, "from bytes to string"
    ),
    "a list where a value was": one(
        "string greeting = 1;",
        "repeated string greeting = 1;",
        f"{ANSWER}.greeting",
        BREAKING,
        "a list now (FIELD_WIRE_COMPATIBLE_CARDINALITY)",
    ),
    "a value where a list was": one(
        "repeated string words = 3;",
        "string words = 3;",
        f"{RUN}.words",
        BREAKING,
        "no longer a list (FIELD_WIRE_COMPATIBLE_CARDINALITY)",
    ),
    "another type of a map's values": one(
        "map<string, int64> sizes = 6;",
        "map<string, string> sizes = 6;",
        f"{INPUT}.sizes.value",
        BREAKING,
        "type changed from int64 to string",
    ),
    "an answer's field that no longer knows unset": one(
        "optional int64 rank = 8;", "int64 rank = 8;", f"{ANSWER}.rank", TOLD, "unset and zero are the same now"
    ),
    "an answer's field that knows unset": one(
        "int64 total = 2;", "optional int64 total = 2;", f"{ANSWER}.total", TOLD, "unset and zero are distinct now"
    ),
    # -- unions
    "a member of a union removed": one(
        "    string value_str = 14;\n", "", f"{INPUT}.value", BREAKING, "the union's value_str removed"
    ),
    "a member of a request's union added": one(
        "string value_str = 14;",
        "string value_str = 14; int64 value_int = 99;",
        f"{INPUT}.value",
        TOLD,
        "the union has value_int too",
    ),
    "a member of an answer's union added": one(
        "string value_str = 11;",
        "string value_str = 11; int64 value_int = 99;",
        f"{ANSWER}.value",
        TOLD,
        "the union has value_int too: callers of the schema read it as unset",
    ),
    "a union renamed": one(
        "oneof value {\n    string value_str = 14;",
        "oneof other {\n    string value_str = 14;",
        f"{INPUT}.value",
        TOLD,
        "the union was renamed to other, with the same numbers",
    ),
    "a field moved into a union": case(
        ("  string text = 9;\n", ""),
        ("string value_str = 14;", "string value_str = 14; string text = 9;"),
        told=[(f"{INPUT}.text", BREAKING, "moved into the union value (FIELD_SAME_ONEOF)")],
    ),
    "a field moved out of a union": case(
        ("    string value_str = 14;\n", ""),
        ("string text = 9;", "string text = 9; string value_str = 14;"),
        told=[(f"{INPUT}.value", BREAKING, "the union's value_str moved out of its union (FIELD_SAME_ONEOF)")],
    ),
    # -- enums
    "an enum's value removed": case(
        ("  BLUE = 2;\n", ""),
        told=[
            (f"{ANSWER}.color", BREAKING, "the value BLUE (2) was removed (ENUM_VALUE_NO_DELETE)"),
            (f"{INPUT}.color", BREAKING, "the value BLUE (2) was removed (ENUM_VALUE_NO_DELETE)"),
        ],
    ),
    "an enum's value added": case(
        ("  BLUE = 2;\n", "  BLUE = 2;\n  PINK = 3;\n"),
        told=[
            (f"{ANSWER}.color", TOLD, "the value PINK (3) was added"),
            (f"{INPUT}.color", TOLD, "the value PINK (3) was added"),
        ],
    ),
    "an enum's value renamed": case(
        ("  BLUE = 2;\n", "  NAVY = 2;\n"),
        told=[
            (f"{ANSWER}.color", TOLD, "the value BLUE was renamed to NAVY, with the same number"),
            (f"{INPUT}.color", TOLD, "the value BLUE was renamed to NAVY, with the same number"),
        ],
    ),
    "an enum's value with another number": case(
        ("  BLUE = 2;\n", "  BLUE = 3;\n"),
        told=[
            (f"{ANSWER}.color", BREAKING, "the number of BLUE changed from 2 to 3 (ENUM_VALUE_NO_DELETE)"),
            (f"{INPUT}.color", BREAKING, "the number of BLUE changed from 2 to 3 (ENUM_VALUE_NO_DELETE)"),
        ],
    ),
    # -- types
    "a type renamed": Case(
        renamed("Place", "Site"),
        [
            (f"{ANSWER}.places", TOLD, "became caikit_data_model.test.Site, which is the same on the wire"),
            (f"{INPUT}.value", TOLD, "became caikit_data_model.test.Site, which is the same on the wire"),
        ],
    ),
    "a package of types renamed": Case(
        renamed("caikit_data_model.test", "caikit_data_model.new"),
        [
            (ANSWER, TOLD, "caikit_data_model.new.Output, which is the same on the wire"),
            *((f"{ANSWER}.{each}", TOLD, "same on the wire") for each in ("color", "places", "tree")),
            (INPUT, TOLD, "caikit_data_model.new.Input, which is the same on the wire"),
            *((f"{INPUT}.{each}", TOLD, "same on the wire") for each in ("color", "value")),
        ],
    ),
    "a type renamed and changed": Case(
        {
            name: text.replace("Node", "Leaf")
            for name, text in changed(("string name = 1;\n  repeated", "repeated")).items()
        },
        [(f"{ANSWER}.tree", BREAKING, "became caikit_data_model.test.Leaf, which is another one")],
    ),
    "another type of protobuf's own, of the same fields": case(
        (
            'import "google/protobuf/struct.proto";',
            'import "google/protobuf/struct.proto"; import "google/protobuf/duration.proto";',
        ),
        ("google.protobuf.Timestamp at = 13;", "google.protobuf.Duration at = 13;"),
        told=[
            (
                f"{INPUT}.at",
                BREAKING,
                "became google.protobuf.Duration, which is another one (FIELD_WIRE_COMPATIBLE_TYPE)",
            )
        ],
    ),
    "a circular type": one(
        "repeated Node children = 2;", "repeated Node children = 3;", f"{ANSWER}.tree.children", BREAKING, "from 2 to 3"
    ),
    # -- proto2
    "a required field added to a request": Case(
        proto2("required string name = 1; required string more = 3;"),
        [("ATask.run_a.more", BREAKING, "a new required parameter"), ("ATask.run_a().more", TOLD, "added")],
        proto2("required string name = 1;"),
    ),
    "a field no longer required": Case(
        proto2("optional string name = 1;"),
        [
            (f"ATask.run_a{each}.name", BREAKING, "no longer required (MESSAGE_SAME_REQUIRED_FIELDS)")
            for each in ("", "()")
        ],
        proto2("required string name = 1;"),
    ),
    "another default": Case(
        proto2("optional int32 count = 1 [default = 2];"),
        [(f"ATask.run_a{each}.count", BREAKING, "another default (FIELD_SAME_DEFAULT)") for each in ("", "()")],
        proto2("optional int32 count = 1 [default = 1];"),
    ),
    "a default that is not equal to itself": Case(
        proto2("optional double size = 1 [default = nan];"), [], proto2("optional double size = 1 [default = nan];")
    ),
    "what no method can reach": Case(changed(("message Unused {\n  string name = 1;\n}", "")), []),
    "a type of the same form elsewhere": Case(
        {**FILES, "more.proto": 'syntax = "proto3"; message More { string name = 1; }'}, []
    ),
}


def found(case: Case) -> list[Difference]:
    return compare(described(set_of(dict(case.before))), described(set_of(dict(case.files))))


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_classed(name: str) -> None:
    told = found(CASES[name])
    assert [(each.path, each.breaking) for each in told] == [each[:2] for each in CASES[name].expected], told
    for each, (_, _, text) in zip(told, CASES[name].expected, strict=True):
        assert text in each.text


def many_tasks(number: int, fields: str) -> dict[str, str]:
    """A runtime of tasks that take and answer one message each, and share a type inside of it."""
    tasks = [f"A{each:02}" for each in range(number)]
    messages = "".join(f"message {each} {{ Inner inner = 1; }} " for each in tasks)
    methods = "".join(f"rpc {each}TaskPredict ({each}) returns ({each}); " for each in tasks)
    shared = f"message Inner {{ Shared shared = 1; Inner inner = 2; }} message Shared {{ {fields} }} "
    return {"a.proto": f'syntax = "proto3"; package a; {shared} {messages} service AService {{ {methods} }}'}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("string greeting = 1;", "string greeting = 19;"),
            "number changed from 1 to 19 (FIELD_NO_DELETE); also in SampleTask.run_sample(), 1 more",
        ),
        (("  optional bool throw = 2;\n", ""), "removed (FIELD_NO_DELETE); also in SampleTask.run_sample_stream_out"),
        ((OTHER, ""), "removed (RPC_NO_DELETE)"),
    ],
)
def test_what_methods_share_is_told_with_all_of_them(change: tuple[str, str], told: str) -> None:
    assert [each.text for each in found(case(change, told=[]))] == [told]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (1, ""),
        (3, "; also in A01Task.run_a01(), A02Task.run_a02()"),
        (12, "; also in " + ", ".join(f"A{each:02}Task.run_a{each:02}()" for each in range(1, 9)) + ", 3 more"),
        (90, "; also in " + ", ".join(f"A{each:02}Task.run_a{each:02}()" for each in range(1, 9)) + " and many more"),
    ],
)
def test_of_many_methods_the_first_are_named(number: int, told: str) -> None:
    before, after = many_tasks(number, "string name = 1;"), many_tasks(number, "string name = 1; int32 more = 2;")
    assert Difference("A00Task.run_a00().inner.shared.more", TOLD, f"added{told}") in found(Case(after, [], before))
