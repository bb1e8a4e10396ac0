"""Trainable modules of inputs that have a zero value, optional inputs and streams; each counts its runs."""

import time
from typing import Optional

from caikit.core import DataObjectBase, ModuleBase, ModuleConfig, ModuleSaver, TaskBase, dataobject, module, task
from caikit.core.data_model import DataStream


@dataobject(package="caikit_data_model.plain_lib")
class Text(DataObjectBase):
    text: str


@dataobject(package="caikit_data_model.plain_lib")
class Told(DataObjectBase):
    text: str
    runs: int


@task(unary_parameters={"text": str}, unary_output_type=Told)
class PlainTask(TaskBase):
    """Plain text in."""


@task(unary_parameters={"text": Optional[str]}, unary_output_type=Told)
class MaybeTask(TaskBase):
    """Text or nothing in."""


@task(unary_parameters={"text": str}, streaming_output_type=DataStream[Told])
class FlowTask(TaskBase):
    """A stream out."""


@task(unary_parameters={"message": Text}, unary_output_type=Told)
class MessageTask(TaskBase):
    """A message in."""


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


@module(id="00110203-0405-0607-0809-0a0b02dd1e01", name="PlainModule", version="0.1.0", task=PlainTask)
class PlainModule(_Trained):
    @PlainTask.taskmethod()
    def run(self, text: str) -> Told:
        return self._told(text)

    @classmethod
    def train(cls, note: str, seconds: float = 0.0) -> "PlainModule":
        time.sleep(seconds)
        return cls(note)


@module(id="00110203-0405-0607-0809-0a0b02dd1e02", name="MaybeModule", version="0.1.0", task=MaybeTask)
class MaybeModule(_Trained):
    @MaybeTask.taskmethod()
    def run(self, text: Optional[str] = None) -> Told:
        return self._told(text or "")

    @classmethod
    def train(cls, note: str) -> "MaybeModule":
        return cls(note)


@module(id="00110203-0405-0607-0809-0a0b02dd1e03", name="FlowModule", version="0.1.0", task=FlowTask)
class FlowModule(_Trained):
    @FlowTask.taskmethod(output_streaming=True)
    def run_flow(self, text: str) -> DataStream[Told]:
        return DataStream.from_iterable([self._told(text)])

    @classmethod
    def train(cls, note: str) -> "FlowModule":
        return cls(note)


@module(id="00110203-0405-0607-0809-0a0b02dd1e04", name="MessageModule", version="0.1.0", task=MessageTask)
class MessageModule(_Trained):
    @MessageTask.taskmethod()
    def run(self, message: Text) -> Told:
        return self._told(message.text)
