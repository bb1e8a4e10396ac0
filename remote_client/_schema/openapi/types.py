"""pydantic models and Python types, made of the JSON schemas of an OpenAPI document.

pydantic itself converts and checks, in both directions: Python values are taken strictly (no text for a number), and
what JSON cannot say (bytes, times, which member of a union) is read only from JSON.
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
from .messages import PLAIN, ClosedMessage, OpenMessage, untagger
from .parts import Parts
from .schemas import OPEN_FORM, Form, Schemas, is_null, members_of
from .value_types import BYTES, FORMATS, OPEN, SCALARS, OneOf, bare, choice, list_of, map_of

FILE = "caikit_data_model.common.File"
"""The type that a multipart request sends as a file."""
_MOST_INSIDE = 10_000
"""Lists, maps, members of unions and all else that a type may have inside, however often they repeat."""
_MOST_LEVELS = 50
"""Lists, maps and unions inside of each other."""
_MOST_MEMBERS = 5_000
"""Different types of one union."""
_MOST_FIELDS = 20_000
"""Fields of one object: pydantic makes its model at one go, about a second for half of them."""
_MOST_OF_DEFAULT = 10_000
"""Steps that checking a default may take. Above, a field has none: the server knows its default."""
_ENDLESS = 1_000_000
_DESCRIPTION = 4_000
"""Letters of a type's or a field's description."""


@dataclass(slots=True)
class _Made:
    """What was made of a schema.

    Attributes:
        kind: the Python type.
        inside: how many types it has inside, with itself; a model has none.
        levels: how many of them are inside of each other.
        steps: of checking a value that repeats in it, models and all.
        is_plain: see the function.
    """

    kind: Any
    inside: int = 1
    levels: int = 0
    steps: int = 1
    is_plain: bool = True


@dataclass(slots=True, eq=False)
class _Model:
    """The class of all objects that the document describes alike, of any name; a forward reference for a while."""

    full_name: str
    recipe: Recipe
    kind: Any = None


class JsonTypes(Schemas):
    """The types of one document, each made once. Where another server has the same type it is shared.

    Types that refer to each other are made together, after all others that they refer to: nothing calls itself.

    Args:
        components: the document's shared schemas.
        budget: counts what they cost.
    """

    def __init__(self, components: Mapping[str, Any], budget: Budget) -> None:
        super().__init__(components, budget)
        self.by_name: dict[str, type[Any]] = {}
        self._parts = Parts(components, budget, make)
        self._groups = Groups(self._references)
        self._inner_forms: dict[Form, list[Form]] = {}
        self._made: dict[Form, _Made] = {OPEN_FORM: _Made(OPEN)}
        self._models: dict[bytes, _Model] = {}
        self._list_unions: dict[Form, bool | None] = {}
        self._names: dict[str, int] = {}
        """Full names of types, and how many were made of each."""

    def of(self, schema: Any) -> Any:
        """The type of a schema."""
        made = self._make(self.form(schema))
        self._budget.spend("nodes", made.inside)
        return made.kind

    def model(self, name: str, schema: Mapping[str, Any]) -> Any:
        """The model of an object with properties, of a component's name or none."""
        return self._make(self.form_of(name, schema)).kind

    def _make(self, form: Form) -> _Made:
        if form not in self._made:
            for group in self._groups.of(form):
                if len(group) > 1 or group[0] in self._inner(group[0]):
                    self._make_circle(group)
                elif group[0].kind == "object":
                    self._make_object(group[0])
                else:
                    self._made[group[0]] = self._around(group[0])
        return self._made[form]

    def _inner(self, form: Form) -> list[Form]:
        found = self._inner_forms.get(form)
        if found is None:
            self._budget.check()
            found = self._inner_forms[form] = [self.form(each) for each in form.inner]
            if form.kind == "union" and len(found) > _MOST_MEMBERS:  # before all are made
                _check_members(len({each for each in found if each.kind == "object"}))
        return found

    def _references(self, form: Form) -> list[Form]:
        """What is to be made before a schema; types that have nothing inside are made at once."""
        references = []
        for each in self._inner(form):
            if each.inner or each.kind == "object":
                references.append(each)
            elif each not in self._made:
                self._made[each] = self._around(each)
        return references

    # -- what is around objects ---------------------------------------------------------------------------------------

    def _around(self, form: Form) -> _Made:
        """Make the type of what is no object. All that it has inside is made."""
        if form.kind == "scalar":
            return _scalar(form.schema or {})
        inner = [self._made[each] for each in dict.fromkeys(self._inner(form))]
        made = self._combined(form, inner)
        made.inside = 1 + sum(each.inside for each in inner)
        made.levels = 1 + max((each.levels for each in inner), default=-1)
        made.steps = min(1 + sum(each.steps for each in inner), _ENDLESS)
        if made.inside > _MOST_INSIDE or made.levels > _MOST_LEVELS:
            name = f"the schema {clean(form.name, 100)}" if form.name else "a schema"
            limit = f"{_MOST_LEVELS} levels" if made.levels > _MOST_LEVELS else f"{_MOST_INSIDE:,} types"
            raise SchemaError(f"{name} is nested too deeply: more than {limit} inside of each other")
        return _Made(OPEN) if made.kind is OPEN else made

    def _combined(self, form: Form, inner: list[_Made]) -> _Made:
        schema = form.schema or {}
        if form.kind == "union":
            return _union(inner)
        if form.kind == "list":
            return _Made(list_of(inner[0].kind), is_plain=inner[0].is_plain)
        if form.kind == "map":
            return _Made(map_of(inner[0].kind), is_plain=inner[0].is_plain)
        if form.kind == "choice":
            self._budget.spend("nodes", len(schema["enum"]))
            kind = choice(schema["enum"])
            return _Made(kind, is_plain=bare(kind) in (str, Any))
        return _Made(OPEN)

    # -- objects ------------------------------------------------------------------------------------------------------

    def _make_object(self, form: Form) -> None:
        model = self._model_of(form)
        if model.kind is None:
            model.kind = model.recipe.find() or publish([self._create(form, model)], [model.recipe])[0]
            self.by_name[model.full_name] = model.kind
        self._made[form] = self._object_made(form, model.kind)

    def _object_made(self, form: Form, kind: Any) -> _Made:
        fields = [self._made[each] for each in self._inner(form)]
        steps = min(1 + sum(each.steps for each in fields), _ENDLESS)
        return _Made(kind, steps=steps, is_plain=all(each.is_plain for each in fields))

    def _make_circle(self, group: list[Form]) -> None:
        """Make schemas that refer to each other, the objects by forward references until all are there.

        Lists, maps and unions that refer to each other without an object between them are JSON of any depth.
        """
        objects = {form: self._model_of(form) for form in group if form.kind == "object"}
        others = [form for form in group if form.kind != "object"]
        new = {model: form for form, model in objects.items() if model.kind is None}
        found: dict[_Model, Any] = {model: model.recipe.find() for model in new}
        if None in found.values():
            self._refer(objects, others, {model: ForwardRef(f"_type_{at}") for at, model in enumerate(new)})
            is_plain = all(each.is_plain for form in objects for each in map(self._made.__getitem__, self._inner(form)))
            found = {model: self._create(form, model, is_plain=is_plain) for model, form in new.items()}
            self._complete(found)
            kinds = publish([*found.values()], [model.recipe for model in found])
            found = dict(zip(found, kinds, strict=True))
        self.by_name |= {model.full_name: kind for model, kind in found.items()}
        self._refer(objects, others, found)

    def _refer(self, objects: Mapping[Form, _Model], others: Sequence[Form], kinds: Mapping[_Model, Any]) -> None:
        """Let the types around objects refer to these."""
        for model, kind in kinds.items():
            model.kind = kind
        for form, model in objects.items():
            self._made[form] = _Made(model.kind, steps=_ENDLESS, is_plain=getattr(model.kind, PLAIN, True))
        among = set(others)
        groups = Groups[Form](lambda form: [each for each in self._inner(form) if each in among])
        for group in (group for form in others for group in groups.of(form)):
            if len(group) > 1 or group[0] in self._inner(group[0]):
                self._made |= {form: _Made(OPEN) for form in group}
            self._made |= {form: self._around(form) for form in group}

    def _complete(self, models: Mapping[_Model, type[BaseModel]]) -> None:
        namespace = {model.kind.__forward_arg__: kind for model, kind in models.items()}
        with as_schema_error(next(iter(models)).full_name):
            complete([*models.values()], namespace, self._budget)

    def _model_of(self, form: Form) -> _Model:
        assert form.schema is not None
        base = self._budget.check_name(_base_name(form.name, form.schema))
        recipe = self._parts.recipe(form.name, base, form.schema)
        if recipe.digest not in self._models:
            self._budget.spend("types")
            self._models[recipe.digest] = _Model(self._full_name(base), recipe)
        return self._models[recipe.digest]

    def _full_name(self, base: str) -> str:
        """A name for one more type. Of several types of one name the second has an underscore, the third `_2`, ..."""
        name = base
        while name in self._names:
            number = self._names[base] = self._names[base] + 1
            name = f"{base}_" if number == 1 else f"{base}_{number}"
        self._names[name] = 0
        return name

    def _create(self, form: Form, model: _Model, *, is_plain: bool | None = None) -> type[BaseModel]:
        assert form.schema is not None
        properties = form.schema["properties"]
        inner = self._inner(form)
        if len(inner) > _MOST_FIELDS:
            name = clean(model.full_name, 200)
            raise SchemaError(f"{name} has {len(inner):,} fields; {_MOST_FIELDS:,} are the most")
        made = [self._made[each] for each in inner]
        self._budget.spend("nodes", sum(each.inside for each in made))
        attributes = attributes_of(properties)
        fields: Any = {
            attributes[name]: self._field(name, attributes[name], schema, each)
            for (name, schema), each in zip(properties.items(), made, strict=True)
        }
        lists = zip(properties, map(self._lists, inner), strict=True)
        unions = {name: is_list for name, is_list in lists if is_list is not None}
        # No field is called so: attributes have no underscore in front.
        untag: Any = model_validator(mode="before")(untagger(unions, frozenset(properties))) if unions else None
        module, _, name = model.full_name.rpartition(".")
        with as_schema_error(model.full_name):
            kind: type[BaseModel] = create_model(
                name,
                __base__=ClosedMessage if form.schema.get("additionalProperties") is False else OpenMessage,
                __module__=module or __name__,
                __doc__=_told(form.schema) or f"{model.full_name}, as the server describes it.",
                __validators__={} if untag is None else {"_untag": untag},
                **fields,
            )
        setattr(kind, PLAIN, all(each.is_plain for each in made) if is_plain is None else is_plain)
        return kind

    def _field(self, name: str, attribute: str, schema: Any, made: _Made) -> Any:
        self._budget.check()
        self._budget.check_name(name)
        options: dict[str, Any] = {"default": self._default(made, schema)}
        if name != attribute:
            options["alias"] = name
        if isinstance(schema, Mapping) and "$ref" not in schema:
            options["description"] = _told(schema) or None
        return (_either(made.kind, None), PydanticField(**options))

    def _default(self, made: _Made, schema: Any) -> Any:
        """A field's default; None where the document has none of the field's own type."""
        default = schema.get("default") if isinstance(schema, Mapping) else None
        if default is None:
            return None
        steps = made.steps * _size(default)
        if steps > _MOST_OF_DEFAULT:
            return None
        self._budget.spend("nodes", steps)
        try:
            return _adapter(made.kind).validate_python(default)
        except Exception:
            return None

    def _lists(self, form: Form) -> bool | None:
        """For a union: whether all its members are lists. None for anything else."""
        if form.kind != "union":
            return None
        if form not in self._list_unions:
            members = [each for each in members_of(form.schema) if isinstance(each, Mapping) and not is_null(each)]
            lists = all(each.get("type") == "array" for each in members)
            self._list_unions[form] = lists if len(members) > 1 else None
        return self._list_unions[form]


