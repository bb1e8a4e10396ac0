"""`remote-client call`: calls a model with the arguments on the command line, and writes its answer or its stream."""

from __future__ import annotations

from typing import Any, Literal

from .methods import method_to_call
from .parameters import AllOptions, Flag, Input, Model, Output, Task, Word


async def call(
    model: Model,
    task: Task,
    /,
    *arguments: Word,
    input: Input = None,
    format: Literal["dict", "json", "file"] | None = None,
    text: Flag = False,
    field: str | None = None,
    output: Output = None,
    options: AllOptions,
) -> int:
    """Call a model and print its answer; of a stream, every answer on a line of its own as it comes.

    ARGUMENTS are name=text, name:=json and name@file; name may be a field of an argument, such as input.name=World.
    Texts become what the argument takes: numbers and true are JSON, bytes base64, times ISO 8601. A file is taken as
    bytes, as a file with its name and type, as text, as the items of a stream (JSON Lines), or else as JSON.
    name=@file and name:=@file are a text and JSON from a file. The file - is standard input.

    Args:
        model: The model's name.
        task: The task's class, such as SampleTask, or the method's name, such as run_sample_stream_out.
        arguments: The arguments of the method.
        input: A file with JSON, or - for standard input: the arguments as an object, or the value of the first one.
            For a streamed input JSON Lines, an item each; without it, standard input.
        format: json; dict, as Python writes it; or file, the bytes of an answer that is a file.
        text: Print the text of the answers: of a stream, joined.
        field: Print this field of the answer, such as file.data.
        output: The file for the answer. The default is standard output.
        options: Name the runtime.
    """
    from .answers import answer_writer
    from .call_arguments import CallArguments

    async with options.client() as client:
        method: Any = await method_to_call(client, model, task)
        given = CallArguments(method.rpc).of(arguments, input)
        writer = answer_writer(method.rpc, format, text=text, field=field, output=output)
        if method.rpc.output_streaming:
            async with method(**given) as stream:
                await writer.write_stream(stream)
        else:
            await writer.write_only(await method(**given))
    return 0
