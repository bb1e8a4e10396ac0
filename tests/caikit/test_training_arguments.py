"""What a remote module's `train` takes, over both protocols: the runtime trains with what the local module takes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from caikit.core import ModuleConfig
from caikit.core.data_model import DataStream
from caikit.interfaces.common.data_model import ConnectionInfo, IntSequence, StrSequence
from caikit.interfaces.common.data_model.stream_sources import Directory, FileReference, ListOfFileReferences, S3Files
from caikit.interfaces.runtime.data_model import ModelPointer
from caikit.runtime.names import MODEL_MESH_MODEL_ID_KEY
from caikit.runtime.service_generation.data_stream_source import make_data_stream_source
from sample_lib import modules
from sample_lib.data_model import SampleInputType

from remote_client.caikit import RemoteModuleConfig, construct_remote_module_class
from remote_client.errors import InputError

from ..support.runtime import Runtime
from .gateways import PROTOCOLS, Protocol, connection_of

ROWS = [SampleInputType("a"), SampleInputType(""), SampleInputType("b")]
NAMES = [row.name for row in ROWS]


class Trainings:
    """Trains models of a runtime, and reads what they were trained with."""

    def __init__(self, runtime: Runtime, protocol: Protocol) -> None:
        self._models = runtime.log.parent / "models"
        self._connection = ConnectionInfo(**connection_of(runtime, protocol))
        self._protocol = protocol

    def module(self, kind: Any, name: str) -> Any:
        config = RemoteModuleConfig.load_from_module(
            kind, self._connection, self._protocol, MODEL_MESH_MODEL_ID_KEY, name
        )
        made: Any = construct_remote_module_class(config)
        return made(self._connection, self._protocol, MODEL_MESH_MODEL_ID_KEY, name)

    def of(self, kind: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Train, and return what the model was trained with."""
        model = self.module(kind, "foo").train(*args, **kwargs, _model_name=f"trained-{uuid.uuid4().hex[:12]}")
        file = self._models / model.model_name / "config.yml"
        deadline = time.monotonic() + 20
        while not file.exists() or "trained" not in file.read_text():
            assert time.monotonic() < deadline, "the training has not saved its model"
            time.sleep(0.02)
        found: dict[str, Any] = dict(ModuleConfig.load(str(file.parent)).trained)
        return found


@pytest.fixture(params=PROTOCOLS)
def trainings(runtime: Runtime, request: pytest.FixtureRequest) -> Trainings:
    return Trainings(runtime, request.param)


def generator() -> Iterator[SampleInputType]:
    yield from ROWS


ITERABLES: dict[str, Callable[[], Any]] = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "stream": lambda: DataStream.from_iterable(ROWS),
    "generator": generator,
}


@pytest.mark.parametrize("kind", ITERABLES)
def test_rows_may_be_any_iterable(trainings: Trainings, kind: str) -> None:
    assert trainings.of(modules.SampleModule, ITERABLES[kind](), ["a"])["rows"] == NAMES


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rows.json").write_text('[{"name": "a"}, {"name": ""}, {"name": "b"}]')
    (folder / "rows.jsonl").write_text('{"name": "c"}\n{"name": "d"}\n')
    return folder


SOURCES: dict[str, tuple[Callable[[Any, Path], Any], list[str]]] = {
    "rows": (lambda source, files: source.JsonData(data=ROWS), NAMES),
    "file": (lambda source, files: FileReference(filename=str(files / "rows.json")), NAMES),
    "files": (
        lambda source, files: ListOfFileReferences(files=[str(files / "rows.json"), str(files / "rows.jsonl")]),
        [*NAMES, "c", "d"],
    ),
    "folder": (lambda source, files: Directory(dirname=str(files), extension="jsonl"), ["c", "d"]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_rows_may_be_a_source(trainings: Trainings, files: Path, kind: str) -> None:
    source: Any = make_data_stream_source(SampleInputType)
    make, rows = SOURCES[kind]
    given = source(data_stream=make(source, files))
    assert trainings.of(modules.SampleModule, given, ["a"])["rows"] == rows


def test_a_source_that_does_not_fit_is_named(trainings: Trainings) -> None:
    source: Any = make_data_stream_source(SampleInputType)
    given = source(data_stream=S3Files(files=5, bucket="b"))
    with pytest.raises(InputError, match=r"^train\(\): training_data\.data_stream\.files: expected a list of str"):
        trainings.of(modules.SampleModule, given, ["a"])


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (["a", ""], ["a", ""]),
        ([1, 0], [1, 0]),
        ((1, 2), [1, 2]),
        (StrSequence(["a"]), ["a"]),
        (IntSequence([0]), [0]),
    ],
    ids=repr,
)
def test_a_union_of_lists(trainings: Trainings, given: Any, want: list[Any]) -> None:
    assert trainings.of(modules.SampleModule, ROWS, given)["union_list"] == want


def test_zeros_are_no_defaults(trainings: Trainings) -> None:
    given: dict[str, Any] = {"batch_size": 0, "ratio": 0.0, "shuffle": False, "note": "", "oom_exit_code": 0}
    trained = trainings.of(modules.SampleModule, ROWS, ["a"], **given)
    assert {name: trained[name] for name in given} == given


def test_what_is_not_given_has_the_default_of_the_module(trainings: Trainings) -> None:
    trained = trainings.of(modules.SampleModule, ROWS, ["a"], note=None)
    assert (trained["batch_size"], trained["note"], trained["oom_exit_code"]) == (64, "none", None)


def test_a_model_is_a_remote_module_or_a_pointer(trainings: Trainings) -> None:
    remote = trainings.module(modules.SampleModule, "bar")
    for base in (remote, ModelPointer(model_id="bar")):
        trained = trainings.of(modules.EmbeddingModule, base, [1, 0], ["a"], 0.0, {"a": 0})
        assert trained == {
            "base": "SampleModule",
            "rows": [1, 0],
            "names": ["a"],
            "rate": 0.0,
            "counts": {"a": 0},
        }


def test_a_local_model_is_refused(trainings: Trainings) -> None:
    with pytest.raises(InputError, match=r"^train\(\): base: expected a remote model, got a local SampleModule$"):
        trainings.of(modules.EmbeddingModule, modules.SampleModule(), [1])


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "train(): missing a required argument: 'training_data'"),
        (([*ROWS, 5], ["a"]), {}, "train(): training_data.data_stream.data[3]: expected SampleInputType, got int (5)"),
        ((ROWS, [1, "a"]), {}, "train(): union_list: expected a list of str or a list of int, got list"),
        ((ROWS, ["a"]), {"batch_size": "a"}, "train(): batch_size: expected int, got str ('a')"),
        ((ROWS, ["a"]), {"other": 5}, "train(): got an unexpected keyword argument 'other'"),
        ((FileReference(filename="a"), ["a"]), {}, "train(): training_data: expected DataStreamSourceSampleInputType"),
    ],
)
def test_a_wrong_argument_is_named(
    trainings: Trainings, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        trainings.of(modules.SampleModule, *args, **kwargs)
    assert str(caught.value).startswith(message)


def test_a_wrong_path_for_the_model_is_named(trainings: Trainings) -> None:
    with pytest.raises(InputError, match=r"^train\(\): output_path: expected S3Path, got str \('a'\)$"):
        trainings.of(modules.SampleModule, ROWS, ["a"], _output_path="a")
