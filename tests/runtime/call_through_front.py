"""Calls with caikit's classes through a front; run where caikit and the client both are.

Usage: python call_through_front.py KIND PROTOCOL PORT CHECK CONFIGURATION. KIND is `asyncio` or `blocking`, CHECK a
function of this file, CONFIGURATION what caikit is configured with, as JSON. Prints what the check returns, as JSON.
"""

import asyncio
import inspect
import json
import logging
import pickle
import sys
from collections import Counter

import caikit
import sample_lib.modules as modules
from caikit.runtime.service_factory import ServicePackageFactory
from sample_lib.data_model import SampleInputType, SampleOutputType

import remote_client
from remote_client import ConnectionInfo, sync
from remote_client._schema.declared import caikit_services
from remote_client.errors import RemoteClientError

KIND, PROTOCOL, PORT, CHECK, CONFIGURATION = sys.argv[1:]
caikit.configure(config_dict=json.loads(CONFIGURATION))
api = sync if KIND == "blocking" else remote_client
place = {"hostname": "127.0.0.1", "port": int(PORT)}
known = {"connection": place, "protocol": PROTOCOL, "supported_models": {"foo": modules.SampleModule.MODULE_ID}}
WORLD = SampleInputType("World")
opened = []


async def got(value):
    """The value, of either client."""
    return await value if inspect.isawaitable(value) else value


async def items(stream):
    """All items of a stream, of either client."""
    return [each async for each in stream] if hasattr(stream, "__aiter__") else list(stream)


def kept(made):
    opened.append(made)
    return made


def client(**more):
    return kept(api.RemoteClient(ConnectionInfo(**place), protocol=PROTOCOL, **more))


def loaded(reference):
    config = api.RemoteModuleConfig.load_from_module(reference, ConnectionInfo(**place), PROTOCOL, "mm-model-id", "foo")
    return kept(api.RemoteModelInitializer().init(config))


async def found(**more):
    finder = kept(api.RemoteModelFinder(known | more))
    return kept(api.RemoteModelInitializer().init(await got(finder.find_model("foo"))))


def configured():
    finder = {"type": "REMOTE", "config": known}
    return kept(api.RemoteClient.from_config({"finders": {"front": finder}}))


async def of_classes():
    """Modules of the model `foo`, in each way that takes one of caikit's classes."""
    module = modules.SampleModule
    yield await got(client().model("foo", task=module))
    yield kept(pickle.loads(pickle.dumps(await got(client().model("foo", module)))))
    yield await got(kept(pickle.loads(pickle.dumps(client()))).model("foo", module))
    yield kept(pickle.loads(pickle.dumps(loaded(module))))
    for reference in (module, module(), module.MODULE_ID):
        yield loaded(reference)
        yield await got(client().model("foo", reference))


async def of_ids():
    """The same, in each way that takes the module's id from a configuration."""
    yield await found(discover_models=False)
    yield await found()
    yield await got(configured().model("foo"))


async def classes():
    """How often it called which method: each way twice."""
    called = 0
    async for module in of_classes():
        assert (await got(module.run(WORLD))).greeting == "Hello World"
        answer = await got(module.with_options(output="caikit").run(sample_input=WORLD))
        assert isinstance(answer, SampleOutputType), answer
        assert answer.greeting == "Hello World"
        called += 2
    return {"SampleTaskPredict" if PROTOCOL == "grpc" else "POST /api/v1/task/sample": called}


async def ids():
    """How often it called which method: each way once. The names of methods are those of a learned module."""
    called = 0
    async for module in of_ids():
        assert (await got(module.run_sample({"name": "World"}))).greeting == "Hello World"
        called += 1
    return {"SampleTaskPredict" if PROTOCOL == "grpc" else "POST /api/v1/task/sample": called}


async def every_kind():
    """All that modules can do. What was sent is for the test to see."""
    by_client = await got(client().model("foo", modules.SampleModule))
    for module in (by_client, loaded(modules.SampleModule)):
        data_objects = module.with_options(output="caikit")
        for output in ("dict", "proto")[: 2 if PROTOCOL == "grpc" else 1]:
            answer = await got(module.with_options(output=output).run(WORLD))
            assert (answer["greeting"] if output == "dict" else answer.greeting) == "Hello World"
        answers = await items(data_objects.run_stream_out(WORLD, count=2))
        assert [type(each) for each in answers] == [SampleOutputType] * 2
        assert len(await items(module.run_stream_out({"name": "World"}, count=3))) == 3
        if PROTOCOL == "grpc":
            people = [SampleInputType("a"), SampleInputType("b")]
            assert (await got(data_objects.run_stream_in(people, greeting="Hi "))).greeting == "Hi a,b"
            assert [each.greeting for each in await items(module.run_bidi_stream(people))] == ["Hello a", "Hello b"]
            job = await got(by_client.start_sample_job(WORLD))
            await got(job.wait())
            assert (await got(job.result())).greeting == "Hello World"
        training = await got(module.train([SampleInputType("a")], [1, 2], batch_size=0))
        trained = await got(training.model())
        assert (await got(trained.run(WORLD))).greeting == "Hello World"
    return {}


async def together():
    """How often caikit is asked for which services, by many at a time."""
    factory, asked = ServicePackageFactory.get_service_package, Counter()

    def counted(kind):
        asked[kind.name] += 1
        return factory(kind)

    ServicePackageFactory.get_service_package = counted
    clients = [client() for _ in range(8)]
    made = await asyncio.gather(*(got(each.model("foo", modules.SampleModule)) for each in clients))
    made += [loaded(modules.SampleModule) for _ in range(8)]
    answers = await asyncio.gather(*(got(each.run(WORLD)) for each in made))
    assert [each.greeting for each in answers] == ["Hello World"] * 16
    return asked


async def refused():
    """The error of each way's first call."""
    told = []
    for begin in (client().model, lambda name, module: loaded(module)):
        try:
            module = await got(begin("foo", modules.SampleModule))
            await got(module.run(WORLD))
        except RemoteClientError as error:
            told.append([type(error).__name__, str(error)])
    return told


async def told():
    """Answers of a class after its server was asked what it offers."""
    asked = client()
    await got(asked.describe())
    module = await got(asked.model("foo", modules.SampleModule))
    answer = await got(module.with_options(output="caikit").run(WORLD))
    assert isinstance(answer, SampleOutputType)
    return answer.greeting


async def compared():
    """How caikit's services differ from the server's."""
    asked = client()
    module = await got(asked.model("foo", modules.SampleModule))
    return [str(each) for each in await got(asked.check_schema(module.config.schema))]


async def late():
    """What is called where caikit takes longer than the client waits for it."""
    caikit_services.PATIENCE = 0.2
    return await classes()


async def main():
    logging.basicConfig(format="%(message)s")
    try:
        print(json.dumps(await globals()[CHECK]()))
    finally:
        while opened:
            made = opened.pop()
            await got(made.close() if KIND == "blocking" else made.aclose())


asyncio.run(main())
