"""Makes pydantic models and Python types from the JSON schemas of an OpenAPI document.

pydantic validates in both directions. Python values are validated strictly (no text for a number); text for bytes and
times and caikit's names for members of unions are only read from JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ForwardRef, Union, get_args

from pydantic import BaseModel, TypeAdapter, create_model, model_validator
from pydantic import Field as PydanticField

from ..._text.cleaning import clean, clean_lines
from ...errors import SchemaError
from ..budget import MAX_NAME, Budget
from ..dynamic_types import Part, Recipe, as_schema_error, publish
from ..identifiers import attributes_of
from ..model_references import complete
from ..type_order import Groups
from .messages import PLAIN, ClosedMessage, OpenMessage, union_reader
from .pickled_parts import Parts
from .schemas import ANY_NODE, SchemaNode, Schemas, is_null, members_of, object_name
from .value_types import ANY_JSON, BYTES, FORMATS, SCALARS, OneOf, bare, enum_of, list_of, map_of

FILE_TYPE = "caikit_data_model.common.File"
"""The type that multipart requests send as a file."""
_MAX_SIZE = 10_000
"""The types inside a type, counting repeated ones."""
_MAX_DEPTH = 50
"""The nesting of lists, maps and unions."""
_MAX_MEMBERS = 5_000
"""The different types of a union."""
_MAX_FIELDS = 20_000
"""The fields of an object. pydantic takes about two seconds for a model of this size."""
_MAX_DEFAULT_STEPS = 10_000
"""The steps of validating a default. A larger default is left to the server."""
_UNBOUNDED = 1_000_000
_MAX_DESCRIPTION = 4_000
"""The characters of a type's or a field's description."""


@dataclass(slots=True)
class _TypeInfo:
    """A Python type made from a schema.

    Attributes:
        kind: the type.
        size: the number of types inside it and itself; models count as one.
        depth: how deeply these are nested.
        steps: the steps of validating a value, with those of the models inside.
        is_plain: see `messages.is_plain`.
    """

    kind: Any
    size: int = 1
    depth: int = 0
    steps: int = 1
    is_plain: bool = True


@dataclass(slots=True, eq=False)
class _Model:
    """The class of all objects with equal schemas, whatever their names. While a cycle is made, a forward reference."""

    full_name: str
    recipe: Recipe
    kind: Any = None


class JsonTypes(Schemas):
    """The types of one document. Every type is made once, and shared with other servers that have the same.

    Types are made after the types they refer to, those of a cycle together: no recursion, whatever the depth.

    Args:
        components: the document's shared schemas.
        budget: counts the cost of the types.
    """

    def __init__(self, components: Mapping[str, Any], budget: Budget) -> None:
        super().__init__(components, budget)
        self.by_name: dict[str, type[Any]] = {}
        self._parts = Parts(components, budget, make)
        self._groups = Groups(self._references)
        self._inner_nodes: dict[SchemaNode, list[SchemaNode]] = {}
        self._made: dict[SchemaNode, _TypeInfo] = {ANY_NODE: _TypeInfo(ANY_JSON)}
        self._models: dict[bytes, _Model] = {}
        self._list_unions: dict[SchemaNode, bool | None] = {}
        self._names: dict[str, int] = {}
        """Full name -> the number of types that were made with it."""

    def of(self, schema: Any) -> Any:
        """Return the type of a schema."""
        info = self._make(self.node(schema))
        self._budget.spend("nodes", info.size)
        return info.kind

    def model(self, name: str, schema: Mapping[str, Any]) -> Any:
        """Return the model of an object with properties.

        Args:
            name: the component's name; empty for a schema inside another.
            schema: the resolved schema.
        """
        return self._make(self.node_of(name, schema)).kind

    def _make(self, node: SchemaNode) -> _TypeInfo:
        if node not in self._made:
            for group in self._groups.of(node):
                if len(group) > 1 or group[0] in self._inner(group[0]):
                    self._make_cycle(group)
                elif group[0].kind == "object":
                    self._make_object(group[0])
                else:
                    self._made[group[0]] = self._make_other(group[0])
        return self._made[node]

    def _inner(self, node: SchemaNode) -> list[SchemaNode]:
        inner = self._inner_nodes.get(node)
        if inner is None:
            self._budget.check()
            inner = self._inner_nodes[node] = [self.node(schema) for schema in node.inner]
            if node.kind == "union" and len(inner) > _MAX_MEMBERS:  # before all of them are made
                _check_members(len({member for member in inner if member.kind == "object"}))
        return inner

    def _references(self, node: SchemaNode) -> list[SchemaNode]:
        """Return the nodes to make before this one. Types with nothing inside are made at once."""
        references = []
        for inner in self._inner(node):
            if inner.inner or inner.kind == "object":
                references.append(inner)
            elif inner not in self._made:
                self._made[inner] = self._make_other(inner)
        return references

    # -- types other than objects -------------------------------------------------------------------------------------

    def _make_other(self, node: SchemaNode) -> _TypeInfo:
        """Make the type of a node that is no object. All types inside it are made."""
        if node.kind == "scalar":
            return _scalar(node.schema or {})
        inner = [self._made[inner] for inner in dict.fromkeys(self._inner(node))]
        made = self._combine(node, inner)
        made.size = 1 + sum(info.size for info in inner)
        made.depth = 1 + max((info.depth for info in inner), default=-1)
        made.steps = min(1 + sum(info.steps for info in inner), _UNBOUNDED)
        if made.size > _MAX_SIZE or made.depth > _MAX_DEPTH:
            name = f"the schema {clean(node.name, 100)}" if node.name else "a schema"
            limit = f"{_MAX_DEPTH} levels" if made.depth > _MAX_DEPTH else f"{_MAX_SIZE:,} types"
            raise SchemaError(f"{name} is nested too deeply: more than {limit} inside of each other")
        return _TypeInfo(ANY_JSON) if made.kind is ANY_JSON else made

    def _combine(self, node: SchemaNode, inner: list[_TypeInfo]) -> _TypeInfo:
        schema = node.schema or {}
        if node.kind == "union":
            return _union(inner)
        if node.kind == "list":
            return _TypeInfo(list_of(inner[0].kind), is_plain=inner[0].is_plain)
        if node.kind == "map":
            return _TypeInfo(map_of(inner[0].kind), is_plain=inner[0].is_plain)
        if node.kind == "enum":
            self._budget.spend("nodes", len(schema["enum"]))
            kind = enum_of(schema["enum"])
            return _TypeInfo(kind, is_plain=bare(kind) in (str, Any))
        return _TypeInfo(ANY_JSON)

    # -- objects ------------------------------------------------------------------------------------------------------

    def _make_object(self, node: SchemaNode) -> None:
        model = self._model_of(node)
        if model.kind is None:
            model.kind = model.recipe.find() or publish([self._create(node, model)], [model.recipe])[0]
            self.by_name[model.full_name] = model.kind
        fields = [self._made[inner] for inner in self._inner(node)]
        steps = min(1 + sum(info.steps for info in fields), _UNBOUNDED)
        self._made[node] = _TypeInfo(model.kind, steps=steps, is_plain=all(info.is_plain for info in fields))

    def _make_cycle(self, group: list[SchemaNode]) -> None:
        """Make schemas that refer to one another, with forward references to the objects until all are made.

        Lists, maps and unions in a cycle without objects become any JSON.
        """
        objects = {node: self._model_of(node) for node in group if node.kind == "object"}
        others = [node for node in group if node.kind != "object"]
        new = {model: node for node, model in objects.items() if model.kind is None}
        kinds: dict[_Model, Any] = {model: model.recipe.find() for model in new}
        if None in kinds.values():
            self._refer(objects, others, {model: ForwardRef(f"_type_{index}") for index, model in enumerate(new)})
            is_plain = all(self._made[inner].is_plain for node in objects for inner in self._inner(node))
            kinds = {model: self._create(node, model, is_plain=is_plain) for model, node in new.items()}
            self._complete(kinds)
            published = publish([*kinds.values()], [model.recipe for model in kinds])
            kinds = dict(zip(kinds, published, strict=True))
        self.by_name |= {model.full_name: kind for model, kind in kinds.items()}
        self._refer(objects, others, kinds)

    def _refer(
        self, objects: Mapping[SchemaNode, _Model], others: Sequence[SchemaNode], kinds: Mapping[_Model, Any]
    ) -> None:
        """Set the types of a cycle's objects, and make the other types, which refer to them."""
        for model, kind in kinds.items():
            model.kind = kind
        for node, model in objects.items():
            self._made[node] = _TypeInfo(model.kind, steps=_UNBOUNDED, is_plain=getattr(model.kind, PLAIN, True))
        among = set(others)
        groups = Groups[SchemaNode](lambda node: [inner for inner in self._inner(node) if inner in among])
        for group in (group for node in others for group in groups.of(node)):
            if len(group) > 1 or group[0] in self._inner(group[0]):
                self._made |= {node: _TypeInfo(ANY_JSON) for node in group}
            self._made |= {node: self._make_other(node) for node in group}

    def _complete(self, models: Mapping[_Model, type[BaseModel]]) -> None:
        """Resolve the forward references of models."""
        namespace = {model.kind.__forward_arg__: kind for model, kind in models.items()}
        with as_schema_error(next(iter(models)).full_name):
            complete([*models.values()], namespace, self._budget)

    def _model_of(self, node: SchemaNode) -> _Model:
        assert node.schema is not None
        name = object_name(node.name, node.schema) or "Object"
        base = self._budget.check_name(clean(name, MAX_NAME + 1))
        recipe = self._parts.recipe(node.name, base, node.schema)
        if recipe.digest not in self._models:
            self._budget.spend("types")
            self._models[recipe.digest] = _Model(self._full_name(base), recipe)
        return self._models[recipe.digest]

    def _full_name(self, base: str) -> str:
        """Return a unique name. The second type of a name has an underscore appended, the third `_2`, ..."""
        name = base
        while name in self._names:
            number = self._names[base] = self._names[base] + 1
            name = f"{base}_" if number == 1 else f"{base}_{number}"
        self._names[name] = 0
        return name

    def _create(self, node: SchemaNode, model: _Model, *, is_plain: bool | None = None) -> type[BaseModel]:
        assert node.schema is not None
        properties = node.schema["properties"]
        inner = self._inner(node)
        if len(inner) > _MAX_FIELDS:
            name = clean(model.full_name, 200)
            raise SchemaError(f"{name} has {len(inner):,} fields; {_MAX_FIELDS:,} are the most")
        infos = [self._made[field] for field in inner]
        self._budget.spend("nodes", sum(info.size for info in infos))
        attributes = attributes_of(properties)
        fields: Any = {
            attributes[name]: self._field(name, attributes[name], schema, info)
            for (name, schema), info in zip(properties.items(), infos, strict=True)
        }
        lists = zip(properties, map(self._is_list_union, inner), strict=True)
        unions = {name: is_list for name, is_list in lists if is_list is not None}
        module, _, name = model.full_name.rpartition(".")
        with as_schema_error(model.full_name):
            kind: type[BaseModel] = create_model(
                name,
                __base__=ClosedMessage if node.schema.get("additionalProperties") is False else OpenMessage,
                __module__=module or __name__,
                __doc__=_description(node.schema) or f"{model.full_name}, as the server describes it.",
                __validators__=_validators(unions, frozenset(properties)),
                **fields,
            )
        setattr(kind, PLAIN, all(info.is_plain for info in infos) if is_plain is None else is_plain)
        return kind

    def _field(self, name: str, attribute: str, schema: Any, info: _TypeInfo) -> Any:
        self._budget.check()
        self._budget.check_name(name)
        options: dict[str, Any] = {"default": self._default(info, schema)}
        if name != attribute:
            options["alias"] = name
        if isinstance(schema, Mapping) and "$ref" not in schema:
            options["description"] = _description(schema) or None
        return (_either(info.kind, None), PydanticField(**options))

    def _default(self, info: _TypeInfo, schema: Any) -> Any:
        """Return a field's default, or None if it has none that is valid for its type."""
        default = schema.get("default") if isinstance(schema, Mapping) else None
        if default is None:
            return None
        steps = info.steps * _size(default)
        if steps > _MAX_DEFAULT_STEPS:
            return None
        self._budget.spend("nodes", steps)
        try:
            return _adapter(info.kind).validate_python(default)
        except Exception:
            return None

    def _is_list_union(self, node: SchemaNode) -> bool | None:
        """Return whether all members of a union are lists; None for other types."""
        if node.kind != "union":
            return None
        if node not in self._list_unions:
            members = [member for member in members_of(node.schema) if isinstance(member, Mapping)]
            members = [member for member in members if not is_null(member)]
            is_list = all(member.get("type") == "array" for member in members)
            self._list_unions[node] = is_list if len(members) > 1 else None
        return self._list_unions[node]


