"""`remote-client train`: starts a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._text.cleaning import clean
from .completers import training_arguments
from .jobs import left_running, told
from .output import write_json, write_line
from .parameters import AllOptions, Flag, Input, Model
from .progress import note, sending, status_line

if TYPE_CHECKING:
    from .._client.jobs import TrainingJob
    from .._client.module_config import RemoteModuleConfig
    from .._schema.rpc import RemoteRPCDescriptor


async def train(
    model: Model,
    /,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=False, completer=training_arguments)],
    input: Input = None,
    model_name: str | None = None,
    output_path: str | None = None,
    module: str | None = None,
    wait: Flag = False,
    options: AllOptions,
) -> int:
    """Train a model on its runtime, and print the id of the training.

    ARGUMENTS are those of `call`. Of training data, data@rows.jsonl sends the rows of a local file (JSON Lines, or a
    list), and data=/data/rows.jsonl names a file on the server. A training is sent once. Interrupting --wait leaves it
    running: `jobs wait --training ID` waits again.

    Args:
        model: A model of the module to train.
        arguments: The arguments of the training.
        input: A file with JSON, or - for standard input: the arguments as an object.
        model_name: The new model's name; by default this model's with a random suffix.
        output_path: Where the runtime keeps the model, an S3 path; by default its own folder.
        module: The class of the module, if the arguments do not show which training is meant.
        wait: Wait until the new model can be called. The exit code is 1 if the training fails.
        options: Name the runtime. With --json the output has the new model's name too.
    """
    from .training_arguments import TrainingArguments

    async with options.client() as client:
        trained = await client.model(model)
        rpc, given = TrainingArguments(arguments, input).training(trained.config, module)
        with sending(f"starting a training of {model}"):
            job = await trained.train(
                **given, _model_name=model_name, _output_path=output_path, **_named(trained.config, rpc)
            )
        if options.json:
            write_json({"training_id": job.id, "model_name": job.model_name})
        else:
            write_line(clean(job.id))
            note(f"{told(job)} makes the model {job.model_name}")
        if wait:
            await _wait(job)
    return 0


async def _wait(job: TrainingJob[Any]) -> None:
    with left_running(job, f"remote-client jobs wait --training {job.id}"), status_line(told(job)) as show:
        await job.model(progress=lambda info: show(told(job, info)))


def _named(config: RemoteModuleConfig, rpc: RemoteRPCDescriptor) -> dict[str, str]:
    """Return the argument of `train` that names the training."""
    is_taken = any("module" in training.signature.parameters for training in config.trainings)
    return {"_module" if is_taken else "module": rpc.full_name}
