"""Answers and their types travel between processes, and are what they were."""

from __future__ import annotations

import copy
import json
import pickle
import pickletools
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import cloudpickle
import joblib
import pytest
from pydantic import VERSION, BaseModel

from remote_client import RemoteClient
from remote_client._client.module import RemoteModuleBase
from remote_client.declare import module, taskmethod

from ..support.runtime import Runtime
from .protocols import PROTOCOLS, Protocol, target_of

ZOO: dict[str, Any] = {
    "flag": True,
    "int64": 2**62,
    "double": 0.5,
    "text": "zäöü",
    "blob": bytes(range(256)),
    "place": {"label": "Paris", "lat": 48.9, "tags": ["capital"]},
    "ints": [0, -1],
    "doubles": [0.0, 1.5],
    "places": [{"label": "x"}, {}],
    "counts": {"a": 1},
    "when": datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
    "settings": {"text": "x", "yes": True, "list": [{"deep": []}]},
    "scalar_union": "42",
    "message_union": {"name": "Ada"},
    "optional_text": "given",
    "color": 1,
}
PICKLES = range(2, pickle.HIGHEST_PROTOCOL + 1)


class Who(BaseModel):
    name: str


class Greeting(BaseModel):
    greeting: str


@module(name="SampleModule", task="SampleTask")
class Greeter(RemoteModuleBase):
    """Greets."""

    @taskmethod()
    async def run(self, sample_input: Who) -> Greeting:
        raise NotImplementedError


async def zoo(client: RemoteClient) -> Any:
    """An answer of all kinds of fields: nested, bytes, enums, unions, maps, times."""
    model: Any = await client.model("zoo")
    return await model.run_zoo(ZOO)


@pytest.mark.parametrize("number", PICKLES)
async def test_an_answer_is_the_same_again(client: RemoteClient, number: int) -> None:
    answer = await zoo(client)
    found = pickle.loads(pickle.dumps(answer, number))
    assert found == answer
    assert type(found) is type(answer)
    assert found.model_fields_set == answer.model_fields_set
    assert copy.deepcopy(answer) == answer


async def test_a_type_is_the_same_again(client: RemoteClient) -> None:
    for kind in (await client.describe()).types.values():
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert copy.deepcopy(kind) is kind


async def test_answers_of_declared_types_and_of_other_forms_travel(grpc_client: RemoteClient) -> None:
    greeter = await grpc_client.model("foo", Greeter)
    answer = await greeter.run(Who(name="World"))
    assert pickle.loads(pickle.dumps(answer)) == answer == Greeting(greeting="Hello World")
    numbers: Any = (await grpc_client.model("zoo")).with_options(output="numpy")
    arrays = await numbers.run_zoo(ZOO)
    found = pickle.loads(pickle.dumps(arrays))
    assert found.keys() == arrays.keys()
    assert pickle.loads(pickle.dumps(await numbers.with_options(output="dict").run_zoo(ZOO)))


async def test_protobuf_messages_travel(grpc_client: RemoteClient) -> None:
    model: Any = (await grpc_client.model("zoo")).with_options(output="proto")
    message = await model.run_zoo(ZOO)
    assert pickle.loads(pickle.dumps(message)) == message
    assert pickle.loads(cloudpickle.dumps(message.place)) == message.place
    script = "import pickle, sys; made = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(pickle.dumps(made))"
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(message), capture_output=True, timeout=60)
    assert not done.returncode, done.stderr.decode()
    one, other = pickle.loads(done.stdout), message  # maps have no order of their own
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


CHILD = """
import pickle, sys
made = [pickle.loads(each) for each in pickle.load(sys.stdin.buffer)]
import remote_client
one, other = made
assert one == other and type(one) is type(other), (one, other)
assert type(one).model_validate_json(one.model_dump_json()) == one
assert one.model_copy() == one
assert not {name for name in sys.modules if name.startswith("remote_client._transport")}
sys.stdout.buffer.write(pickle.dumps(one))
"""


async def test_an_answer_is_usable_where_no_server_was_ever_asked(client: RemoteClient) -> None:
    answer = await zoo(client)
    pickles = pickle.dumps([pickle.dumps(answer), cloudpickle.dumps(answer)])
    done = subprocess.run([sys.executable, "-c", CHILD], input=pickles, capture_output=True, timeout=60)
    assert not done.returncode, done.stderr.decode()
    found = pickle.loads(done.stdout)
    assert found == answer
    assert type(found) is type(answer)
    model: Any = await client.model("zoo")
    assert await model.run_zoo(found.model_copy(update={"color": None}))


