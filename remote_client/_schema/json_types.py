"""pydantic models and Python types, made of the JSON schemas of an OpenAPI document.

pydantic itself converts and checks, in both directions: Python values are taken strictly (no text for a number), and
what JSON cannot say (bytes, times, which member of a union) is read only from JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    Strict,
    TypeAdapter,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic import Field as PydanticField
from pydantic_core import core_schema

from .._html import table
from ..errors import SchemaError, clean, kind_of, shown
from .attributes import complete
from .foreign import EXACT_INTEGER, candidates
from .foreign import text as text_of
from .identifiers import attributes_of
from .json_schemas import Schemas, is_any_object, is_null, members_of, outline_of
from .json_values import ARGUMENT, plain
from .learned import LearnedModel, Unfinished
from .openapi_parts import Parts

FILE = "caikit_data_model.common.File"
"""The type that a multipart request sends as a file."""


class JsonMessage(LearnedModel):
    """The base of the pydantic models made from a server's JSON schemas. Bytes are base64 in JSON."""

    model_config = ConfigDict(
        protected_namespaces=(),
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        revalidate_instances="always",
        ser_json_inf_nan="constants",
    )

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self)


def _from_json(kind: type[Any], read: Callable[[str], Any], info: ValidationInfo, value: Any) -> Any:
    """A value of a type that JSON only has as text: in JSON it is text, in Python nothing but the type itself."""
    if info.mode == "json":
        if isinstance(value, str):
            return read(value)
    elif isinstance(value, kind) and not (kind is date and isinstance(value, datetime)):
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):  # pandas has them
            raise ValueError("expected whole microseconds: more digits would be lost in JSON")
        return value
    raise ValueError(f"expected {kind.__name__}, not {kind_of(value)}")


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected base64: {error}") from None


def _bytes(value: Any, info: ValidationInfo) -> bytes:
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    result: bytes = _from_json(bytes, _base64, info, value)
    return result


def _timed(kind: type[Any]) -> BeforeValidator:
    return BeforeValidator(lambda value, info: _from_json(kind, lambda text: text, info, value))


