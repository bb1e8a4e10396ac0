"""The file descriptors that all caikit runtimes share: information, jobs, trainings, deployments and common types."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from ._builder import add_field, add_map, new_file

COMMON = "caikit_data_model.common"
RUNTIME = "caikit_data_model.runtime"
INFO = "caikit_data_model.common.runtime"
INFO_SERVICE = "caikit.runtime.info.InfoService"
STRUCT, TIMESTAMP = "google/protobuf/struct.proto", "google/protobuf/timestamp.proto"
SEQUENCES = {"str": "StrSequence", "int": "IntSequence", "float": "FloatSequence", "bool": "BoolSequence"}
"""The type of a list's items -> the message that wraps such a list in a union."""

_JOB_STATUS = f"enum {COMMON}.JobStatus"
_STATUS = (
    f"state {_JOB_STATUS}",
    "submission_timestamp google.protobuf.Timestamp",
    "completion_timestamp google.protobuf.Timestamp",
    "reasons repeated string",
)
_MESSAGES: dict[str, dict[str, tuple[str, ...]]] = {
    COMMON: {
        "StrSequence": ("values repeated string",),
        "IntSequence": ("values repeated int64",),
        "FloatSequence": ("values repeated double",),
        "BoolSequence": ("values repeated bool",),
        "File": ("data bytes", "filename string", "type string"),
        "FileReference": ("filename string",),
        "ListOfFileReferences": ("files repeated string",),
        "Directory": ("dirname string", "extension string"),
        "S3Path": ("path string", "endpoint string", "region string", "bucket string"),
    },
    INFO: {
        "ModelInfo": (
            "model_path string",
            "name string",
            "size int64",
            "metadata google.protobuf.Struct",
            "loaded bool",
            "module_id string",
            "module_metadata map string",
        ),
        "ModelInfoRequest": ("model_ids repeated string",),
        "ModelInfoResponse": (f"models repeated {INFO}.ModelInfo",),
        "RuntimeInfoRequest": (),
        "RuntimeInfoResponse": ("runtime_version string", "python_packages map string"),
    },
    RUNTIME: {
        "DeployModelRequest": ("model_id string", f"model_files repeated {COMMON}.File"),
        "UndeployModelRequest": ("model_id string",),
        "PredictionJob": ("prediction_id string",),
        "PredictionJobInfoRequest": ("prediction_id string",),
        "PredictionJobStatusResponse": ("prediction_id string", *_STATUS),
        "TrainingJob": ("training_id string", "model_name string"),
        "TrainingInfoRequest": ("training_id string",),
        "TrainingStatusResponse": ("training_id string", *_STATUS),
    },
}
"""Package -> message -> its fields: the name, `repeated` or `map` (from strings), and the kind, see `add_field`."""
_JOB_STATES = ("PLACEHOLDER_UNSET", "QUEUED", "RUNNING", "COMPLETED", "CANCELED", "ERRORED")
_SERVICES: dict[str, dict[str, tuple[str, str]]] = {
    INFO_SERVICE: {
        "GetRuntimeInfo": (f"{INFO}.RuntimeInfoRequest", f"{INFO}.RuntimeInfoResponse"),
        "GetModelsInfo": (f"{INFO}.ModelInfoRequest", f"{INFO}.ModelInfoResponse"),
    },
    "caikit.runtime.models.ModelManagement": {
        "DeployModel": (f"{RUNTIME}.DeployModelRequest", f"{INFO}.ModelInfo"),
        "UndeployModel": (f"{RUNTIME}.UndeployModelRequest", f"{RUNTIME}.UndeployModelRequest"),
    },
    "caikit.runtime.training.TrainingManagement": {
        "GetTrainingStatus": (f"{RUNTIME}.TrainingInfoRequest", f"{RUNTIME}.TrainingStatusResponse"),
        "CancelTraining": (f"{RUNTIME}.TrainingInfoRequest", f"{RUNTIME}.TrainingStatusResponse"),
    },
}
_DEPENDENCIES = {COMMON: (), INFO: (STRUCT,), RUNTIME: (f"{COMMON}.proto", TIMESTAMP)}


def info_files() -> dict[str, FileDescriptorProto]:
    """Return the files of `InfoService` by name."""
    return {file.name: file for file in (_messages(INFO), _service(INFO_SERVICE))}


def caikit_files() -> dict[str, FileDescriptorProto]:
    """Return all files by name."""
    files = [_messages(package) for package in _MESSAGES]
    common = next(file for file in files if file.package == COMMON)
    states = common.enum_type.add(name="JobStatus")
    for number, state in enumerate(_JOB_STATES):
        states.value.add(name=state, number=number)
    files += map(_service, _SERVICES)
    return {file.name: file for file in files}


def _messages(package: str) -> FileDescriptorProto:
    file = new_file(f"{package}.proto", package, _DEPENDENCIES[package])
    for name, fields in _MESSAGES[package].items():
        message = file.message_type.add(name=name)
        for field in fields:
            attribute, _, kind = field.partition(" ")
            if kind.startswith("map "):
                add_map(message, f"{package}.{name}", attribute, "string", kind.removeprefix("map "))
            else:
                add_field(message, attribute, kind.removeprefix("repeated "), repeated=kind.startswith("repeated "))
    return file


def _service(full_name: str) -> FileDescriptorProto:
    package, _, name = full_name.rpartition(".")
    methods = _SERVICES[full_name]
    packages = {kind.rpartition(".")[0] for types in methods.values() for kind in types}
    file = new_file(f"{name.lower()}.proto", package, [f"{used}.proto" for used in sorted(packages)])
    service = file.service.add(name=name)
    for method, (request, answer) in methods.items():
        service.method.add(name=method, input_type=f".{request}", output_type=f".{answer}")
    return file