async def test_a_pickle_has_what_its_types_need_once(client: RemoteClient, protocol: Protocol) -> None:
    model: Any = await client.model("foo")
    answer, rich = await model.run_sample({"name": "World"}), await zoo(client)
    alone = pickle.dumps(answer)
    assert all("SampleOutputType" in each or not each for each in names_of(alone))
    many = pickle.dumps([answer] * 3 + [await model.run_sample({"name": "x"}) for _ in range(50)])
    assert len(many) < len(alone) + 53 * 150
    assert names_of(many) == names_of(alone)
    assert len(names_of(pickle.dumps([rich, rich, answer]))) < len((await client.describe()).types)


def names_of(pickled: bytes) -> list[str]:
    """The names of the parts of schemas in a pickle, as often as they are there."""
    names, last = [], None
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE"):
            last = argument
        elif opcode.name in ("SHORT_BINBYTES", "BINBYTES") and last is not None:
            names.append(last)
            last = None
        elif opcode.name != "MEMOIZE":
            last = None
    return names


async def test_two_servers_types_are_one_where_they_are_alike(runtime: Runtime, other_runtime: Runtime) -> None:
    async with RemoteClient(runtime.target) as one, RemoteClient(other_runtime.target) as other:
        ours, theirs = (await one.describe()).types, (await other.describe()).types
        infos = [each for name, each in ours.items() if name.startswith("caikit.runtime.info.") or "ModelInfo" in name]
        assert infos
        assert all(each in theirs.values() for each in infos)


async def test_a_type_that_came_by_pickle_is_the_servers_later(runtime: Runtime) -> None:
    script = (
        "import asyncio, pickle, sys\n"
        "from remote_client import RemoteClient\n"
        "answer = pickle.load(sys.stdin.buffer)\n"
        "async def main():\n"
        "    async with RemoteClient(sys.argv[1]) as client:\n"
        "        own = await (await client.model('foo')).run_sample({'name': 'World'})\n"
        "        assert own == answer and type(own) is type(answer)\n"
        "asyncio.run(main())\n"
    )
    for protocol in PROTOCOLS:
        target = target_of(runtime, protocol)
        async with RemoteClient(target) as client:
            model: Any = await client.model("foo")
            pickled = pickle.dumps(await model.run_sample({"name": "World"}))
        done = subprocess.run([sys.executable, "-c", script, target], input=pickled, capture_output=True, timeout=60)
        assert not done.returncode, done.stderr.decode()


def named(answer: Any) -> tuple[Any, str]:
    """What a worker makes of an answer."""
    return answer, json.dumps(answer.model_dump(mode="json"))


@pytest.mark.parametrize("method", ["spawn", "fork"])
async def test_answers_go_through_a_pool(client: RemoteClient, method: str) -> None:
    answer = await zoo(client)
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        found, told = pool.submit(named, answer).result()
    assert (found, told) == named(answer)
    with get_context(method).Pool(1) as pool:
        assert pool.map(named, [answer, answer]) == [named(answer)] * 2


async def test_answers_go_through_joblib(client: RemoteClient) -> None:
    answer = await zoo(client)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(lambda each: (each, named(each)))(each) for each in [answer] * 3)
    assert found == [(answer, named(answer))] * 3


@pytest.mark.skipif(VERSION.startswith("2.11"), reason="pydantic loses the fields of classes that cloudpickle copies")
async def test_types_in_a_scripts_function_travel_by_cloudpickle(client: RemoteClient) -> None:
    kind = (await client.describe()).type("SampleInputType")

    def make(name: str) -> Any:
        return kind(name=name)

    script = (
        "import pickle, sys; made = pickle.load(sys.stdin.buffer)('World'); sys.stdout.buffer.write(pickle.dumps(made))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=cloudpickle.dumps(make), capture_output=True, timeout=60
    )
    assert not done.returncode, done.stderr.decode()
    made = pickle.loads(done.stdout)
    assert made == make("World")
    assert type(made) is kind
    model: Any = await client.model("foo")
    assert (await model.run_sample(made)).greeting == "Hello World"


async def test_a_type_goes_with_its_last_object(client: RemoteClient) -> None:
    pickled = pickle.dumps(await zoo(client))
    script = (
        "import gc, pickle, sys, weakref; from remote_client._schema import dynamic_types\n"
        "kind = weakref.ref(type(pickle.load(sys.stdin.buffer)))\n"
        "gc.collect(); assert kind() is not None\n"  # it is kept for a while
        "dynamic_types._recent.clear(); gc.collect(); assert kind() is None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=pickled, capture_output=True, timeout=60)
    assert not done.returncode, done.stderr.decode()
