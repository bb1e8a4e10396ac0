"""Of a schema on file only what is used is parsed: the types of the methods that are called, and their files."""

from __future__ import annotations

import dataclasses
import inspect
import os
import pickle
import pydoc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from remote_client import RemoteClient, ServiceDescription, sync
from remote_client._client.introspection import parse_schema
from remote_client._client.module import construct_remote_module_class
from remote_client._schema.lazy_methods import LazyRPCDescriptor, LazyTypes
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import descriptor_pools
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._stubs.writer import render
from remote_client.errors import SchemaError
from tests.support.script import python
from tests.support.stubs import imported
from tests.support.task_library import DATA, PACKAGE, task_document, task_files, task_set
from tests.support.wire_library import INFO_SERVICE, SERVICE, add_field
from tests.unit.documents import COMPLETE, DANGLING, document

T = TypeVar("T")
TASKS = 8
_SCHEMAS = count(1)


class Library(NamedTuple):
    """A library of some tasks as a schema on file, and how its server is described."""

    target: str
    schema: bytes
    at_once: Callable[[], ServiceDescription]

    def late(self) -> ServiceDescription:
        return (
            openapi.describe_file(self.schema)
            if "http:" in self.target
            else protobuf_services.describe_set(self.schema)
        )


def _told() -> ServiceDescription:
    files = FileDescriptorSet.FromString(task_set(TASKS)).file
    return protobuf_services.describe({each.name: each for each in files}, [SERVICE, INFO_SERVICE])


LIBRARIES = {
    "grpc": Library("localhost:1", task_set(TASKS), _told),
    "http": Library("http://localhost:1", task_document(TASKS), lambda: openapi.describe(task_document(TASKS))),
}
OTHERS = {
    "complete": Library("http://localhost:1", COMPLETE, lambda: openapi.describe(COMPLETE)),
    "dangling": Library("http://localhost:1", DANGLING, lambda: openapi.describe(DANGLING)),
}


@pytest.fixture(params=["grpc", "http"])
def library(request: pytest.FixtureRequest) -> Library:
    """A library with a schema of the test's own: clients share what is made of a schema for as long as it is in use."""
    found, number = LIBRARIES[request.param], next(_SCHEMAS)
    if request.param == "http":
        return found._replace(schema=found.schema.replace(b"3.1.0", b"3.1.%d" % number, 1))
    unused = FileDescriptorProto(name=f"unused{number}.proto")
    return found._replace(schema=found.schema + FileDescriptorSet(file=[unused]).SerializeToString())


def made(description: ServiceDescription) -> set[str]:
    """The types that were made so far, by their last names."""
    assert isinstance(description.types, LazyTypes)
    return {name.rpartition(".")[2] for name in description.types.made}


def types_of(library: Library, *tasks: str) -> set[str]:
    """The types of the methods that answer at once of some tasks."""
    request = "TaskRequestParameters" if "http:" in library.target else "TaskRequest"
    return {f"{task}{name}" for task in tasks for name in ("Input", "Item", "Answer", request)}


@contextmanager
def added_files() -> Iterator[list[str]]:
    """The names of the files that pools get meanwhile."""
    found: list[str] = []

    def check(file: Any) -> None:
        found.append(file.name)
        check_types(file)

    check_types = descriptor_pools.check_types
    with mock.patch.object(descriptor_pools, "check_types", check):
        yield found


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
async def test_one_call_parses_one_task(library: Library, blocking: bool) -> None:
    client: Any = (sync.RemoteClient if blocking else RemoteClient)(library.target, schema=library.schema)
    with added_files() as added:
        module, description = client.model("foo"), client.describe()
        if not blocking:
            module, description = await module, await description
        assert "run_number3" in dir(module)
        assert "Number3Task" in repr(module)
        assert not hasattr(module, "run_number33")
        assert (made(description), added) == (set(), [])

        assert module.run_number3.rpc.codec.encode("foo", ({"text": "Hi"},), {})
    assert made(description) == types_of(library, "Number3")
    own = {f"{DATA}.number3{each}.proto" for each in ("input", "item", "answer")}
    of_protobuf = {f"{PACKAGE}.number3taskrequest.proto", *own}
    assert set(added) == (set() if "http:" in library.target else of_protobuf)
    if blocking:
        client.close()
    else:
        await client.aclose()