def make(name: str, parts: tuple[Part, ...]) -> type[Any]:
    """Return the class of an object, made from the parts of its recipe."""
    schemas = {part.name: json.loads(part.data) for part in parts}
    own = schemas.pop("", None)
    made: type[Any] = JsonTypes(schemas, Budget()).model(name, schemas[name] if own is None else own)
    return made


def _validators(unions: Mapping[str, bool], names: frozenset[str]) -> Any:
    """Return the validators of a model. No field has their name, as attributes have no leading underscore."""
    return {"_read_unions": model_validator(mode="before")(union_reader(unions, names))} if unions else {}


def _union(inner: Sequence[_TypeInfo]) -> _TypeInfo:
    members = [info for info in inner if info.kind is not None]
    kinds = [*{id(info.kind): info.kind for info in members}.values()]
    if not kinds or any(kind is ANY_JSON for kind in kinds):
        return _TypeInfo(ANY_JSON)
    kind: Any = Union[tuple(kinds)]  # noqa: UP007 - forward references have no |
    _check_members(len(get_args(kind)))
    is_plain = len(kinds) == 1 and all(info.is_plain for info in members)
    if len(kinds) > 1:
        kind = Annotated[kind, OneOf(kinds)]
    return _TypeInfo(kind if len(members) == len(inner) else _either(kind, None), is_plain=is_plain)


