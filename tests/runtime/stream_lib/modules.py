"""A trainable module that needs no input, one with a stream in, and one of both; they count their runs."""

from typing import Optional

from caikit.core import DataObjectBase, ModuleBase, ModuleConfig, ModuleSaver, TaskBase, dataobject, module, task
from caikit.core.data_model import DataStream


@dataobject(package="caikit_data_model.stream_lib")
class Told(DataObjectBase):
    text: str
    runs: int


@task(unary_parameters={"text": Optional[str]}, unary_output_type=Told)
class MaybeTask(TaskBase):
    """Text or nothing in."""


@task(
    unary_parameters={"text": Optional[str]},
    unary_output_type=Told,
    streaming_parameters={"text": DataStream[str]},
    streaming_output_type=DataStream[Told],
)
class ManyTask(TaskBase):
    """Text, nothing or a stream of texts in; a stream out, too."""


class _Trained(ModuleBase):
    def __init__(self, note: str = "") -> None:
        super().__init__()
        self._note = note
        self._runs = 0

    @classmethod
    def load(cls, model_path, **_):
        return cls(ModuleConfig.load(model_path).get("note") or "")

    def save(self, model_path, **_):
        with ModuleSaver(self, model_path=model_path) as saver:
            saver.update_config({"note": self._note})

    def _told(self, text: str) -> Told:
        self._runs += 1
        return Told(text=f"{self._note}{text}", runs=self._runs)


@module(id="00110203-0405-0607-0809-0a0b02dd2e01", name="MaybeModule", version="0.1.0", task=MaybeTask)
class MaybeModule(_Trained):
    @MaybeTask.taskmethod()
    def run(self, text: Optional[str] = None) -> Told:
        return self._told(text or "")

    @classmethod
    def train(cls, note: str) -> "MaybeModule":
        return cls(note)


@module(id="00110203-0405-0607-0809-0a0b02dd2e02", name="ManyModule", version="0.1.0", task=ManyTask)
class ManyModule(_Trained):
    @ManyTask.taskmethod()
    def run(self, text: Optional[str] = None) -> Told:
        return self._told(text or "")

    @ManyTask.taskmethod(output_streaming=True)
    def run_out(self, text: Optional[str] = None) -> DataStream[Told]:
        return DataStream.from_iterable([self._told(text or "")])

    @ManyTask.taskmethod(input_streaming=True)
    def run_in(self, text: DataStream[str]) -> Told:
        return self._told("".join(text))

    @classmethod
    def train(cls, note: str) -> "ManyModule":
        return cls(note)
