"""`remote-client train`: starts a training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .completers import training_arguments
from .jobs import left_running, told
from .output import write_json, write_line
from .parameters import AllOptions, Flag, Input, Model
from .progress import note, status_line
from .usage import UsageError

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
    async with options.client() as client:
        trained = await client.model(model)
        rpc, given = _training(trained.config, module, arguments, input)
        with status_line(f"starting a training of {model}"):
            job = await trained.train(
                **given, _model_name=model_name, _output_path=output_path, **_named(trained.config, rpc)
            )
        if options.json:
            write_json({"training_id": job.id, "model_name": job.model_name})
        else:
            write_line(job.id)
            note(f"{told(job)} makes the model {job.model_name}")
        if wait:
            await _wait(job)
    return 0


async def _wait(job: TrainingJob[Any]) -> None:
    with left_running(job, f"remote-client jobs wait --training {job.id}"), status_line(told(job)) as show:
        await job.model(progress=lambda info: show(told(job, info)))


def _training(
    config: RemoteModuleConfig, module: str | None, words: Sequence[str], input: str | None
) -> tuple[RemoteRPCDescriptor, dict[str, Any]]:
    """Return the training and its arguments: the one of the module, or else the only one that takes the arguments.

    Raises:
        UsageError: there is none, or there are several.
    """
    from functools import cache

    from .._schema.arguments import required_parameters
    from .streamed_input import read_file

    read = cache(read_file)  # standard input can be read once, and every training tries the arguments
    candidates = _candidates(config, module)
    fitting: list[tuple[RemoteRPCDescriptor, dict[str, Any]]] = []
    refusals: list[str] = []
    for rpc in candidates:
        try:
            given = _arguments(rpc, words, input, read)
        except UsageError as error:
            if len(candidates) == 1:
                raise
            refusals.append(f"{rpc.module}: {error}")
            continue
        missing = required_parameters(rpc.signature) - given.keys()
        if missing and len(candidates) > 1:
            refusals.append(f"{rpc.module}: missing {', '.join(sorted(missing))}")
        else:
            fitting.append((rpc, given))
    if len(fitting) != 1:
        reasons = [f"{rpc.module}: {rpc}" for rpc, _ in fitting] or refusals
        count = "several trainings take" if fitting else "no training takes"
        raise UsageError(f"{count} these arguments; --module chooses one: {'; '.join(reasons)}")
    return fitting[0]


def _candidates(config: RemoteModuleConfig, module: str | None) -> list[RemoteRPCDescriptor]:
    if module is None:
        found = config.trainings if config.train_method is None else [config.train_method]
    else:
        found = [rpc for rpc in config.trainings if module in (rpc.module, rpc.rpc_name, rpc.full_name)]
    if not found:
        known = ", ".join(rpc.module for rpc in config.trainings)
        raise UsageError(
            f"--module {module}: the trainings are of {known}" if known else "the runtime has no trainings"
        )
    return found


def _named(config: RemoteModuleConfig, rpc: RemoteRPCDescriptor) -> dict[str, str]:
    """Return the argument of `train` that names the training."""
    is_taken = any("module" in training.signature.parameters for training in config.trainings)
    return {"_module" if is_taken else "module": rpc.full_name}


def _arguments(
    rpc: RemoteRPCDescriptor, words: Sequence[str], input: str | None, read: Callable[[str, str], bytes]
) -> dict[str, Any]:
    """Return the arguments of a training. Raises a UsageError."""
    from .._bulk.kinds import kind_of
    from .._schema.training_data import DATA_STREAM
    from .call_arguments import CallArguments

    parameters = rpc.signature.parameters.items()
    streams = {name for name, each in parameters if DATA_STREAM in kind_of(each.annotation).fields}
    files = {name: file for name, at, file in (word.partition("@") for word in words) if at and name in streams}
    rest = [word for word in words if word.partition("@")[0] not in files]
    rows = {name: _rows(read(file, f"{name}@{file}"), f"{name}@{file}") for name, file in files.items()}
    return {**CallArguments(rpc, read).of(rest, input), **rows}


def _rows(data: bytes, word: str) -> list[Any]:
    """Return the rows in a file: a list, or a line each."""
    try:
        text = data.decode("utf-8-sig")
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise UsageError(f"{word}: not JSON Lines: {error}") from None