def _check_members(number: int) -> None:
    if number > _MAX_MEMBERS:
        raise SchemaError(f"a union has {number:,} types; {_MAX_MEMBERS:,} are the most")


def _scalar(schema: Mapping[str, Any]) -> _TypeInfo:
    kind, text_format = schema.get("type"), schema.get("format")
    if not isinstance(kind, str):
        return _TypeInfo(ANY_JSON)
    if kind == "string" and schema.get("contentMediaType") == "application/octet-stream":
        return _TypeInfo(BYTES, is_plain=False)  # newer versions of FastAPI write `format: binary` this way
    if kind == "string" and isinstance(text_format, str) and text_format in FORMATS:
        return _TypeInfo(FORMATS[text_format], is_plain=False)
    return _TypeInfo(SCALARS.get(kind, ANY_JSON))


def _size(value: Any) -> int:
    """Return the number of values in a JSON value, at most about `_MAX_DEFAULT_STEPS`."""
    size, waiting = 0, [value]
    while waiting and size <= _MAX_DEFAULT_STEPS:
        size += 1
        item = waiting.pop()
        if isinstance(item, (dict, list)):
            size += len(item)
            waiting += item.values() if isinstance(item, dict) else item
    return size


_adapters: dict[int, TypeAdapter[Any]] = {}
_KEPT = {id(kind) for kind in (ANY_JSON, BYTES, *SCALARS.values(), *FORMATS.values())}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    adapter = _adapters.get(id(kind)) or TypeAdapter(kind)
    if id(kind) in _KEPT:
        _adapters[id(kind)] = adapter
    return adapter


def _either(one: Any, other: Any) -> Any:
    return Union[one, other]  # noqa: UP007 - forward references have no |


def _description(schema: Mapping[str, Any]) -> str:
    """Return a schema's description without control characters."""
    description = schema.get("description")
    return clean_lines(description, _MAX_DESCRIPTION) if description and isinstance(description, str) else ""
