"""pydantic models and enums, made of protobuf's messages and enums."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ForwardRef

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, create_model
from pydantic import Field as PydanticField

from .._html import table
from ..errors import SchemaError
from .attributes import complete
from .convert import Converters, Deed
from .fields import Field, either, fields_of, is_map, is_repeated, map_entry, python_type
from .foreign import candidates
from .learned import LearnedEnum, LearnedModel, Unfinished
from .messages import let_travel
from .protobuf_parts import Parts


class RemoteMessage(LearnedModel):
    """The base of the pydantic models made from a server's messages. Bytes are base64 in JSON, enums their names."""

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


class RemoteEnum(LearnedEnum):
    """The base of a server's enums. A number this schema does not know is kept, as proto3 demands."""

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
        """The member of a name, which may be that of a number this schema does not know."""
        if name in cls.__members__:
            return cls[name]
        number = name.removeprefix(_UNRECOGNIZED)
        return cls(int(number)) if number != name and number.removeprefix("-").isdecimal() else None

    def __str__(self) -> str:
        return self.name

    def __format__(self, format_spec: str) -> str:
        # As text, unless a number is asked for, as in f"{color:03d}".
        is_number = format_spec[-1:] in (*"bcdeEfFgGnoxX%",)
        return format(int(self) if is_number else self.name, format_spec)


class Types:
    """The pydantic models and enums of one pool, each made once. Where another pool has the same type it is shared."""

    def __init__(self) -> None:
        self.by_name: dict[str, type[Any]] = {}
        self._making: dict[str, str] = {}
        self._incomplete: list[type[BaseModel]] = []
        self._unfinished = Unfinished()
        self._parts = Parts()
        self._converters = Converters(self.model, self.enum)

    def model(self, descriptor: Descriptor) -> Any:
        """The model of a message; inside its own making a forward reference."""
        full_name = descriptor.full_name
        if full_name in self.by_name:
            return self.by_name[full_name]
        if full_name in self._making:
            return ForwardRef(self._making[full_name])
        recipe = self._parts.recipe(descriptor)
        if (known := recipe.find()) is not None:
            return self._adopt(descriptor, known)
        self._making[full_name] = (
            f"_type_{len(self._making)}"  # no field is called so: they have no underscore in front
        )
        fields: dict[str, Any] = {}
        for field in fields_of(descriptor):
            fields[field.attribute] = (self._annotation(field), PydanticField(**self._default(field)))
        try:
            made = create_model(
                descriptor.name,
                __base__=RemoteMessage,
                __module__=descriptor.full_name.rpartition(".")[0],
                __doc__=f"{full_name}, as the server describes it.",
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

    def _adopt(self, descriptor: Descriptor, known: type[Any]) -> type[Any]:
        """Take over a model that is there already, and all types that it has."""
        self.by_name[descriptor.full_name] = known
        for field in fields_of(descriptor):
            self._annotation(field)
        return known

    def enum(self, descriptor: EnumDescriptor) -> Any:
        """The enum of a descriptor."""
        if descriptor.full_name not in self.by_name:
            recipe = self._parts.recipe(descriptor)
            if (known := recipe.find()) is not None:
                self.by_name[descriptor.full_name] = known
                return known
            members = {value.name: value.number for value in descriptor.values}
            base: Any = RemoteEnum
            try:
                made = base(descriptor.name, members, module=descriptor.full_name.rpartition(".")[0])
            except (TypeError, ValueError) as error:
                raise SchemaError(f"{descriptor.full_name} cannot be an enum: {error}") from None
            if made.__members__.keys() != members.keys():
                raise SchemaError(f"{descriptor.full_name} cannot be an enum: Python uses some of its names")
            self.by_name[descriptor.full_name] = made
            self._unfinished.add(made, recipe)
            if not self._incomplete:
                self._unfinished.publish()
        return self.by_name[descriptor.full_name]

    def encoder(self, descriptor: Descriptor) -> Callable[[Any, Any], None]:
        """See `Converters.encoder`."""
        return self._converters.encoder(descriptor)

    def decoder(self, descriptor: Descriptor, deed: Deed) -> Callable[[Any], Any]:
        """See `Converters.decoder`."""
        return self._converters.decoder(descriptor, deed)

    def let_travel(self, descriptor: Descriptor) -> None:
        """See `messages.let_travel`."""
        let_travel(descriptor, self._parts)

    def one(self, field: FieldDescriptor) -> Any:
        """The type of one value of a field."""
        return python_type(field, self.model, self.enum)

    def _annotation(self, field: Field) -> Any:
        """The type of a field of a model. It takes an enum's members by name too."""
        kinds = [self._open(self.one(member)) for member in field.members]
        member = field.members[0]
        if field.union:
            return either([*kinds, None])
        if is_map(member):
            key, value = map_entry(member)
            return dict[self.one(key), self._open(self.one(value))]  # type: ignore[misc]
        if is_repeated(member):
            return list[kinds[0]]  # type: ignore[valid-type]
        return kinds[0] | None if field.optional or member.message_type is not None else kinds[0]

    def _open(self, kind: Any) -> Any:
        """The type as a model's field, where an enum takes names and gives them to JSON."""
        if not (isinstance(kind, type) and issubclass(kind, RemoteEnum)):
            return kind
        return Annotated[kind, BeforeValidator(partial(_member, kind)), PlainSerializer(_name, when_used="json")]

    def _default(self, field: Field) -> dict[str, Any]:
        """The value of a field that is not given: the wire does not tell which fields a type requires."""
        options: dict[str, Any] = {} if field.name == field.attribute else {"alias": field.name}
        member = field.members[0]
        if is_map(member):
            return options | {"default_factory": dict}
        if is_repeated(member):
            return options | {"default_factory": list}
        if field.union or field.optional or member.message_type is not None:
            return options | {"default": None}
        if member.enum_type is not None:
            return options | {"default": self.enum(member.enum_type)(member.default_value)}
        return options | {"default": member.default_value}


def _member(kind: type[RemoteEnum], value: Any) -> Any:
    """The member that an enum's name, or the member of another enum, stands for; anything else as it is."""
    for each in candidates(value):
        if isinstance(each, str) and (found := kind.named(each)) is not None:
            return found
    return value


def _name(value: RemoteEnum) -> str:
    return value.name
