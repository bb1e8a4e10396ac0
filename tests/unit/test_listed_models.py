"""Models as a runtime lists them."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from remote_client import ModelInfo
from remote_client._schema.listed_models import ListedModels
from remote_client._schema.model_list_codec import ListedModelsCodec, NoModelsError
from remote_client._schema.openapi.document import default_method
from remote_client._schema.protobuf.services import describe
from remote_client._schema.rpc import RemoteRPCDescriptor
from remote_client._schema.runtime_info import read_models
from remote_client.settings import Protocol
from remote_client.testing._caikit_files import INFO_SERVICE, info_files
from tests.support.growth import calls, exponent

PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http"])


def listed(size: int) -> list[dict[str, Any]]:
    module = {"name": "Sample"}
    return [{"name": f"m{number}", "module_id": f"id{number}", "module_metadata": module} for number in range(size)]


def method(protocol: Protocol, **types: int) -> RemoteRPCDescriptor:
    """The method that lists models; over gRPC with other types of the fields of a model."""
    if protocol == "http":
        found = default_method("GetModelsInfo")
        assert found is not None
        return found
    files = info_files()
    (info,) = (each for file in files.values() for each in file.message_type if each.name == "ModelInfo")
    for field in info.field:
        field.type = FieldDescriptorProto.Type.ValueType(types.get(field.name, field.type))
    return describe(files, [INFO_SERVICE]).management["GetModelsInfo"]


def encoded(rpc: RemoteRPCDescriptor, protocol: Protocol, models: list[dict[str, Any]]) -> bytes:
    if protocol == "http":
        return json.dumps({"models": models}).encode()
    codec: Any = rpc.codec
    answer = codec._response()
    for model in models:
        json_format.ParseDict(model, answer.models.add())
    data: bytes = answer.SerializeToString()
    return data


def test_models_by_name_and_the_ids_of_their_modules() -> None:
    models = read_models([*listed(2), {"name": "bare", "module_id": None, "size": 3}])
    assert list(models) == ["m0", "m1", "bare"]
    assert models["bare"].size == 3
    assert models.module_ids == {"Sample": {"id0", "id1"}, "": {""}}


@PROTOCOLS
def test_models_are_those_that_pydantic_makes(protocol: Protocol) -> None:
    rpc = method(protocol)
    given: list[dict[str, Any]] = [
        {"name": "a", "module_id": "b", "loaded": True, "size": 5, "model_path": "p", "module_metadata": {"name": "M"}},
        {"name": "c", "metadata": {"x": [1.0, None, {"y": "z"}]}},
    ]
    models = ListedModelsCodec(rpc, protocol).decode(encoded(rpc, protocol, given), "dict")
    answer = rpc.codec.decode(encoded(rpc, protocol, given), "dict")["models"]
    expected = [ModelInfo(**{name: value for name, value in each.items() if value is not None}) for each in answer]
    assert models["c"].metadata == given[1]["metadata"]
    for mine, its in zip(models.all.values(), expected, strict=True):
        assert (mine, repr(mine), str(mine)) == (its, repr(its), str(its))
        assert mine.model_fields_set == its.model_fields_set
        assert mine.model_dump_json() == its.model_dump_json()
        assert pickle.loads(pickle.dumps(mine)) == its
        assert mine.model_copy(update={"size": 7}).size == 7


@PROTOCOLS
def test_a_model_is_made_when_it_is_asked_for(protocol: Protocol) -> None:
    rpc = method(protocol)
    models = ListedModelsCodec(rpc, protocol).decode(encoded(rpc, protocol, listed(1_000)), "dict")

    def look() -> None:
        assert "m7" in models
        assert len(models) == len([*models]) == 1_000
        assert models["m7"].module_id == "id7"

    assert calls(look) < 100
    assert models["m7"] is models["m7"]
    assert models.all["m7"] is models["m7"]


@PROTOCOLS
def test_a_list_that_stays_the_same_is_not_read_again(protocol: Protocol) -> None:
    rpc = method(protocol)
    codec = ListedModelsCodec(rpc, protocol)
    data, other = encoded(rpc, protocol, listed(1_000)), encoded(rpc, protocol, listed(999))
    models = codec.decode(data, "dict")
    assert calls(lambda: codec.decode(bytes(bytearray(data)), "dict")) < 10
    assert codec.decode(data, "dict") is models
    assert len(codec.decode(other, "dict")) == 999
    assert codec.decode(data, "dict").all == models.all


@PROTOCOLS
def test_calls_grow_with_the_number_of_models(protocol: Protocol) -> None:
    rpc = method(protocol)

    def cost(size: int) -> int:
        data = encoded(rpc, protocol, listed(size))
        return calls(lambda: ListedModelsCodec(rpc, protocol).decode(data, "dict").all)

    cost(3)
    assert exponent(cost, 50) < 1.1


def test_models_before_and_among_those_that_are_listed() -> None:
    models = read_models(listed(3))
    deployed = {name: ModelInfo(name=name, module_id="deployed") for name in ("new", "m1")}
    assert models.after({}) is models
    after = models.after(deployed)
    assert list(after) == ["new", "m1", "m0", "m2"]
    assert (after["m1"].module_id, after["new"].module_id) == ("id1", "deployed")
    assert models.with_model("m1", deployed["m1"])["m1"].module_id == "deployed"
    assert list(models.without("m1")) == ["m0", "m2"]
    assert models.without("m1").module_ids == {"Sample": {"id0", "id2"}}
    assert len(models) == 3
    with pytest.raises(KeyError):
        models["m4"]


@pytest.mark.parametrize("answer", [[None], [{}], [{"name": 1}], 5, "text", [{"name": "a", "size": "large"}]])
def test_what_is_no_list_of_models(answer: Any) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        read_models(answer)
    codec = ListedModelsCodec(method("http"), "http")
    with pytest.raises(NoModelsError, match="did not answer with models"):
        codec.decode(json.dumps({"models": answer}).encode(), "dict")


def test_what_is_no_object_at_all() -> None:
    codec = ListedModelsCodec(method("http"), "http")
    with pytest.raises(NoModelsError, match="the answer is no object, but a list"):
        codec.decode(b"[]", "dict")
    with pytest.raises(NoModelsError, match="did not answer with models: KeyError"):
        codec.decode(b"{}", "dict")


def test_models_of_other_types_are_validated() -> None:
    rpc = method("grpc", size=FieldDescriptorProto.TYPE_STRING)
    codec = ListedModelsCodec(rpc, "grpc")
    models = codec.decode(encoded(rpc, "grpc", [{"name": "a", "size": "5"}]), "dict")
    assert isinstance(models, ListedModels)
    assert models["a"].size == 5
    with pytest.raises(NoModelsError, match="size: Input should be a valid integer"):
        codec.decode(encoded(rpc, "grpc", [{"name": "a", "size": "large"}]), "dict")