def make(name: str, parts: tuple[Part, ...]) -> type[Any]:
    """Return the class of an object, made from the parts of its recipe."""
    schemas = {part.name: json.loads(part.data) for part in parts}
    own = schemas.pop("", None)
    made: type[Any] = JsonTypes(schemas, Budget()).model(name, schemas[name] if own is None else own)
    return made


def _base_name(name: str, schema: Mapping[str, Any]) -> str:
    """The name of an object's type: the schema's title, as caikit gives it, or else the component's name."""
    title = _text(schema.get("title"))
    return clean(title if "." in title else name or title or "Object", MAX_NAME + 1)


def _union(inner: Sequence[_Made]) -> _Made:
    members = [each for each in inner if each.kind is not None]
    kinds = [*{id(each.kind): each.kind for each in members}.values()]
    if not kinds or any(each is OPEN for each in kinds):
        return _Made(OPEN)
    kind: Any = Union[tuple(kinds)]  # noqa: UP007 - forward references have no |
    _check_members(len(get_args(kind)))
    is_plain = len(kinds) == 1 and all(each.is_plain for each in members)
    if len(kinds) > 1:
        kind = Annotated[kind, OneOf(kinds)]
    return _Made(kind if len(members) == len(inner) else _either(kind, None), is_plain=is_plain)


