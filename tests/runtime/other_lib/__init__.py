"""A second caikit library: the same task name as the sample library's, with other types."""

from typing import Iterable

from caikit.core import DataObjectBase, ModuleBase, TaskBase, dataobject, module, task


@dataobject(package="caikit_data_model.other_lib")
class SampleInputType(DataObjectBase):
    """Same name as the sample library's type, another shape."""

    number: int


@dataobject(package="caikit_data_model.other_lib")
class SampleOutputType(DataObjectBase):
    """Same name as the sample library's type, another shape."""

    doubled: int


@task(
    unary_parameters={"sample_input": SampleInputType},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class SampleTask(TaskBase):
    """Doubles."""


@module(id="11110203-0405-0607-0809-0a0b02dd0e0f", name="OtherModule", version="0.1.0", task=SampleTask)
class OtherModule(ModuleBase):
    """Doubles."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @SampleTask.taskmethod()
    def run(self, sample_input: SampleInputType) -> SampleOutputType:
        """Twice the number."""
        return SampleOutputType(doubled=2 * sample_input.number)
