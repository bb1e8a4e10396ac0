"""What a notebook shows: everything escaped, nothing endless."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from remote_client import JobInfo, JobStatus, PredictionJob, TrainingJob, sync
from remote_client._client.module import construct_remote_module_class
from remote_client._client.module_config import RemoteModuleConfig
from remote_client._schema.openapi.document import describe
from remote_client._schema.runtime_info import ModelInfo, RuntimeInfo
from remote_client._text.tables import DEPTH, ITEMS, ROWS, TEXT, table
from remote_client.errors import InputError, InternalError, JobFailedError, RemoteClientError
from remote_client.settings import ConnectionInfo
from remote_client.sync._facade import Blocking
from tests.unit.documents import COMPLETE
from tests.unit.library import DESCRIPTION, Zoo

EVIL = "<script>alert('x')</script>&"
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;"
JSON_TYPES = describe(COMPLETE)


def homes() -> Any:
    return []


async def nothing() -> Any:
    return None


def html(value: Any) -> str:
    shown: str = value._repr_html_()
    assert shown.startswith("<table>")
    assert "<script" not in shown
    assert shown.count("<table>") == shown.count("</table>")
    return shown


def config(name: str = "foo", module: str = "SampleModule", trainings: bool = False) -> RemoteModuleConfig:
    task = DESCRIPTION.tasks["EchoTask"]
    return RemoteModuleConfig(
        connection=ConnectionInfo(hostname="h", port=8085),
        protocol="grpc",
        model_key="mm-model-id",
        task_methods=[("EchoTask", list(task.methods))],
        model_path=name,
        module_name=module,
        trainings=list(JSON_TYPES.trainings.values()) if trainings else [],
    )


@pytest.mark.parametrize(
    "value",
    [
        ModelInfo(name=EVIL),
        ModelInfo(name="n", metadata={"k": [EVIL]}, module_metadata={"name": "m"}),
        ModelInfo(name="n", metadata={EVIL: 1}),
        RuntimeInfo(python_packages={"caikit": EVIL}),
        JobInfo(state=JobStatus.ERRORED, reasons=(EVIL,)),
        PredictionJob(EVIL, homes),
        TrainingJob("id", homes, model_name=EVIL, find=lambda *_: nothing()),
        Zoo(a_string=EVIL),
        Zoo(by_str={EVIL: 1}),
        Zoo(tree={"left": {"left": EVIL}}),
        JSON_TYPES.type("SampleOutputType")(greeting=EVIL),
        JSON_TYPES.type("Zoo")(settings={"deep": {EVIL: [EVIL]}}),
        RemoteClientError(EVIL),
        InputError(EVIL),
        InternalError(EVIL, model=EVIL),
        JobFailedError("job", EVIL, (EVIL,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_servers_words_are_escaped(value: Any) -> None:
    shown = html(value)
    assert ESCAPED in shown
    twin = Blocking._of(value)
    assert twin._repr_html_() == shown


def test_the_title_and_the_names_are_escaped() -> None:
    shown = table(EVIL, [(EVIL, 1)])
    assert shown.count(ESCAPED) == 2
    assert "<script" not in shown


async def test_modules() -> None:
    module = construct_remote_module_class(config(trainings=True))(config(trainings=True))
    shown = html(module)
    assert "SampleModule &#x27;foo&#x27; at h:8085: all methods of the runtime" in shown
    assert ">run_echo(zoo: Zoo, count: int, note: str | None = None, tags: list[str] | None = None)<" in shown
    assert shown.count(">stream of Zoo<") == 2
    assert ">TrainingJob<" in shown
    assert "AsyncIterator" not in shown  # the blocking twin shows the same
    assert Blocking._of(module)._repr_html_() == shown
    assert "train(" not in html(construct_remote_module_class(config())(config()))
    evil = config(EVIL, EVIL)
    assert ESCAPED in html(construct_remote_module_class(evil)(evil))
    await module.aclose()


def test_a_twin_without_a_table() -> None:
    client = sync.RemoteClient("localhost:1")
    assert client._repr_html_() is None
    client.close()


def test_values() -> None:
    when = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    shown = html(JobInfo(state=JobStatus.COMPLETED, submission_timestamp=when))
    for cell in (">COMPLETED<", ">2024-01-02 03:04:05+00:00<"):
        assert cell in shown
    assert "completion" not in shown  # nothing is known of it
    assert "reasons" not in shown
    shown = html(
        Zoo(color="GREEN", many_int32=[1, 2], a_bytes=b"\x00<", by_bool={True: 0.5}, place={"label": "Berlin"})
    )
    for cell in (">GREEN<", ">1, 2<", r">b&#x27;\x00&lt;&#x27;<", ">True<", ">0.5<", ">Place<", ">Berlin<"):
        assert cell in shown
    assert ">a\nb c<" in html(Zoo(a_string="a\nb\x1bc"))  # no other control characters, nor any that turn the text
    assert ">a b<" in html(Zoo(a_string="a\u202eb"))


def test_long_values_are_cut() -> None:
    shown = html(Zoo(a_string="x" * 10_000_000, a_bytes=bytes(10_000_000), many_int64=range(1_000_000)))
    assert len(shown) < 30_000
    assert f">{'x' * TEXT}… (10000000 characters)<" in shown
    assert "… (10000000 bytes)<" in shown
    assert f"{ITEMS - 1}, … (1000000 items)<" in shown
    shown = html(Zoo(places=[{"label": str(each)} for each in range(1000)]))
    assert shown.count(">Place<") == ITEMS
    assert "…" in shown
    shown = table("t", enumerate(range(10_000_000)))
    assert shown.count("<tr>") == ROWS + 2


def test_depth_is_limited() -> None:
    tree: Any = "leaf"
    for _ in range(50):
        tree = {"left": tree} if tree != "leaf" else {"name": "leaf"}
    shown = html(Zoo(tree=tree))
    assert shown.count("<table>") == DEPTH
    assert ">Tree …<" in shown
    assert "leaf" not in shown
    nested: Any = "leaf"
    for _ in range(50):
        nested = [{"key": nested}]
    shown = table("t", [("nested", nested)])
    assert shown.count("<table>") == DEPTH
    assert ">1 items …<" in shown
    wide: Any = "x" * 10_000
    for _ in range(5):
        wide = [wide] * 1000
    assert len(table("t", [("wide", wide)])) < 200_000