def _check_members(number: int) -> None:
    if number > _MOST_MEMBERS:
        raise SchemaError(f"a union has {number:,} types; {_MOST_MEMBERS:,} are the most")


def _scalar(schema: Mapping[str, Any]) -> _Made:
    kind, form = schema.get("type"), schema.get("format")
    if not isinstance(kind, str):
        return _Made(OPEN)
    if kind == "string" and schema.get("contentMediaType") == "application/octet-stream":
        return _Made(BYTES, is_plain=False)  # as newer FastAPI spells `format: binary`
    if kind == "string" and isinstance(form, str) and form in FORMATS:
        return _Made(FORMATS[form], is_plain=False)
    return _Made(SCALARS.get(kind, OPEN))


def _size(value: Any) -> int:
    """How many values a JSON value has; at most about `_MOST_OF_DEFAULT`."""
    size, waiting = 0, [value]
    while waiting and size <= _MOST_OF_DEFAULT:
        size += 1
        each = waiting.pop()
        if isinstance(each, (dict, list)):
            size += len(each)
            waiting += each.values() if isinstance(each, dict) else each
    return size


_adapters: dict[int, TypeAdapter[Any]] = {}
_KEPT = {id(each) for each in (OPEN, BYTES, *SCALARS.values(), *FORMATS.values())}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    found = _adapters.get(id(kind)) or TypeAdapter(kind)
    if id(kind) in _KEPT:
        _adapters[id(kind)] = found
    return found


def _either(one: Any, other: Any) -> Any:
    return Union[one, other]  # noqa: UP007 - forward references have no |


def _told(schema: Mapping[str, Any]) -> str:
    """A schema's description, such that it can be printed."""
    description = schema.get("description")
    return clean_lines(description, _DESCRIPTION) if description and isinstance(description, str) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
