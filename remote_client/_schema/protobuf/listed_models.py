"""Lists of models as protobuf's messages, of which models are made one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from pydantic import BaseModel

from ..listed_models import ListedModels
from ..runtime_info import ModelInfo
from .fields import is_map, is_repeated, map_entry, type_of
from .values import get_struct

_STRING = FieldDescriptor.TYPE_STRING
_KINDS: dict[str, Any] = {
    "name": _STRING,
    "module_id": _STRING,
    "loaded": FieldDescriptor.TYPE_BOOL,
    "size": FieldDescriptor.TYPE_INT64,
    "metadata": "google.protobuf.Struct",
    "model_path": _STRING,
    "module_metadata": (_STRING, _STRING),
}
"""The fields of caikit's `ModelInfo`: their types, the name of a message's, and those of a map's keys and values."""
_GIVEN = {*_KINDS}
_SLOTS: list[Callable[[ModelInfo, Any], None]] = [
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
]


def listed_models(answer: Any) -> ListedModels | None:
    """Return the models in an answer of `GetModelsInfo`; None if its fields are not all of caikit's."""
    field = answer.DESCRIPTOR.fields_by_name.get("models")
    if field is None or not is_repeated(field) or field.message_type is None or not _is_caikits(field.message_type):
        return None
    return ListedModels({row.name: row for row in answer.models}, _made)


def _is_caikits(message: Descriptor) -> bool:
    fields = message.fields_by_name
    return all(name in fields and _kind(fields[name]) == kind for name, kind in _KINDS.items())


def _kind(field: FieldDescriptor) -> Any:
    if is_map(field):
        return tuple(member.type for member in map_entry(field))
    kind = type_of(field)
    if is_repeated(field) or field.containing_oneof is not None:
        return None
    return field.type if kind is None else kind.full_name


def _made(rows: Sequence[Any]) -> list[ModelInfo]:
    """Return the models of messages, whose types protobuf has checked, in the order of the fields."""
    values = [
        {
            "name": row.name,
            "module_id": row.module_id,
            "loaded": row.loaded,
            "size": row.size,
            "metadata": get_struct(row.metadata) if row.HasField("metadata") else None,
            "model_path": row.model_path,
            "module_metadata": {key: names[key] for key in names},
        }
        for row, names in ((row, row.module_metadata) for row in rows)
    ]
    given = [_GIVEN - {"metadata"} if each["metadata"] is None else {*_GIVEN} for each in values]
    models = [*map(object.__new__, repeat(ModelInfo, len(rows)))]
    # Every step for all: pydantic's own ways take twice as long for a thousand models.
    contents: tuple[Iterable[Any], ...] = (values, given, repeat(None), repeat(None))
    for set_slot, each in zip(_SLOTS, contents, strict=True):
        deque(map(set_slot, models, each), maxlen=0)
    return models
