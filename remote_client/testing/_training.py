"""Trainings of declared modules: their data, and what becomes of the new model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from .._schema.training_data import DATA_STREAM
from ..errors import InvalidArgumentError
from ._bodies import run
from ._library import OwnMethod
from ._models import Models, instance_of
from ._services import rows_of


class Rows(list[Any]):
    """Training data, which plain functions read with `for`, coroutines with `async for`."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        for row in self:
            yield row


async def train(models: Models, module: type, own: OwnMethod, name: str, given: Mapping[str, Any]) -> None:
    """Call the body of a training, and serve the model that it returns.

    Args:
        models: the models of the runtime.
        module: the class whose `train` is called.
        own: its method.
        name: the name of the new model.
        given: the values that were sent.
    """
    parameters = own.declared.signature.parameters
    sources = [key for key in given if key in parameters and rows_of(parameters[key].annotation) is not None]
    arguments = own.arguments.read({**given, **{key: [*_rows(given[key][DATA_STREAM])] for key in sources}})
    arguments |= {key: Rows(arguments[key]) for key in sources}
    trained = await run(models.example(module).train, arguments)
    models.add(name, instance_of(module) if trained is None else trained)


def _rows(source: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the rows of a data stream source: given ones, or those in files of JSON."""
    if "data" in source:
        yield from source["data"]
    elif "filename" in source:
        yield from _rows_in(Path(source["filename"]))
    elif "files" in source:
        for name in source["files"]:
            yield from _rows_in(Path(name))
    else:
        extension = source.get("extension") or "json"
        for path in sorted(Path(source["dirname"]).glob(f"*.{extension}")):
            yield from _rows_in(path)


def _rows_in(path: Path) -> Iterator[Any]:
    try:
        text = path.read_text()
        found = [*map(json.loads, text.splitlines())] if path.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"{path} is no file of JSON rows: {error}") from None
    yield from found if isinstance(found, list) else [found]