def _aware(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("expected a datetime with a time zone, as datetime.now(timezone.utc) gives")
    return value


def _open(value: Any, info: ValidationInfo) -> Any:
    return value if info.mode == "json" else plain(value, text=True)


BYTES: Any = Annotated[
    bytes,
    BeforeValidator(_bytes),
    # pydantic's own base64 has another alphabet, of which the runtime drops what it does not know.
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
]
OPEN: Any = Annotated[Any, BeforeValidator(_open)]
"""Any JSON value."""
_INTEGER: Any = Annotated[int, Strict(), PydanticField(ge=-(2**63), le=2**64 - 1)]


def _large_double(value: Any) -> float:
    with suppress(OverflowError):
        if value.__class__ is int and float(value) == value:
            return float(value)
    raise ValueError


class _Exact:
    """Takes floats, and the integers that are one: pydantic's strict float rounds whatever has a `__float__`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        number = core_schema.float_schema(strict=True)
        small = core_schema.int_schema(strict=True, ge=-EXACT_INTEGER, le=EXACT_INTEGER)
        large = core_schema.no_info_plain_validator_function(_large_double)
        integer = core_schema.union_schema([core_schema.chain_schema([small, number]), large], mode="left_to_right")
        # A smart union is done at a first member that fits as it is: lists of floats cost as much as without it.
        python = core_schema.union_schema(
            [core_schema.is_instance_schema(float), integer],
            custom_error_type="double",
            custom_error_message="expected float",
        )
        return core_schema.json_or_python_schema(
            json_schema=number, python_schema=python, serialization=core_schema.simple_ser_schema("float")
        )


_SCALARS: dict[str, Any] = {
    "integer": _INTEGER,
    "number": Annotated[float, _Exact()],
    "boolean": Annotated[bool, Strict()],
    "string": Annotated[str, Strict()],
    "null": None,
}
_FORMATS: dict[str, Any] = {
    "binary": BYTES,
    "date-time": Annotated[datetime, _timed(datetime), AfterValidator(_aware)],
    "date": Annotated[date, _timed(date)],
    "time": Annotated[time, _timed(time)],
    "duration": Annotated[timedelta, _timed(timedelta)],
}


class _OneOf:
    """One error for a value that fits no member of a union, instead of one for each."""

    def __init__(self, members: list[Any]) -> None:
        self._expected = ", ".join(map(spelled, members))

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = handler(source)
        if schema["type"] == "union":
            schema["custom_error_type"] = "one_of"
            schema["custom_error_message"] = f"expected one of {self._expected}"
        return schema


class JsonTypes(Schemas):
    """The types of one document, each made once.

    Args:
        components: the document's shared schemas.
    """

    def __init__(self, components: Mapping[str, Any]) -> None:
        super().__init__(components)
        self.by_name: dict[str, type[Any]] = {}
        self._making: dict[str, str] = {}
        self._incomplete: list[type[BaseModel]] = []
        self._unfinished = Unfinished()
        self._parts = Parts(components)
        self._outlines: dict[str, Any] = {}
        self._known: dict[str, Any] = {}

    def of(self, schema: Any) -> Any:
        """The type of a schema."""
        name, schema = self.resolve(schema)
        if schema is None:
            return OPEN
        if not name:
            return self._of(name, schema)
        if name not in self._known:  # once, as the types of a document may refer to each other again and again
            kind = self._of(name, schema)
            if isinstance(kind, ForwardRef):
                return kind
            self._known[name] = kind
        return self._known[name]

    def _of(self, name: str, schema: Mapping[str, Any]) -> Any:
        members = members_of(schema) or schema.get("allOf")
        if isinstance(members, list):
            return self._union(members)
        if isinstance(schema.get("enum"), list):
            return _choice(schema["enum"])
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": each} for each in kind])
        if kind == "object":
            return self._object(name, schema)
        if kind == "array":
            # Strict, so that an iterator is not used up by a first look: see `plain`.
            return Annotated[list[self.of(schema.get("items"))], Strict()]  # type: ignore[misc]
        if kind == "string" and schema.get("contentMediaType") == "application/octet-stream":
            return BYTES  # as newer FastAPI spells `format: binary`
        if kind == "string" and schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        return _SCALARS.get(str(kind), OPEN)

    def _union(self, schemas: list[Any]) -> Any:
        if any(is_any_object(each) for each in schemas):
            return OPEN  # caikit's JSON values: a list of what one level of them may be
        members = [self.of(each) for each in schemas]
        optional = None in members
        members = [each for each in members if each is not None]
        if OPEN in members or not members:
            return OPEN
        kind = members[0] if len(members) == 1 else Annotated[reduce(_either, members), _OneOf(members)]
        return _either(kind, None) if optional else kind

    def _object(self, name: str, schema: Mapping[str, Any]) -> Any:
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            return self.model(name, schema)
        values = schema.get("additionalProperties")
        return dict[str, self.of(values) if isinstance(values, Mapping) else OPEN]  # type: ignore[misc]

    def model(self, name: str, schema: Mapping[str, Any]) -> Any:
        """The model of an object with properties; inside its own making a forward reference."""
        properties = schema["properties"]
        plain_name = _base_name(name, schema)
        full_name = self._full_name(plain_name, outline_of(properties))
        if full_name in self.by_name:
            return self.by_name[full_name]
        if full_name in self._making:
            return ForwardRef(self._making[full_name])
        recipe = self._parts.recipe(name, plain_name, schema)
        if (known := recipe.find()) is not None:
            return self._adopt(full_name, properties, known)
        self._making[full_name] = f"_type_{len(self._making)}"  # no attribute is called so: they have no underscore
        attributes = attributes_of(properties)
        fields = {attributes[each]: self._field(each, attributes[each], inner) for each, inner in properties.items()}
        unions = {each: lists for each, inner in properties.items() if (lists := self._lists(inner)) is not None}
        validators: dict[str, Any] = {}
        if unions:
            # No field is called so: attributes have no underscore in front.
            validators["_untag"] = model_validator(mode="before")(_untagger(unions, frozenset(properties)))
        base = _Closed if schema.get("additionalProperties") is False else _Opened
        try:
            made = create_model(
                full_name.rpartition(".")[2],
                __base__=base,
                __module__=full_name.rpartition(".")[0] or __name__,
                __doc__=_text(schema.get("description")) or f"{full_name}, as the server describes it.",
                __validators__=validators,
                **fields,
            )
        except Exception as error:
            raise SchemaError(f"{full_name} cannot be a pydantic model: {error}") from error
        self.by_name[full_name] = made
        self._unfinished.add(made, recipe)
        self._incomplete.append(made)
        complete(self._incomplete, self._making, self.by_name)
        if not self._incomplete:
            self._unfinished.publish()
        return made

    def _adopt(self, full_name: str, properties: Mapping[str, Any], known: type[Any]) -> type[Any]:
        """Take over a model that is there already, and all types that it has."""
        self.by_name[full_name] = known
        for schema in properties.values():
            self.of(schema)
        return known

    def _full_name(self, full_name: str, outline: Any) -> str:
        while self._outlines.setdefault(full_name, outline) != outline:
            full_name += "_"  # one name for two types
        return full_name

    def _field(self, name: str, attribute: str, schema: Any) -> Any:
        kind = _either(self.of(schema), None)
        options: dict[str, Any] = {"default": _default(kind, schema)}
        if name != attribute:
            options["alias"] = name
        if isinstance(schema, Mapping) and "$ref" not in schema:
            options["description"] = _text(schema.get("description")) or None
        return (kind, PydanticField(**options))

    def _lists(self, schema: Any) -> bool | None:
        """For a union: whether all its members are lists. None for anything else."""
        members = members_of(self.resolve(schema)[1])
        if any(is_any_object(each) for each in members):
            return None
        members = [each for each in members if isinstance(each, Mapping) and not is_null(each)]
        return all(each.get("type") == "array" for each in members) if len(members) > 1 else None


def _base_name(name: str, schema: Mapping[str, Any]) -> str:
    """The name of an object's type: the schema's title, as caikit gives it, or else the component's name."""
    title = _text(schema.get("title"))
    return title if "." in title else name or title or "Object"


class _Closed(JsonMessage):
    model_config = ConfigDict(extra="forbid")


class _Opened(JsonMessage):
    model_config = ConfigDict(extra="allow")


def _default(kind: Any, schema: Any) -> Any:
    """A field's default; None where the document has none of the field's own type."""
    default = schema.get("default") if isinstance(schema, Mapping) else None
    if default is None:
        return None
    try:
        return TypeAdapter(kind).validate_python(default)
    except Exception:  # of a type that is not complete yet, too
        return None


def _untagger(unions: Mapping[str, bool], names: frozenset[str]) -> Any:
    """Puts the members of unions where the schema has the union.

    caikit answers with the member's own name, `<union>_<type>` unless the module chose another, and with
    `{"values": [...]}` for a list; its schema tells neither.
    """

    def untag(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
        if info.mode != "json" or not isinstance(value, dict):
            return value
        untagged = dict(value)
        for key in value.keys() - names:
            absent = [each for each in unions if untagged.get(each) is None]
            owners = [each for each in absent if key.startswith(f"{each}_")] or absent[: len(absent) == 1]
            if owners:
                untagged[max(owners, key=len)] = untagged.pop(key)
        for name, lists in unions.items():
            given = untagged.get(name)
            if lists and isinstance(given, dict) and given.keys() == {"values"}:
                untagged[name] = given["values"]
        return untagged

    return classmethod(untag)


def _choice(values: list[Any]) -> Any:
    """An enum. Of caikit's the schema has the numbers, which requests take, and answers have the names."""
    expected = clean(", ".join(json.dumps(each) for each in values), 300)
    numbers = [each for each in values if isinstance(each, int)]

    def check(value: Any, info: ValidationInfo) -> Any:
        if info.mode == "json" and info.context is not ARGUMENT and isinstance(value, str):
            return value
        for each in candidates(value):
            if not isinstance(each, bool) and each in values:
                return int(each) if isinstance(each, int) else text_of(each) if isinstance(each, str) else each
        hint = ": the server's document does not tell the names' numbers" if numbers and isinstance(value, str) else ""
        raise ValueError(f"expected one of {expected}, not {shown(value)}{hint}")

    return Annotated[int | str if numbers else str, BeforeValidator(check)]


def _either(one: Any, other: Any) -> Any:
    return Union[one, other]  # noqa: UP007 - forward references have no |


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def bare(kind: Any) -> Any:
    """A type as a reader wants it: without the marks that check its values."""
    if get_origin(kind) is Annotated:
        return bare(get_args(kind)[0])
    arguments = [bare(each) for each in get_args(kind)]
    if not arguments:
        return kind
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, arguments)
    return get_origin(kind)[tuple(arguments)]


def is_plain(kind: Any, begun: frozenset[Any] = frozenset()) -> bool:
    """Whether a value of a type is the same in JSON and in Python: no text stands for bytes or times, and no name in
    front of it tells a union's member.
    """
    kind = bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = () if kind in begun else kind.model_fields.values()
        return all(is_plain(each.annotation, begun | {kind}) for each in fields)
    members = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) in (Union, UnionType) and len(members) > 1:
        return False
    return all(is_plain(each, begun) for each in members) if members else kind in (str, int, float, bool, Any)


def spelled(kind: Any) -> str:
    """A type's name in an error message."""
    kind = bare(kind)
    return str(kind) if get_args(kind) else str(getattr(kind, "__name__", kind))
