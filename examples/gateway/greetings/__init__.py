"""A caikit library with one module, which greets."""

from collections.abc import Iterable

from caikit.core import DataObjectBase, ModuleBase, ModuleConfig, TaskBase, dataobject, module, task
from caikit.core.data_model import DataStream
from caikit.core.modules import ModuleSaver


@dataobject(package="caikit_data_model.greetings")
class Greeting(DataObjectBase):
    """What the module says."""

    text: str


@task(unary_parameters={"name": str}, unary_output_type=Greeting, streaming_output_type=Iterable[Greeting])
class GreetTask(TaskBase):
    """Greets."""


@module(id="5a6dc1a2-0d3a-4a35-8f0f-3a1f4a1c0001", name="Greeter", version="1.0.0", task=GreetTask)
class Greeter(ModuleBase):
    """Greets with a word that it was trained with."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word

    @classmethod
    def load(cls, model_path: str, **_: object) -> "Greeter":
        """Return the module of a model."""
        return cls(ModuleConfig.load(model_path).word)

    def save(self, model_path: str) -> None:
        """Write the model to a folder."""
        with ModuleSaver(self, model_path=model_path) as saver:
            saver.update_config({"word": self._word})

    @GreetTask.taskmethod()
    def run(self, name: str) -> Greeting:
        """Greet once."""
        return Greeting(text=f"{self._word} {name}")

    @GreetTask.taskmethod(output_streaming=True)
    def run_stream_out(self, name: str, count: int = 3) -> DataStream[Greeting]:
        """Greet several times."""
        return DataStream(lambda: (Greeting(text=f"{self._word} {name} {number}") for number in range(count)))

    @classmethod
    def train(cls, word: str) -> "Greeter":
        """Learn a word."""
        return cls(word)
