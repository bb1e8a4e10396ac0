"""What is HTTP's own: OpenAPI documents, whole and with holes, and requests with files, all sent to a real runtime."""

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from remote_client import RemoteClient, errors

from ..support.runtime import Runtime
from .protocols import Recorder
from .test_zoo import PARAMETERS, PARIS, parameters

DOCUMENTS = Path(__file__).parent.parent / "support" / "openapi"
MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(params=["complete", "dangling"])
def document(request: pytest.FixtureRequest) -> Any:
    """A captured document. FastAPI from 0.116 on loses definitions: it serves the one with dangling references."""
    return request.param


@pytest_asyncio.fixture
async def captured(runtime: Runtime, document: str) -> AsyncIterator[RemoteClient]:
    recorder = Recorder(DOCUMENTS / f"{document}.json")
    async with RemoteClient(runtime.http_target, transport=recorder) as client:
        yield client
        assert recorder.requests[0].url.path == "/openapi.json"


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    ("foo.run_sample", ({"name": "World"},), {}, {"greeting": "Hello World"}),
    ("primitive.run_sample", ({"name": "World"},), {"prefix": "Dear"}, {"greeting": "Dear: World"}),
    ("prefix.run_bidi_streaming", ("x",), {}, {"greeting": "bidi x"}),
    ("zoo.run_zoo", ({"text": "x", "places": [PARIS]},), {}, {"text": "x", "places": [PARIS]}),
    ("zoo.run_zoo", ({"blob": b"\xfb\xff", "scalar_union": 1.0},), {}, {"blob": b"\xfb\xff", "scalar_union": 1.0}),
    ("numbers.run_numbers", ([1.5, math.inf],), {}, {"numbers": [1.5, math.inf], "total": math.inf}),
    ("tagged.run_tagged", ("x",), {"note": "n"}, {"received": '{"text": "x", "note": "n"}'}),
]


@pytest.mark.parametrize(("method", "args", "kwargs", "expected"), CALLS)
async def test_calls(captured: RemoteClient, method: str, args: Any, kwargs: Any, expected: dict[str, Any]) -> None:
    model, _, name = method.partition(".")
    answer = await getattr(await captured.model(model), name)(*args, **kwargs)
    assert answer.model_dump(exclude_none=True) == expected


STREAMS: list[tuple[str, tuple[Any, ...], dict[str, Any], list[dict[str, Any]]]] = [
    ("foo.run_sample_stream_out", ({"name": "x"},), {"count": 2}, [{"greeting": f"Hello x {n}"} for n in range(2)]),
    ("text.run_text_stream_out", ("x",), {"pieces": ["\u2028", "🦓"]}, [{"greeting": "\u2028"}, {"greeting": "🦓"}]),
    (
        "tagged.run_tagged_stream_out",
        ("x",),
        {"count": 1, "label": "l"},
        [{"received": '{"text": "x", "count": 1, "label": "l"}'}],
    ),
]


@pytest.mark.parametrize(("method", "args", "kwargs", "expected"), STREAMS)
async def test_streams(captured: RemoteClient, method: str, args: Any, kwargs: Any, expected: Any) -> None:
    model, _, name = method.partition(".")
    stream = getattr(await captured.model(model), name)(*args, **kwargs)
    assert [item.model_dump() async for item in stream] == expected


async def test_parameters(captured: RemoteClient) -> None:
    model = await captured.model("parameters")
    got = json.loads((await model.run_parameters(**parameters("http"))).received)
    assert [got[name] for name in ("text", "number", "words", "values")] == ["x", 5, ["a", "b"], [1, 2]]
    assert got["blob"] == {"bytes": PARAMETERS["blob"].hex()}
    assert got["when"] == {"datetime": PARAMETERS["when"].isoformat()}
    assert got["place"] == {"Place": PARIS}


async def test_files(captured: RemoteClient) -> None:
    model = await captured.model("file")
    answer = await model.run_file({"data": MEGABYTE, "filename": "a.bin"})
    assert (answer.file.data, answer.file.filename) == (MEGABYTE, "a.bin")
    bundle = await (await captured.model("bundle")).run_bundle("a.zip", size=len(MEGABYTE))
    assert (bundle.filename, bundle.content_type, bundle.data) == ("a.zip", "application/zip", MEGABYTE)