def test_protobuf_in_python_parses_no_more() -> None:
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "one_task or same or threads or broken"]
    root = Path(__file__).parent.parent.parent
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", [*LIBRARIES, *OTHERS])
def test_a_file_is_described_as_its_server_is(name: str) -> None:
    library = (LIBRARIES | OTHERS)[name]
    late, at_once = library.late(), library.at_once()
    assert str(late) == str(at_once)
    assert dict(late.types) == dict(at_once.types)
    for both in zip(all_methods(late), all_methods(at_once), strict=True):
        mine, other = ({each.name: getattr(rpc, each.name) for each in dataclasses.fields(rpc)} for rpc in both)
        assert {**mine, "codec": None, "job": None} == {**other, "codec": None, "job": None}


def all_methods(description: ServiceDescription) -> Iterator[Any]:
    yield from description.management.values()
    yield from description.trainings.values()
    for task in description.tasks.values():
        for each in task.methods:
            yield each
            if each.job is not None:
                yield from filter(None, (each.job.status, each.job.cancel, each.job.result))


def in_threads(*functions: Callable[[], T]) -> list[T]:
    """What functions return that threads call at once."""
    begin = threading.Barrier(len(functions))
    interval = sys.getswitchinterval()

    def run(function: Callable[[], T]) -> T:
        begin.wait()
        return function()

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(functions)) as pool:
            return [*pool.map(run, functions)]
    finally:
        sys.setswitchinterval(interval)


def test_threads_get_the_same(library: Library) -> None:
    description = library.late()
    methods = [each for task in description.tasks.values() for each in task.methods]

    def forwards() -> list[Any]:
        return [each.codec for each in methods]

    def backwards() -> list[Any]:
        return [each.codec for each in reversed(methods)][::-1]

    first, *others = in_threads(forwards, backwards, forwards, backwards)
    assert all(mine is its for codecs in others for mine, its in zip(codecs, first, strict=True))
    assert made(description) == {name.rpartition(".")[2] for name in library.at_once().types} - INFO_TYPES


def test_threads_get_the_same_method(library: Library) -> None:
    with sync.RemoteClient(library.target, schema=library.schema) as client:
        module: Any = client.model("foo")
        codecs = in_threads(*[lambda: module.run_number3.rpc.codec] * 4)
        assert len({id(each) for each in codecs}) == 1
        assert made(client.describe()) == types_of(library, "Number3")


async def test_the_short_name_of_a_method_parses_no_more(library: Library) -> None:
    async with RemoteClient(library.target, schema=library.schema) as client:
        module: Any = await client.model("foo", task="Number3Task")
        assert made(await client.describe()) == set()
        assert module.run.rpc is module.run_number3.rpc
        assert made(await client.describe()) == types_of(library, "Number3")


INFO_TYPES = {"ModelInfo", "ModelInfoRequest", "ModelInfoResponse", "RuntimeInfoRequest", "RuntimeInfoResponse"}


def broken(library: Library) -> tuple[bytes, str]:
    """The library's schema with a task that cannot be used, and what is told of it."""
    if "http:" in library.target:
        own = b'"Number3Item": {"$ref": "#/components/schemas/Number3Item"}, "Number3Was"'
        return library.schema.replace(b'"Number3Item"', own, 1), "the schema Number3Item refers to itself"
    files = FileDescriptorSet.FromString(library.schema)
    (item,) = (each for each in files.file if each.name.endswith("number3item.proto"))
    item.message_type[0].field[0].name = "no name"
    return files.SerializeToString(), f"the file {item.name} is not valid: 'no name' is not a valid name"


async def test_a_broken_task_is_told_where_it_is_used(library: Library, tmp_path: Path) -> None:
    data, why = broken(library)
    path = tmp_path / "runtime.schema"
    path.write_bytes(data)
    async with RemoteClient(library.target, schema=path) as client:
        module: Any = await client.model("foo")
        for _ in range(2):
            module.run_number2.rpc.codec.decode
            with pytest.raises(SchemaError) as failure:
                module.run_number3
            assert str(failure.value) == f"{path}: Number3TaskPredict of Number3Task: {why}"
        assert callable(module.run_number4)
        assert made(await client.describe()) == types_of(library, "Number4")
        with pytest.raises(SchemaError, match="Number3TaskPredict"):
            str(await client.describe())


