"""The pydantic models and enums of protobuf's messages and enums."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ForwardRef, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    create_model,
)
from pydantic import Field as PydanticField
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ..._text.tables import table
from ...errors import SchemaError
from ..budget import Budget
from ..dynamic_types import DynamicEnum, DynamicModel, Part, as_schema_error, publish
from ..foreign_values import enum_candidates
from ..model_references import complete
from ..type_order import Groups
from .descriptor_pools import pool_of
from .fields import (
    Field,
    Type,
    count_members,
    fields_of,
    is_map,
    is_repeated,
    map_entry,
    python_type,
    type_of,
    union_of,
)
from .generated_converters import Converters, Form
from .messages import MessageClasses
from .pickled_parts import Parts, files_of
from .values import WELL_KNOWN

T = TypeVar("T")


class RemoteMessage(DynamicModel):
    """The base of the pydantic models of a server's messages. In JSON, bytes are base64 and enums their names."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        validate_by_name=True,
        validate_by_alias=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="constants",
    )

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self)


_UNRECOGNIZED = "UNRECOGNIZED_"
_FEW_MEMBERS = 64
"""The most members of an enum that pydantic may copy into the models with fields of it."""


class RemoteEnum(DynamicEnum):
    """The base of a server's enums. A number that the schema does not know is kept, as proto3 demands."""

    @classmethod
    def _missing_(cls, value: object) -> RemoteEnum | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"{_UNRECOGNIZED}{value}"
        member._value_ = value
        return member

    @classmethod
    def named(cls, name: str) -> RemoteEnum | None:
        """Return the member of a name, which may be that of a number the schema does not know."""
        if name in cls.__members__:
            return cls[name]
        number = name.removeprefix(_UNRECOGNIZED)
        return cls(int(number)) if number != name and number.removeprefix("-").isdecimal() else None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if len(cls) <= _FEW_MEMBERS:
            return handler(source)
        return core_schema.custom_error_schema(
            core_schema.no_info_after_validator_function(cls, core_schema.int_schema()),
            custom_error_type="enum",
            custom_error_context={"expected": f"one of the {len(cls)} members of {cls.__name__}"},
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        if len(cls) <= _FEW_MEMBERS:
            return handler(schema)
        return {"enum": [member.value for member in cls], "title": cls.__name__, "type": "integer"}

    def __str__(self) -> str:
        return self.name

    def __format__(self, format_spec: str) -> str:
        # As text, unless the format is a number's, as in f"{color:03d}".
        is_number = format_spec[-1:] in (*"bcdeEfFgGnoxX%",)
        return format(int(self) if is_number else self.name, format_spec)


class Types:
    """The pydantic models and enums of one pool, each made once. Pools with the same type share its class.

    Types that refer to each other are made together, after all others that they refer to.

    Args:
        budget: counts what they cost.
        additions: whether answers may have unknown fields, as from a server newer than a schema on file. Else an answer
            with unknown fields counts as another task's.
    """

    def __init__(self, budget: Budget | None = None, *, additions: bool = False) -> None:
        self.additions = additions
        self.by_name: dict[str, type[Any]] = {}
        self.budget = budget or Budget()
        self._spend = partial(self.budget.spend, "nodes")
        self._descriptors: dict[str, Type] = {}
        self._groups = Groups(self._references)
        self._fields: dict[str, list[Field]] = {}
        self._shared: dict[tuple[Any, ...], Any] = {}
        self._forward: dict[str, str] = {}
        """The names by which the types of the current group refer to each other."""
        self._parts = Parts(self.budget, make_type)
        self.messages = MessageClasses(self._parts)
        self._converters = Converters(self.of, self.of, self.fields)

    def of(self, descriptor: Type) -> Any:
        """Return the model of a message or the enum; within the group that is being made, a forward reference."""
        full_name = descriptor.full_name
        if full_name in self.by_name:
            return self.by_name[full_name]
        if full_name in self._forward:
            return ForwardRef(self._forward[full_name])
        for group in self._groups.of(self._known(descriptor)):
            self._make([self._descriptors[name] for name in group])
        return self.by_name[full_name]

    def fields(self, descriptor: Descriptor) -> list[Field]:
        """Return the fields of a message."""
        if descriptor.full_name not in self._fields:
            self._fields[descriptor.full_name] = fields_of(descriptor)
        return self._fields[descriptor.full_name]

    def shared(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return an object that methods of the same types share, and make it for the first one."""
        if key not in self._shared:
            self._shared[key] = make()
        found: T = self._shared[key]
        return found

    def _known(self, descriptor: Type) -> str:
        self._descriptors[descriptor.full_name] = descriptor
        return descriptor.full_name

    def _references(self, name: str) -> list[str]:
        descriptor = self._descriptors[name]
        if isinstance(descriptor, EnumDescriptor):
            return []
        members = (member for field in self.fields(descriptor) for member in field.members)
        types = [type_of(map_entry(member)[1] if is_map(member) else member) for member in members]
        return [self._known(kind) for kind in types if kind is not None and kind.full_name not in WELL_KNOWN]

    def _make(self, group: list[Type]) -> None:
        """Make types that refer to each other, or a type that does not refer to itself."""
        recipes = [self._parts.recipe(descriptor) for descriptor in group]
        made: list[Any] = [recipe.find() for recipe in recipes]
        if None in made:
            made = publish(self._new(group), recipes)
        self.by_name |= {recipe.name: kind for recipe, kind in zip(recipes, made, strict=True)}

    def _new(self, group: list[Any]) -> list[type[Any]]:
        self.budget.check()
        if isinstance(group[0], EnumDescriptor):
            return [_enum(group[0])]
        names = [descriptor.full_name for descriptor in group]
        if len(group) > 1 or names[0] in self._references(names[0]):
            # No attribute has such a name: an attribute never begins with an underscore.
            self._forward = {name: f"_type_{number}" for number, name in enumerate(names)}
        made = [self._model(descriptor) for descriptor in group]
        if self._forward:
            with as_schema_error(names[0]):
                complete(made, dict(zip(self._forward.values(), made, strict=True)), self.budget)
            self._forward = {}
        return made

    def _model(self, descriptor: Descriptor) -> type[BaseModel]:
        self._spend(count_members(self.fields(descriptor)))
        fields: dict[str, Any] = {
            field.attribute: (self._annotation(field), PydanticField(**self._default(field)))
            for field in self.fields(descriptor)
        }
        full_name = descriptor.full_name
        with as_schema_error(full_name):
            return create_model(
                descriptor.name,
                __base__=RemoteMessage,
                __module__=full_name.rpartition(".")[0],
                __doc__=f"{full_name}, as the server describes it.",
                **fields,
            )

    def encoder(self, descriptor: Descriptor) -> Callable[[Any, Any], None]:
        """Return `Converters.encoder`, within the budget."""
        return self._converters.encoder(descriptor, self._spend)

    def maker(self, descriptor: Descriptor) -> Callable[[Any], Any]:
        """Return the decoder to models, see `Converters.decoder`, within the budget."""
        return self._converters.decoder(descriptor, "model", self._spend)

    def decoder(self, descriptor: Descriptor, form: Form) -> Callable[[Any], Any]:
        """Return `Converters.decoder`. The first call that needs it generates it, outside the budget."""
        return self._converters.decoder(descriptor, form)

    def value_type(self, field: FieldDescriptor) -> Any:
        """Return the type of one value of a field."""
        return python_type(field, self.of, self.of)

    def _annotation(self, field: Field) -> Any:
        """Return the type of a model's field."""
        member = field.members[0]
        if is_map(member):
            key, value = map_entry(member)
            return dict[self.value_type(key), self._open(self.value_type(value))]  # type: ignore[misc]
        kinds = [self._open(self.value_type(member)) for member in field.members]
        if field.is_oneof:
            return union_of([*kinds, None])
        if is_repeated(member):
            return list[kinds[0]]  # type: ignore[valid-type]
        return kinds[0] | None if field.optional or member.message_type is not None else kinds[0]

    def _open(self, kind: Any) -> Any:
        """Return the type, which validates an enum's members by name too, and serializes them so to JSON."""
        if not (isinstance(kind, type) and issubclass(kind, RemoteEnum)):
            return kind
        return Annotated[kind, BeforeValidator(partial(_member, kind)), PlainSerializer(_name, when_used="json")]

    def _default(self, field: Field) -> dict[str, Any]:
        """Return the default and the alias of a field. All have a default: fields may be missing on the wire."""
        options: dict[str, Any] = {} if field.name == field.attribute else {"alias": field.name}
        member = field.members[0]
        if is_map(member):
            return options | {"default_factory": dict}
        if is_repeated(member):
            return options | {"default_factory": list}
        if field.is_oneof or field.optional or member.message_type is not None:
            return options | {"default": None}
        if member.enum_type is not None:
            return options | {"default": self.of(member.enum_type)(member.default_value)}
        return options | {"default": member.default_value}


def make_type(name: str, parts: tuple[Part, ...]) -> type[Any]:
    """Return the class of a message or an enum that was pickled with the parts of its schema."""
    budget = Budget()
    pool = pool_of(files_of(parts), budget)
    try:
        kind: Type = pool.FindMessageTypeByName(name)
    except KeyError:
        kind = pool.FindEnumTypeByName(name)
    found: type[Any] = Types(budget).of(kind)
    return found


def _enum(descriptor: EnumDescriptor) -> type[RemoteEnum]:
    full_name = descriptor.full_name
    members = {value.name: value.number for value in descriptor.values}
    base: Any = RemoteEnum
    try:
        made: type[RemoteEnum] = base(descriptor.name, members, module=full_name.rpartition(".")[0])
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{full_name} cannot be an enum: {error}") from None
    if made.__members__.keys() != members.keys():
        raise SchemaError(f"{full_name} cannot be an enum: Python uses some of its names")
    return made


def _member(kind: type[RemoteEnum], value: Any) -> Any:
    """Return the member that a name or a member of another enum means; anything else as it is."""
    for candidate in enum_candidates(value):
        if isinstance(candidate, str) and (found := kind.named(candidate)) is not None:
            return found
    return value


def _name(value: RemoteEnum) -> str:
    return value.name