async def test_two_required_inputs(captured: RemoteClient, document: str) -> None:
    pair = await captured.model("pair")
    expected = {"text": "x", "place": {"Place": PARIS}, "note": "n"}
    inputs = {"text": "x", "place": PARIS}
    if document == "complete":
        answers = [await pair.run_pair("x", PARIS, "n"), await pair.run_pair(**inputs, note="n")]
        answers += [item async for item in pair.run_pair_stream_out("x", PARIS, note="n", count=2)]
    else:  # the names of the inputs are lost, so they are what a single input is: given as one
        answers = [await pair.run_pair(inputs, note="n"), await pair.run_pair(inputs=inputs, note="n")]
        answers += [item async for item in pair.run_pair_stream_out(inputs, note="n", count=2)]
    assert len(answers) == 4
    assert all(json.loads(each.received).items() >= expected.items() for each in answers)


async def test_a_wrong_parameter(captured: RemoteClient, document: str) -> None:
    model = await captured.model("foo")
    expected = {"complete": errors.InputError, "dangling": errors.InvalidArgumentError}[document]
    with pytest.raises(expected, match="nobody"):  # what the document does not tell, the server refuses
        await model.run_sample({"name": "x"}, nobody=1)


async def test_what_is_lost_is_told(captured: RemoteClient, document: str, caplog: pytest.LogCaptureFixture) -> None:
    description = await captured.describe()
    (told,) = description.notes or ("",)
    assert ("does not define" in told) == ("does not define" in caplog.text) == (document == "dangling")
    assert told in str(description)


# A file's name, its type and its size; and whether the request is a form.
FILES: list[tuple[str | None, str | None, int, bool]] = [
    ("a.bin", "application/octet-stream", len(MEGABYTE), True),
    ("a.bin", None, len(MEGABYTE), True),
    ("a.bin", "x/y", 1, True),
    ("a.bin", "x/y", 0, True),
    ("ü 🦓.bin", "text/plain; charset=utf-8", 1000, True),
    (None, "x/y", len(MEGABYTE), False),
    (None, None, len(MEGABYTE), False),
    ('a"b\\c;d%22.bin', "x/y", 1000, False),  # what a form cannot say is said in JSON
    ("line\r\nbreak", None, 1000, False),
    ("a.bin", "no type", 1000, False),
]


@pytest.mark.parametrize(("filename", "kind", "size", "form"), FILES)
async def test_a_file_goes_and_returns(
    runtime: Runtime, filename: str | None, kind: str | None, size: int, form: bool
) -> None:
    recorder = Recorder()
    data = MEGABYTE[:size]
    async with RemoteClient(runtime.http_target, transport=recorder) as client:
        answer = await (await client.model("file")).run_file({"data": data, "filename": filename, "type": kind})
    assert (answer.file.data, answer.size) == (data, size)
    assert (answer.file.filename, answer.file.type) == (filename, kind)
    sent = recorder.requests[-1].headers["content-type"]
    assert sent.startswith("multipart/form-data; boundary=") if form else sent == "application/json"


@pytest.mark.parametrize("size", [1000, 64 * 1024, len(MEGABYTE)])
async def test_large_bytes_are_sent_as_a_file(runtime: Runtime, size: int) -> None:
    # Beside others that are not, and that have to arrive as they would in JSON.
    recorder = Recorder()
    async with RemoteClient(runtime.http_target, transport=recorder) as client:
        zoo = {
            "blob": MEGABYTE[:size],
            "text": "zäöü\r\n🦓",
            "places": [PARIS],
            "scalar_union": 1.0,
            "attachment": {"data": MEGABYTE, "filename": "b"},
        }
        answer = await (await client.model("zoo")).run_zoo(zoo)
        given = (await client.describe()).type("Zoo")(**zoo)
    assert answer == given
    assert recorder.requests[-1].headers["content-type"].startswith("multipart/form-data")
    parts = await recorder.requests[-1].aread()
    assert (b'name="inputs.blob"' in parts) == (size >= 64 * 1024)
    assert b'name="inputs.attachment"' in parts