def test_a_class_tells_the_truth_of_methods_that_are_not_made(library: Library) -> None:
    with sync.RemoteClient(library.target, schema=library.schema) as client:
        blocking: Any = client.model("foo")
        module: Any = blocking._twin
        for each in (module, blocking):
            kind = type(each)
            assert {"run_number0", "run_number0_stream_out"} <= {*dir(kind)}
            assert inspect.iscoroutinefunction(each.run_number1) == (each is module)
            assert not inspect.iscoroutinefunction(each.run_number1_stream_out)
            (first, *_) = inspect.signature(kind.run_number2).parameters
            assert first == "self"
            assert "Number2Answer" in str(inspect.signature(each.run_number2))
            assert inspect.isfunction(inspect.getattr_static(kind, "run_number2"))
            assert "Number2Answer" in each.run_number2.__doc__
            assert "run_number7" in (kind.__doc__ or "")
            assert "run_number5(" in pydoc.plain(pydoc.render_doc(kind))
            assert kind.run_number6.__qualname__ == f"{kind.__name__}.run_number6"
            assert each.run_number6.rpc is module.run_number6.rpc


async def test_a_method_can_be_overridden_and_replaced(library: Library) -> None:
    async with RemoteClient(library.target, schema=library.schema) as client:
        module: Any = await client.model("foo")
        kind: Any = type(module)

        class Mine(kind):  # type: ignore[misc]
            def run_number0(self) -> Any:
                return super().run_number0

        mine = Mine(module.config)
        assert mine.run_number0().rpc.name == "run_number0"
        await mine.aclose()
        with mock.patch.object(kind, "run_number1", return_value="mocked"):
            assert await module.run_number1() == "mocked"
        assert module.run_number1.rpc.name == "run_number1"
        with mock.patch.object(kind, "run_number1", return_value="mocked"):
            assert await module.run_number1() == "mocked"


async def test_configurations_have_one_class_before_and_after_types_are_made(library: Library) -> None:
    async with RemoteClient(library.target, schema=library.schema) as client:
        before = type(await client.model("foo"))
        description = await client.describe()
        assert len(description.types)
        assert type(await client.model("foo")) is before
        config = (await client.model("foo")).config
        assert construct_remote_module_class(config) is before


async def test_a_pickle_of_a_model_parses_nothing(library: Library) -> None:
    async with RemoteClient(library.target, schema=library.schema) as client:
        module, description = await client.model("foo"), await client.describe()
        pickled = pickle.dumps(module)
        assert made(description) == set()
        other = pickle.loads(pickled)
        assert made(description) == set()
        assert type(other) is type(module)
        assert other.run_number3.rpc is module.run_number3.rpc  # type: ignore[attr-defined]
        await other.aclose()
        pickled = pickle.dumps(await client.model("foo"))
    assert python(UNPICKLES, pickled.hex()).splitlines() == [
        str(inspect.signature(module.run_number3)),
        "['run_number3']",
    ]


UNPICKLES = """
import inspect, pickle, sys
from remote_client._schema.lazy_methods import LazyRPCDescriptor
module = pickle.loads(bytes.fromhex(sys.argv[1]))
print(inspect.signature(module.run_number3))
methods = [each for _, rpcs in module.config.task_methods for each in rpcs]
print([each.name for each in methods if not isinstance(each, LazyRPCDescriptor)])
"""


@pytest.mark.parametrize("copied", [pickle.dumps, dataclasses.replace], ids=["pickled", "replaced"])
def test_a_method_that_is_not_made_can_be_copied(library: Library, copied: Callable[[Any], Any]) -> None:
    rpc = library.late().tasks["Number0Task"].methods[0]
    assert isinstance(rpc, LazyRPCDescriptor)
    other = copied(rpc)
    other = pickle.loads(other) if isinstance(other, bytes) else other
    assert (other.path, str(other)) == (rpc.path, str(rpc))
    assert type(rpc).__name__ == "RemoteRPCDescriptor"


def test_a_method_has_no_other_attributes(library: Library) -> None:
    rpc: Any = library.late().tasks["Number0Task"].methods[0]
    with pytest.raises(AttributeError, match="nothing"):
        rpc.nothing
    assert not hasattr(rpc, "__wrapped__")
    assert isinstance(rpc, LazyRPCDescriptor)


