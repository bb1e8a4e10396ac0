"""The sample library's tasks and modules."""

import json
import time
import traceback
from dataclasses import field
from datetime import datetime
from typing import Dict, Iterable, List, Optional, Union

import grpc
from caikit.core import ModuleBase, ModuleConfig, TaskBase, module, task
from caikit.core.data_model import DataStream
from caikit.core.data_model.json_dict import JsonDict
from caikit.core.exceptions.caikit_core_exception import (
    CaikitCoreException,
    CaikitCoreStatusCode,
)
from caikit.core.modules import ModuleSaver
from caikit.core.data_model import ProducerId
from caikit.interfaces.common.data_model import File, Vector1D
from caikit.interfaces.nlp.data_model import EmbeddingResult
from caikit.runtime.names import EXTRA_OPENAPI_KEY

from .data_model import (
    Bundle,
    FileReport,
    Numbers,
    Place,
    Report,
    SampleInputType,
    SampleOutputType,
    Zoo,
)


@task(
    unary_parameters={"sample_input": SampleInputType},
    streaming_parameters={"sample_inputs": Iterable[SampleInputType]},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class SampleTask(TaskBase):
    """Greets."""


@task(
    unary_parameters={"zoo": Zoo},
    streaming_parameters={"zoos": Iterable[Zoo]},
    unary_output_type=Zoo,
    streaming_output_type=Iterable[Zoo],
)
class ZooTask(TaskBase):
    """Echoes a message of every type."""


@task(
    unary_parameters={"text": str},
    unary_output_type=Report,
)
class ParametersTask(TaskBase):
    """Reports the parameters it was called with."""


@task(
    streaming_parameters={"lats": Iterable[float], "lons": Iterable[float]},
    streaming_output_type=Iterable[Place],
)
class GeoSpatialTask(TaskBase):
    """Two streamed inputs in step."""


@task(unary_parameters={"text": str}, unary_output_type=SampleOutputType)
class StreamingTask(TaskBase):
    """A task whose own name looks like a prefix."""


@task(
    unary_parameters={"text": str},
    streaming_parameters={"texts": Iterable[str]},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class BidiStreamingTask(TaskBase):
    """A task whose own name is a whole prefix."""


@task(
    unary_parameters={"seconds": float},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class SlowTask(TaskBase):
    """Takes its time."""


@task(
    unary_parameters={"kind": str},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class FailingTask(TaskBase):
    """Fails as it is told."""


@task(unary_parameters={"document": File}, unary_output_type=FileReport)
class FileTask(TaskBase):
    """Takes a file and gives one back."""


@task(unary_parameters={"name": str}, unary_output_type=Bundle)
class BundleTask(TaskBase):
    """Answers with a file of its own."""


@task(unary_parameters={"name": str}, streaming_output_type=Iterable[Bundle])
class BundlesTask(TaskBase):
    """Streams what HTTP otherwise answers with as a file."""


@task(unary_parameters={"vector": Vector1D}, unary_output_type=EmbeddingResult)
class EmbeddingTask(TaskBase):
    """Takes and gives data objects of caikit's own libraries."""


@task(
    unary_parameters={"text": str, "place": Place},
    unary_output_type=Report,
    streaming_output_type=Iterable[Report],
)
class PairTask(TaskBase):
    """Two required inputs."""


@task(
    unary_parameters={"text": str},
    unary_output_type=Report,
    streaming_output_type=Iterable[Report],
    metadata={EXTRA_OPENAPI_KEY: {"tags": ["tagged"], "x-sample": {"purpose": "test"}}},
)
class TaggedTask(TaskBase):
    """Adds to its routes' OpenAPI."""


@task(
    unary_parameters={"text": str},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class TextTask(TaskBase):
    """Gives text back exactly."""


@task(unary_parameters={"numbers": List[float]}, unary_output_type=Numbers)
class NumbersTask(TaskBase):
    """Gives numbers back, JSON's and others."""


@task(unary_parameters={"documents": List[JsonDict], "query": str}, unary_output_type=Report)
class RerankTask(TaskBase):
    """Two required inputs, of which one is a list of JSON objects."""


@module(id="00110203-0405-0607-0809-0a0b02dd0e0f", name="SampleModule", version="0.1.0", task=SampleTask)
class SampleModule(ModuleBase):
    """Greets; every kind of method, and a training."""

    def __init__(self, trained: Optional[dict] = None):
        super().__init__()
        self.trained = trained

    @classmethod
    def load(cls, model_path, **_):
        config = ModuleConfig.load(model_path)
        return cls(trained=config.get("trained"))

    def save(self, model_path):
        saver = ModuleSaver(self, model_path=model_path)
        with saver:
            saver.update_config({"trained": self.trained})

    @SampleTask.taskmethod()
    def run(self, sample_input: SampleInputType, throw: bool = False) -> SampleOutputType:
        """Greets one."""
        if throw:
            raise RuntimeError("barf!")
        return SampleOutputType(f"Hello {sample_input.name}")

    @SampleTask.taskmethod(output_streaming=True)
    def run_stream_out(
        self, sample_input: SampleInputType, count: int = 10, err_after: int = -1
    ) -> DataStream[SampleOutputType]:
        """Greets one many times."""

        def stream():
            for number in range(count):
                if number == err_after:
                    raise ValueError(f"asked to fail after {err_after}")
                yield SampleOutputType(f"Hello {sample_input.name} {number}")

        return DataStream(stream)

    @SampleTask.taskmethod(input_streaming=True)
    def run_stream_in(
        self, sample_inputs: DataStream[SampleInputType], greeting: str = "Hello Friends: "
    ) -> SampleOutputType:
        """Greets all at once."""
        return SampleOutputType(greeting + ",".join(each.name for each in sample_inputs))

    @SampleTask.taskmethod(input_streaming=True, output_streaming=True)
    def run_bidi_stream(self, sample_inputs: DataStream[SampleInputType]) -> DataStream[SampleOutputType]:
        """Greets each as it comes."""
        return DataStream(lambda: (SampleOutputType(f"Hello {each.name}") for each in sample_inputs))

    @classmethod
    def train(
        cls,
        training_data: DataStream[SampleInputType],
        union_list: Union[List[str], List[int]],
        batch_size: int = 64,
        ratio: float = 0.5,
        shuffle: bool = True,
        note: str = "none",
        fail: bool = False,
        seconds: float = 0.0,
        oom_exit_code: Optional[int] = None,
    ) -> "SampleModule":
        """Remembers what it was trained with."""
        if fail:
            if note == "traceback":
                _fail(note)
            raise ValueError("the training was asked to fail")
        rows = [row.name for row in training_data]
        time.sleep(seconds)
        return cls(
            trained={
                "rows": rows,
                "union_list": list(getattr(union_list, "values", union_list)),
                "batch_size": batch_size,
                "ratio": ratio,
                "shuffle": shuffle,
                "note": note,
                "oom_exit_code": oom_exit_code,
            }
        )


@module(id="00110203-0405-0607-0809-0a0b02dd0e10", name="SampleModule", version="0.2.0", task=SampleTask)
class SamplePrimitiveModule(ModuleBase):
    """A second module of the same task and name, with parameters of its own."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    def save(self, model_path):
        with ModuleSaver(self, model_path=model_path):
            pass

    @SampleTask.taskmethod()
    def run(self, sample_input: SampleInputType, prefix: str = "Primitive") -> SampleOutputType:
        """Greets with a prefix."""
        return SampleOutputType(f"{prefix}: {sample_input.name}")

    @classmethod
    def train(cls, sample_input: SampleInputType, steps: int = 1) -> "SamplePrimitiveModule":
        """Nothing to learn."""
        return cls()


@module(id="00110203-0405-0607-0809-0a0b02dd0e11", name="ZooModule", version="0.1.0", task=ZooTask)
class ZooModule(ModuleBase):
    """Echoes."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @ZooTask.taskmethod()
    def run(self, zoo: Zoo) -> Zoo:
        """The message itself."""
        return zoo

    @ZooTask.taskmethod(output_streaming=True)
    def run_stream_out(self, zoo: Zoo, count: int = 2) -> DataStream[Zoo]:
        """The message, several times."""
        return DataStream(lambda: (zoo for _ in range(count)))

    @ZooTask.taskmethod(input_streaming=True, output_streaming=True)
    def run_bidi_stream(self, zoos: DataStream[Zoo]) -> DataStream[Zoo]:
        """Each message as it comes."""
        return DataStream(lambda: (each for each in zoos))


def _plain(value):
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if hasattr(value, "values") and not isinstance(value, dict):
        return {type(value).__name__: [_plain(each) for each in value.values]}
    if hasattr(value, "model_dump"):  # over HTTP caikit leaves the messages in a list as it has parsed them
        return {type(value).__name__.rpartition(".")[2]: value.model_dump()}
    if hasattr(value, "to_dict"):
        return {type(value).__name__: value.to_dict()}
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


@module(
    id="00110203-0405-0607-0809-0a0b02dd0e12",
    name="ParametersModule",
    version="0.1.0",
    task=ParametersTask,
)
class ParametersModule(ModuleBase):
    """Reports its parameters, so that a test sees what arrived."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @ParametersTask.taskmethod()
    def run(
        self,
        text: str,
        number: int,
        ratio: float,
        flag: bool,
        blob: bytes,
        place: Place,
        words: List[str],
        places: List[Place],
        weights: Dict[str, float],
        names: Dict[int, str],
        when: datetime,
        settings: JsonDict,
        choice: Union[str, int, Place],
        values: Union[List[str], List[int], List[float]],
        optional_text: Optional[str] = None,
        optional_number: Optional[int] = None,
        optional_ratio: Optional[float] = None,
        optional_flag: Optional[bool] = None,
        optional_blob: Optional[bytes] = None,
        optional_place: Optional[Place] = None,
        optional_words: Optional[List[str]] = None,
        optional_choice: Optional[Union[str, int]] = None,
    ) -> Report:
        """Reports what it got, as JSON text."""
        got = {name: value for name, value in locals().items() if name != "self"}
        return Report(json.dumps({name: _plain(value) for name, value in got.items()}))


@module(id="00110203-0405-0607-0809-0a0b02dd0e13", name="GeoModule", version="0.1.0", task=GeoSpatialTask)
class GeoModule(ModuleBase):
    """Pairs two streams."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @GeoSpatialTask.taskmethod(input_streaming=True, output_streaming=True)
    def run_bidi_stream(
        self, lats: DataStream[float], lons: DataStream[float], label: str = "here"
    ) -> DataStream[Place]:
        """A place for each pair."""
        return DataStream(lambda: (Place(label=label, lat=lat, lon=lon) for lat, lon in zip(lats, lons)))


@module(
    id="00110203-0405-0607-0809-0a0b02dd0e14",
    name="PrefixModule",
    version="0.1.0",
    tasks=[StreamingTask, BidiStreamingTask],
)
class PrefixModule(ModuleBase):
    """Two tasks in one module, with the names that mislead a naive prefix rule."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @StreamingTask.taskmethod()
    def run_streaming(self, text: str) -> SampleOutputType:
        """Unary, whatever its name says."""
        return SampleOutputType(f"streaming {text}")

    @BidiStreamingTask.taskmethod()
    def run_bidi(self, text: str) -> SampleOutputType:
        """Unary, whatever its name says."""
        return SampleOutputType(f"bidi {text}")

    @BidiStreamingTask.taskmethod(input_streaming=True, output_streaming=True)
    def run_bidi_bidi(self, texts: DataStream[str]) -> DataStream[SampleOutputType]:
        """Bidirectional, and named so."""
        return DataStream(lambda: (SampleOutputType(f"bidi {each}") for each in texts))


@module(id="00110203-0405-0607-0809-0a0b02dd0e15", name="SlowModule", version="0.1.0", task=SlowTask)
class SlowModule(ModuleBase):
    """Sleeps."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @SlowTask.taskmethod()
    def run(self, seconds: float) -> SampleOutputType:
        """Answers after so many seconds."""
        time.sleep(seconds)
        return SampleOutputType(f"slept {seconds}")

    @SlowTask.taskmethod(output_streaming=True)
    def run_stream_out(self, seconds: float, count: int = 3) -> DataStream[SampleOutputType]:
        """An item every so many seconds."""

        def stream():
            for number in range(count):
                time.sleep(seconds)
                yield SampleOutputType(f"slept {number}")

        return DataStream(stream)


class BusyBackendError(grpc.RpcError):
    """What a module's own backend answers when it has too much to do."""

    def code(self):
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self):
        return "the model's backend is overloaded"


def _fail(kind: str) -> None:
    if kind == "ValueError":
        raise ValueError("a value of the model's is wrong")
    if kind == "TypeError":
        raise TypeError("a type of the model's is wrong")
    if kind == "RESOURCE_EXHAUSTED":
        raise BusyBackendError
    if kind == "traceback":  # as modules tell what happened in a process of their own
        try:
            json.loads("{")
        except ValueError:
            raise RuntimeError(traceback.format_exc()) from None
    if kind in CaikitCoreStatusCode.__members__:
        raise CaikitCoreException(CaikitCoreStatusCode[kind], f"the model says {kind}")
    raise RuntimeError("the model broke")


@module(id="00110203-0405-0607-0809-0a0b02dd0e16", name="FailingModule", version="0.1.0", task=FailingTask)
class FailingModule(ModuleBase):
    """Raises."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @FailingTask.taskmethod()
    def run(self, kind: str) -> SampleOutputType:
        """Raises the error named."""
        _fail(kind)

    @FailingTask.taskmethod(output_streaming=True)
    def run_stream_out(self, kind: str, after: int = 2) -> DataStream[SampleOutputType]:
        """Raises the error named after some items."""

        def stream():
            for number in range(after):
                yield SampleOutputType(str(number))
            _fail(kind)

        return DataStream(stream)


@module(id="00110203-0405-0607-0809-0a0b02dd0e17", name="FileModule", version="0.1.0", task=FileTask)
class FileModule(ModuleBase):
    """Handles files."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @FileTask.taskmethod()
    def run(self, document: File) -> FileReport:
        """The same file, and its size in bytes."""
        return FileReport(file=document, size=len(document.data))


@module(id="00110203-0405-0607-0809-0a0b02dd0e18", name="BundleModule", version="0.1.0", task=BundleTask)
class BundleModule(ModuleBase):
    """Makes files."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @BundleTask.taskmethod()
    def run(self, name: str, size: int = 1024) -> Bundle:
        """So many bytes, counting from 0 to 255 again and again."""
        return Bundle(name=name, data=(bytes(range(256)) * (size // 256 + 1))[:size])


def _report(**got) -> Report:
    return Report(json.dumps({name: _plain(value) for name, value in got.items()}))


@module(id="00110203-0405-0607-0809-0a0b02dd0e19", name="PairModule", version="0.1.0", task=PairTask)
class PairModule(ModuleBase):
    """Reports both inputs."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @PairTask.taskmethod()
    def run(self, text: str, place: Place, note: Optional[str] = None) -> Report:
        """Reports what it got, as JSON text."""
        return _report(text=text, place=place, note=note)

    @PairTask.taskmethod(output_streaming=True)
    def run_stream_out(self, text: str, place: Place, note: Optional[str] = None, count: int = 2) -> DataStream[Report]:
        """Reports it several times."""
        return DataStream(lambda: (_report(text=text, place=place, note=note, number=n) for n in range(count)))


@module(id="00110203-0405-0607-0809-0a0b02dd0e1a", name="TaggedModule", version="0.1.0", task=TaggedTask)
class TaggedModule(ModuleBase):
    """Takes other parameters for a stream than for one answer."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @TaggedTask.taskmethod()
    def run(self, text: str, note: Optional[str] = None) -> Report:
        """Reports what it got, as JSON text."""
        return _report(text=text, note=note)

    @TaggedTask.taskmethod(output_streaming=True)
    def run_stream_out(self, text: str, count: int = 2, label: Optional[str] = None) -> DataStream[Report]:
        """Reports it several times."""
        return DataStream(lambda: (_report(text=text, count=count, label=label) for _ in range(count)))


@module(id="00110203-0405-0607-0809-0a0b02dd0e1b", name="TextModule", version="0.1.0", task=TextTask)
class TextModule(ModuleBase):
    """Changes nothing."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @TextTask.taskmethod()
    def run(self, text: str) -> SampleOutputType:
        """The text itself."""
        return SampleOutputType(text)

    @TextTask.taskmethod(output_streaming=True)
    def run_stream_out(self, text: str, pieces: Optional[List[str]] = None) -> DataStream[SampleOutputType]:
        """The pieces themselves, whatever the text."""
        return DataStream(lambda: (SampleOutputType(piece) for piece in pieces or []))


@module(id="00110203-0405-0607-0809-0a0b02dd0e1c", name="NumbersModule", version="0.1.0", task=NumbersTask)
class NumbersModule(ModuleBase):
    """Sums."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @NumbersTask.taskmethod()
    def run(self, numbers: List[float]) -> Numbers:
        """The numbers, their sum, and nothing else."""
        return Numbers(numbers=numbers, total=sum(numbers))


@module(id="00110203-0405-0607-0809-0a0b02dd0e1d", name="RerankModule", version="0.1.0", task=RerankTask)
class RerankModule(ModuleBase):
    """Reports its inputs."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @RerankTask.taskmethod()
    def run(self, documents: List[JsonDict], query: str, top_n: Optional[int] = None) -> Report:
        """Reports what it got, as JSON text."""
        return _report(documents=documents, query=query, top_n=top_n)


@module(id="00110203-0405-0607-0809-0a0b02dd0e1e", name="EmbeddingModule", version="0.1.0", task=EmbeddingTask)
class EmbeddingModule(ModuleBase):
    """Changes nothing. Its parameters have names that clients use themselves."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @EmbeddingTask.taskmethod()
    def run(
        self,
        vector: Vector1D,
        method: str = "mean",
        cls: str = "first",
        service_type: str = "any",
        **kwargs,
    ) -> EmbeddingResult:
        """The vector, and the other parameters as its producer."""
        return EmbeddingResult(result=vector, producer_id=ProducerId(method, f"{cls} {service_type}"))

    def save(self, model_path):
        with ModuleSaver(self, model_path=model_path) as saver:
            saver.update_config({"trained": self.trained})

    @classmethod
    def train(
        cls,
        base: SampleModule,
        rows: DataStream[int],
        names: Optional[Union[List[str], List[int]]] = None,
        rate: float = 0.5,
        counts: Dict[str, int] = field(default_factory=dict),  # noqa: B008
    ) -> "EmbeddingModule":
        """Remembers what it was trained with: another model, and rows that are no data objects."""
        made = cls()
        names = getattr(names, "values", names)
        made.trained = {"base": type(base).__name__, "rows": list(rows), "names": names, "rate": rate, "counts": counts}
        return made


@module(id="00110203-0405-0607-0809-0a0b02dd0e1f", name="BundlesModule", version="0.1.0", task=BundlesTask)
class BundlesModule(ModuleBase):
    """Streams files."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @BundlesTask.taskmethod(output_streaming=True)
    def run_stream_out(self, name: str, count: int = 2) -> DataStream[Bundle]:
        """Bundles of one byte."""
        return DataStream(lambda: (Bundle(name=name, data=bytes([number])) for number in range(count)))
