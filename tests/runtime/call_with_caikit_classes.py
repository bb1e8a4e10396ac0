"""caikit's module classes as references and its data objects in and out; run where caikit and the client both are.

Usage: python call_with_caikit_classes.py GRPC_PORT HTTP_PORT LIBRARY. caikit is configured with the library, from which it
makes services. Prints what was checked; ends with an error otherwise.
"""

import asyncio
import datetime
import sys

from remote_client import ConnectionInfo, RemoteClient, RemoteModelInitializer, RemoteModuleConfig
from remote_client.errors import ConfigurationError, InputError, UnsupportedError

assert "caikit" not in sys.modules, "the client imported caikit by itself"
SAMPLE_ID = "00110203-0405-0607-0809-0a0b02dd0e0f"
connections = {
    protocol: ConnectionInfo(hostname="localhost", port=int(port))
    for protocol, port in zip(("grpc", "http"), sys.argv[1:])
}


def loaded(reference, protocol, model):
    config = RemoteModuleConfig.load_from_module(reference, connections[protocol], protocol, "mm-model-id", model)
    return RemoteModelInitializer().init(config)


try:
    loaded(SAMPLE_ID, "grpc", "foo")
except ConfigurationError:
    print("no module is known by its id before caikit is imported")

import caikit
import sample_lib.modules as modules
from caikit.interfaces.common.data_model import File
from caikit.interfaces.common.data_model.primitive_sequences import IntSequence
from sample_lib.data_model import Color, Place, SampleInputType, SampleOutputType, Zoo

caikit.configure(config_dict={"runtime": {"library": sys.argv[3]}})
ZOO = Zoo(
    flag=True,
    int64=2**60,
    double=0.5,
    text="t",
    blob=b"\x00\xff",
    color=Color.BLUE,
    place=Place("here", 1.5, 2.5, ["a"]),
    ints=[1, 2],
    doubles=[0.5],
    texts=["a"],
    flags=[True, False],
    places=[Place("there", 3.0, 4.0, [])],
    counts={"a": 1},
    names_by_number={1: "one"},
    places_by_name={"p": Place("q", 0.0, 1.0, ["x"])},
    when=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    settings={"a": "b", "c": 1.5},
    scalar_union=5,
    message_union=Place("m", 1.0, 2.0, ["z"]),
    sequence_union=IntSequence(values=[4, 5]),
    optional_text="o",
    attachment=File(filename="f.txt", data=b"file", type="text/plain"),
)
SAME = [
    "flag", "int64", "double", "text", "blob", "ints", "doubles", "texts", "flags", "counts",
    "scalar_union", "optional_text",
]  # fmt: skip


async def sample(protocol):
    for reference in (SAMPLE_ID, modules.SampleModule, modules.SampleModule()):
        async with loaded(reference, protocol, "foo") as model:
            answer = await model.run(SampleInputType("World"))
            assert answer.greeting == "Hello World", answer
            caikit = model.with_options(output="caikit")
            answer = await caikit.run(sample_input=SampleInputType("World"), throw=False)
            assert isinstance(answer, SampleOutputType), answer
            assert answer.greeting == "Hello World"
            items = [item async for item in caikit.run_stream_out(SampleInputType("W"), count=2)]
            assert await caikit.run_stream_out(SampleInputType("W"), count=2).text() == "Hello W 0Hello W 1"
            event = await anext(caikit.run_stream_out(SampleInputType("W"), count=1).sse())
            assert event == b'data: {"greeting":"Hello W 0"}\n\n'
            assert [type(item) for item in items] == [SampleOutputType] * 2
            assert [item.greeting for item in items] == ["Hello W 0", "Hello W 1"]
            assert (await model.run({"name": "mapping"})).greeting == "Hello mapping"
            try:
                model.run(SampleInputType("World"), thorw=True)
            except InputError as error:
                assert "thorw" in str(error)
            else:
                raise AssertionError("a wrong name was taken")
            if protocol == "grpc":
                people = [SampleInputType("a"), SampleInputType("b")]
                assert (await caikit.run_stream_in(people, greeting="Hi ")).greeting == "Hi a,b"
                assert [item.greeting async for item in caikit.run_bidi_stream(people)] == ["Hello a", "Hello b"]
            training = await model.train([SampleInputType("a")], [1, 2], batch_size=0)
            trained = await training.model()
            assert (await trained.run(SampleInputType("World"))).greeting == "Hello World"
    print(protocol, "a class, an instance and an id; data objects in and out; a training")


async def zoo(protocol):
    if protocol == "http":
        ZOO.places_by_name = {}  # the runtime cannot answer with a map of messages
    async with loaded(modules.ZooModule, protocol, "zoo") as model:
        for answer in (
            await model.with_options(output="caikit").run(ZOO),
            [item async for item in model.with_options(output="caikit").run_stream_out(ZOO, count=1)][0],
        ):
            assert isinstance(answer, Zoo)
            for name in SAME:
                assert getattr(answer, name) == getattr(ZOO, name), (name, getattr(answer, name))
            assert answer.when.replace(tzinfo=datetime.timezone.utc) == ZOO.when  # caikit's own drop the time zone
            assert answer.color in (Color.BLUE, "BLUE", 7), answer.color
            assert isinstance(answer.place, Place) and answer.place.tags == ["a"]
            assert isinstance(answer.message_union, Place) and answer.message_union.label == "m"
            assert list(getattr(answer.sequence_union, "values", answer.sequence_union)) == [4, 5]
            assert answer.places[0].label == "there"
            assert protocol == "http" or answer.places_by_name["p"].tags == ["x"]
            assert (answer.attachment.filename, answer.attachment.data) == ("f.txt", b"file")
        answer = await model.run(ZOO)
        assert type(answer).__name__ == "Zoo" and type(answer) is not Zoo
        assert (answer.int64, answer.blob, answer.place.label) == (2**60, b"\x00\xff", "here")
    print(protocol, "every type there and back")


async def others(protocol):
    for name, module in (("prefix", modules.PrefixModule), ("pair", modules.PairModule)):
        async with loaded(module, protocol, name) as model:
            if name == "prefix":
                assert (await model.run_streaming("a")).greeting and (await model.run_bidi("a")).greeting
            else:
                assert "here" in (await model.run("a", Place("here", 1.0, 2.0, []))).received
    target = f"localhost:{sys.argv[1]}" if protocol == "grpc" else f"http://localhost:{sys.argv[2]}"
    async with RemoteClient(target) as client:
        model = await client.model("foo", modules.SampleModule)
        assert (await model.with_options(output="caikit").run(SampleInputType("World"))).greeting == "Hello World"
        try:
            (await client.model("foo")).with_options(output="caikit")
        except UnsupportedError:
            pass
        else:
            raise AssertionError("a module of no caikit class gave data objects")
    print(protocol, "modules of several tasks and several inputs; a class given to a client")


for each in ("grpc", "http"):
    for check in (sample, zoo, others):
        asyncio.run(check(each))
