"""Requests as multipart forms: keys with dots are the paths of fields, files are bytes or messages of files."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from .._schema.declaration import members_of


async def values_of_form(model: type[BaseModel], request: Request) -> dict[str, Any]:
    """Return the values of a form for a model.

    Raises:
        HTTPException: the model has no such field.
    """
    values: dict[str, Any] = {}
    async with request.form() as form:
        for key in form:
            kind = _kind_at(model, key.split("."))
            is_list = get_origin(kind) is list
            item_kind = get_args(kind)[0] if is_list else kind
            items = [await _value(item_kind, item) for item in form.getlist(key)]
            *outer, last = key.split(".")
            place = values
            for step in outer:
                place = place.setdefault(step, {})
            place[last] = items if is_list else items[0]
    return values


def _kind_at(model: type[BaseModel], path: list[str]) -> Any:
    kind: Any = model
    for step in path:
        models = [member for member in members_of(kind) if _is_model(member) and step in member.model_fields]
        if not models:
            raise HTTPException(422, f"Unknown key '{'.'.join(path)}'")
        kind = models[0].model_fields[step].annotation
    others = [member for member in members_of(kind) if member is not type(None)]
    return others[0] if len(others) == 1 else kind


async def _value(kind: Any, item: UploadFile | str) -> Any:
    if isinstance(item, UploadFile):
        data = await item.read()
        is_file = _is_model(kind) and {"data", "filename"} <= kind.model_fields.keys()
        file = {"filename": item.filename, "data": data, "type": item.content_type}
        return {name: value for name, value in file.items() if value is not None} if is_file else data
    if any(map(_is_model, members_of(kind))) or get_origin(kind) is dict:
        try:
            return json.loads(item)
        except ValueError:
            return item
    return item


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