FORKS = """
import os, sys, threading
from remote_client._schema.protobuf import services as protobuf_services
from tests.support.task_library import task_set

description = protobuf_services.describe_set(task_set(60))
methods = [each for task in description.tasks.values() for each in task.methods]
half = threading.Event()

def make():
    for number, each in enumerate(methods):
        each.codec
        if number == 10:
            half.set()

thread = threading.Thread(target=make)
thread.start()
half.wait()
sys.setswitchinterval(1e-6)
child = os.fork()
if child == 0:
    print(len(description.types), flush=True)
    os._exit(0)
thread.join()
os.waitpid(child, 0)
print(len(description.types))
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="warns of forks beside threads")
def test_a_child_makes_types_that_its_parent_was_making() -> None:
    assert python(FORKS).split() == ["305", "305"]


# -- names of types ---------------------------------------------------------------------------------------------------


def described(change: Callable[[dict[str, FileDescriptorProto]], Any]) -> ServiceDescription:
    """A file of one task that was changed."""
    files = task_files(1)
    change(files)
    return protobuf_services.describe_set(FileDescriptorSet(file=files.values()).SerializeToString())


def service_file(files: dict[str, FileDescriptorProto]) -> FileDescriptorProto:
    *_, last = files.values()
    return last


@pytest.mark.parametrize(
    "name", ["Number0TaskRequest", "Test.Number0TaskRequest", ".caikit.runtime.Test.Number0TaskRequest"]
)
def test_a_type_is_found_by_any_of_its_names(name: str) -> None:
    def rename(files: dict[str, FileDescriptorProto]) -> None:
        service_file(files).service[0].method[0].input_type = name

    rpc = described(rename).tasks["Number0Task"].methods[0]
    assert rpc.request_dm_name == f"{PACKAGE}.Number0TaskRequest"
    assert [*rpc.signature.parameters] == ["sample_input", "size", "truncate", "language"]


def test_a_nested_type_is_found() -> None:
    def nest(files: dict[str, FileDescriptorProto]) -> None:
        file = service_file(files)
        add_field(file.message_type.add(name="Outer").nested_type.add(name="Inner"), "text", 1, "string")
        file.service[0].method[0].input_type = f".{PACKAGE}.Outer.Inner"

    rpc = described(nest).tasks["Number0Task"].methods[0]
    assert [*rpc.signature.parameters] == ["text"]


def test_a_type_of_protobuf_itself_is_found_without_its_file() -> None:
    def empty(files: dict[str, FileDescriptorProto]) -> None:
        file = service_file(files)
        file.dependency.append("google/protobuf/empty.proto")
        file.service[0].method[0].input_type = ".google.protobuf.Empty"

    assert not described(empty).tasks["Number0Task"].methods[0].signature.parameters


@pytest.mark.parametrize(
    "name", [".caikit.runtime.Test.Nothing", ".caikit.runtime.Test.Number0TaskRequest.Nothing", "Nothing"]
)
def test_a_type_that_is_missing_is_told(name: str) -> None:
    def lose(files: dict[str, FileDescriptorProto]) -> None:
        service_file(files).service[0].method[0].input_type = name

    rpc = described(lose).tasks["Number0Task"].methods[0]
    told = f"Number0TaskPredict of Number0Task: the type {name.removeprefix('.')} is not described"
    with pytest.raises(SchemaError, match=f"^{told}$"):
        rpc.codec


def test_a_file_that_is_missing_is_told() -> None:
    def lose(files: dict[str, FileDescriptorProto]) -> None:
        del files[f"{DATA}.number0item.proto"]

    rpc = described(lose).tasks["Number0Task"].methods[0]
    with pytest.raises(SchemaError, match=f"the file {DATA}.number0item.proto is not described"):
        rpc.codec


@pytest.mark.parametrize("data", [b"\x0a\x03\x0a\x01\xff", b"\x0a\x06\x32\x04\x0a\x02\xff\xfe", b"\x0a\x01\x0a"])
def test_what_is_no_set_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(SchemaError):
        protobuf_services.describe_set(data)


def test_a_document_that_lacks_types_tells_which() -> None:
    made_up = document(answer={"$ref": "#/components/schemas/Lost"})
    assert openapi.describe_file(made_up).notes == openapi.describe(made_up).notes != ()


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_class_parses_the_task_that_it_declares(library: Library, blocking: bool, tmp_path: Path) -> None:
    (tmp_path / "runtime.schema").write_bytes(library.schema)
    text = render(library.at_once(), "a server", blocking=blocking, schema="runtime.schema")
    with imported(text, tmp_path) as stubs:
        client: Any = (sync.RemoteClient if blocking else RemoteClient)(library.target)
        module = client.model("foo", stubs.Number3Task)
        config = (module if blocking else await module).config
        description = await parse_schema(config.schema)
        client.close() if blocking else await client.aclose()
    streamed = {f"ServerStreaming{each}" for each in types_of(library, "Number3") if "Request" in each}
    assert made(description) == types_of(library, "Number3") | streamed
