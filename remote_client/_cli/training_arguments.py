"""The training that arguments on the command line are for, and its training data from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from .._bulk.kinds import Kind, kind_of
from .._schema.arguments import required_parameters
from .._schema.declared.types import core, fields_of
from .._schema.training_data import DATA_STREAM
from .arguments import value_of_json
from .call_arguments import CallArguments
from .streamed_input import read_file
from .usage import UsageError

if TYPE_CHECKING:
    from .._client.module_config import RemoteModuleConfig
    from .._schema.rpc import RemoteRPCDescriptor


class TrainingArguments:
    """Finds the training that takes the arguments.

    Args:
        words: such as `name=text`; `data@rows.jsonl` are rows of training data.
        input: the file of `--input`.
    """

    def __init__(self, words: Sequence[str], input: str | None) -> None:
        self._words = words
        self._input = input
        self._read = cache(read_file)  # standard input can be read once, and every training tries the arguments

    def training(self, config: RemoteModuleConfig, module: str | None) -> tuple[RemoteRPCDescriptor, dict[str, Any]]:
        """Return the training and its arguments: that of the module, or else the only one that takes them.

        Raises:
            UsageError: there is none, or there are several.
        """
        candidates = _candidates(config, module)
        if len(candidates) == 1:
            return candidates[0], self._of(candidates[0])
        fitting: list[tuple[RemoteRPCDescriptor, dict[str, Any]]] = []
        refusals: list[str] = []
        for rpc in candidates:
            try:
                fitting.append((rpc, self._complete(rpc)))
            except UsageError as error:
                refusals.append(f"{rpc.module}: {error}")
        if len(fitting) == 1:
            return fitting[0]
        reasons = [f"{rpc.module}: {rpc}" for rpc, _ in fitting] or refusals
        count = "several trainings take" if fitting else "no training takes"
        raise UsageError(f"{count} these arguments; --module chooses one: {'; '.join(reasons)}")

    def _complete(self, rpc: RemoteRPCDescriptor) -> dict[str, Any]:
        given = self._of(rpc)
        if missing := sorted(required_parameters(rpc.signature) - given.keys()):
            raise UsageError(f"missing {', '.join(missing)}")
        return given

    def _of(self, rpc: RemoteRPCDescriptor) -> dict[str, Any]:
        """Return the arguments of a training. A word for training data from a file is no word of `call`."""
        kinds, others = row_kinds(rpc), []
        rows: dict[str, list[Any]] = {}
        for word in self._words:
            name, at, file = word.partition("@")
            if name not in kinds or not at:
                others.append(word)
            elif name in rows or any(other.startswith((f"{name}=", f"{name}:")) for other in self._words):
                raise UsageError(f"{word}: {name} is given twice")
            else:
                rows[name] = self._rows(kinds[name], file, word)
        return CallArguments(rpc, self._read).of(others, self._input) | rows

    def _rows(self, kind: Kind, file: str, word: str) -> list[Any]:
        """Return the rows in a file: a list, or a line each."""
        try:
            text = self._read(file, word).decode("utf-8-sig")
            is_list = text.lstrip().startswith("[")
            rows = json.loads(text) if is_list else [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            raise UsageError(f"{word}: not JSON Lines: {error}") from None
        try:
            return [value_of_json(kind, row) for row in rows]
        except ValueError as error:
            raise UsageError(f"{word}: {error}") from None


def _candidates(config: RemoteModuleConfig, module: str | None) -> list[RemoteRPCDescriptor]:
    known = sorted(config.trainings, key=lambda rpc: rpc.module != config.module_name)  # its own is told first
    if not known:
        raise UsageError("the runtime has no trainings")
    if module is None:
        return known if config.train_method is None else [config.train_method]
    found = [rpc for rpc in known if module in (rpc.module, rpc.rpc_name, rpc.full_name)]
    if not found:
        raise UsageError(f"--module {module}: the trainings are of {', '.join(rpc.module for rpc in known)}")
    return found


def row_kinds(rpc: RemoteRPCDescriptor) -> Mapping[str, Kind]:
    """Return the kinds of the rows of training data, by the arguments of a training that take such data."""
    found = {name: _row_kind(each.annotation) for name, each in rpc.signature.parameters.items()}
    return {name: kind for name, kind in found.items() if kind is not None}


def _row_kind(annotation: Any) -> Kind | None:
    sources = (fields_of(core(annotation)) or {}).get(DATA_STREAM)
    for source in get_args(core(sources)):
        rows = (fields_of(source) or {}).get("data")  # the others are files
        if rows is not None:
            return kind_of(rows).items[0]
    return None
