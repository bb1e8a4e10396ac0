"""One generated converter per message type and direction: Python values -> protobuf, protobuf -> dicts for pydantic.

The functions are generated as source, so that a call looks up no field and asks for no type: outbound sets protobuf's
fields directly, inbound builds nested dicts for one `model_validate` (DESIGN: 1.6 of raw bytes for a rich answer, json_format
3.9). Names from the server get into the source only as `repr`s of strings.
"""

from __future__ import annotations

import enum
import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from ..errors import InputError, SchemaError
from . import values
from .values import WELL_KNOWN, as_items, kind_of

_T = FieldDescriptor
_INTEGERS = {
    **dict.fromkeys((_T.TYPE_INT32, _T.TYPE_SINT32, _T.TYPE_SFIXED32), "int32"),
    **dict.fromkeys((_T.TYPE_INT64, _T.TYPE_SINT64, _T.TYPE_SFIXED64), "int64"),
    **dict.fromkeys((_T.TYPE_UINT32, _T.TYPE_FIXED32), "uint32"),
    **dict.fromkeys((_T.TYPE_UINT64, _T.TYPE_FIXED64), "uint64"),
}
_SCALARS: dict[int, tuple[type, str]] = {
    # protobuf type: Python type, the function that checks other values
    **dict.fromkeys(_INTEGERS, (int, "as_int")),
    _T.TYPE_DOUBLE: (float, "as_float"),
    _T.TYPE_FLOAT: (float, "as_float32"),
    _T.TYPE_BOOL: (bool, "as_bool"),
    _T.TYPE_STRING: (str, "as_str"),
    _T.TYPE_BYTES: (bytes, "as_bytes"),
}
BAD = (TypeError, ValueError, OverflowError, RecursionError)


class Misfit(InputError):
    """A value that does not fit, and the path to it; `convert` makes an `InputError` of it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def misfit(error: BaseException, name: str | int, field: FieldDescriptor | None = None) -> NoReturn:
    """Raise `error` again as a Misfit, one step of its path added."""
    if isinstance(error, Misfit):
        joint = "" if error.path.startswith("[") else "."
        path, message = f"{joint}{error.path}", error.message
    elif isinstance(error, UnicodeError):
        path, message = "", "is not valid Unicode, so it has no UTF-8 form"
    elif isinstance(error, RecursionError):
        path, message = "", "is nested too deeply"
    else:
        path, message = "", str(error)
        if field is not None and message.startswith("Value out of range"):
            message = f"{message.rpartition(' ')[2]} is out of the range of {_INTEGERS.get(field.type, 'the field')}"
    raise Misfit(f"[{name}]{path}" if isinstance(name, int) else f"{name}{path}", message) from None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message as users see it: a union is one field.

    Attributes:
        name: the field's name on the wire, or the union's.
        attribute: its name on the pydantic model, the same unless that is not possible.
        members: the protobuf field; of a union, all of them.
        union: whether it is a union.
        optional: whether the field knows being unset apart from its zero value.
    """

    name: str
    attribute: str
    members: tuple[FieldDescriptor, ...]
    union: bool
    optional: bool


def fields_of(descriptor: Descriptor) -> list[Field]:
    """The fields of a message. A oneof `_name` of one member `name` is an optional field, any other one a union."""
    fields: list[Field] = []
    taken: set[str] = set()
    for member in descriptor.fields:
        oneof = member.containing_oneof
        optional = oneof is not None and len(oneof.fields) == 1 and oneof.name == f"_{member.name}"
        if oneof is None or optional:
            name, members = member.name, (member,)
        elif member is oneof.fields[0] or member.name == oneof.fields[0].name:
            name, members = oneof.name, tuple(oneof.fields)
        else:
            continue
        attribute = name.lstrip("_") or "field"
        while (
            attribute in taken or attribute == "self" or keyword.iskeyword(attribute) or hasattr(BaseModel, attribute)
        ):
            attribute += "_"
        taken.add(attribute)
        fields.append(Field(name, attribute, members, oneof is not None and not optional, optional))
    return fields


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def sequence_field(descriptor: Descriptor | None) -> FieldDescriptor | None:
    """The one field of a message that only wraps a list, such as caikit's `StrSequence{values}`."""
    if descriptor is None or len(descriptor.fields) != 1:
        return None
    field = descriptor.fields[0]
    return field if field.is_repeated and field.name == "values" and not is_map(field) else None


class Converters:
    """The converters of one schema. `add` generates a type's, and those of all types it refers to.

    Args:
        model: gives the pydantic model of a message and the enum of an enum descriptor; it may ask for converters in turn.
    """

    def __init__(
        self, model: Callable[[Descriptor], type[BaseModel]], enum_type: Callable[[EnumDescriptor], Any]
    ) -> None:
        self._model = model
        self._enum_type = enum_type
        self._numbers: dict[str, int] = {}
        self._space: dict[str, Any] = {name: getattr(values, name) for name in dir(values) if name.startswith("as_")}
        self._space |= {
            "BAD": BAD,
            "misfit": misfit,
            "fill": _fill,
            "extend": _extend,
            "Mapping": Mapping,
            "kind_of": kind_of,
        }
        for full_name, (_, setter, getter) in WELL_KNOWN.items():
            self._space[_slug("set", full_name)] = setter
            self._space[_slug("get", full_name)] = getter

    def encoder(self, descriptor: Descriptor) -> Callable[[Any, Any], None]:
        """`encode(message, value)`: sets the message's fields from a mapping, model or message. Raises Misfit."""
        encode: Callable[[Any, Any], None] = self._space[f"encode_{self._add(descriptor)}"]
        return encode

    def decoder(self, descriptor: Descriptor) -> Callable[[Any, bool], dict[str, Any]]:
        """`decode(message, models)`: nested dicts; with `models` the messages in unions are pydantic models already."""
        decode: Callable[[Any, bool], dict[str, Any]] = self._space[f"decode_{self._add(descriptor)}"]
        return decode

    def _add(self, descriptor: Descriptor) -> int:
        number = self._numbers.get(descriptor.full_name)
        if number is None:
            number = self._numbers[descriptor.full_name] = len(self._numbers)
            fields = fields_of(descriptor)
            self._space[f"MODEL_{number}"] = self._model(descriptor)
            self._space[f"NAMES_{number}"] = {field.name: field.attribute for field in fields}
            self._space[f"TYPE_{number}"] = descriptor
            lines = [*self._encode_source(number, fields), *self._decode_source(number, fields)]
            try:
                exec(compile("\n".join(lines), f"<converter of {descriptor.full_name}>", "exec"), self._space)  # noqa: S102
            except (SyntaxError, RecursionError) as error:
                raise SchemaError(f"{descriptor.full_name} cannot be converted: {error}") from None
        return number

    # -- outbound ---------------------------------------------------------------------------------------------------

    def _encode_source(self, number: int, fields: list[Field]) -> Iterator[str]:
        yield f"def encode_{number}(m, v):"
        yield f"    d = v.__dict__ if v.__class__ is MODEL_{number} else fill(m, v, TYPE_{number}, NAMES_{number})"
        for index, field in enumerate(fields):
            reference = f"FIELD_{number}_{index}"
            self._space[reference] = field.members[0]
            yield f"    x = d.get({field.attribute!r})"
            yield "    if x is not None:"
            yield "        try:"
            for line in self._set_source(number, index, field):
                yield f"            {line}"
            yield "        except BAD as e:"
            yield f"            misfit(e, {field.name!r}, {reference})"

    def _set_source(self, number: int, index: int, field: Field) -> Iterator[str]:
        member = field.members[0]
        here = _attribute(member.name)
        if field.union:
            name = f"choose_{number}_{index}"
            self._space[name] = _Chooser(field.members, self)
            yield f"{name}(m, x)"
        elif is_map(member):
            key, value = (member.message_type.fields_by_name[name] for name in ("key", "value"))
            yield "if not isinstance(x, Mapping):"
            yield "    raise TypeError(f'expected a mapping, not {kind_of(x)}')"
            yield f"t = {here}"
            yield "for k, x in x.items():"
            yield "    try:"
            if value.message_type is not None:
                yield f"        {self._message_setter(value)}(t[{_SCALARS[key.type][1]}(k)], x)"
            else:
                yield f"        t[{_SCALARS[key.type][1]}(k)] = {self._scalar(value)}(x)"
            yield "    except BAD as e:"
            yield "        misfit(e, f'[{k!r}]')"
        elif member.is_repeated and member.message_type is not None:
            yield f"t = {here}"
            yield "for i, x in enumerate(as_items(x)):"
            yield "    try:"
            yield f"        {self._message_setter(member)}(t.add(), x)"
            yield "    except BAD as e:"
            yield "        misfit(e, i)"
        elif member.is_repeated:
            exact = "None" if member.type not in _SCALARS else f"EXACT_{_SCALARS[member.type][0].__name__}"
            if member.type == _T.TYPE_FLOAT:
                exact = "None"  # each must be looked at for its range
            elif exact != "None":
                self._space[exact] = frozenset({_SCALARS[member.type][0]})
            yield f"extend({here}, x, {exact}, {self._scalar(member)})"
        elif member.message_type is not None:
            yield f"t = {here}"
            yield "t.SetInParent()"
            yield f"{self._message_setter(member)}(t, x)"
        else:
            python, convert = _SCALARS.get(member.type, (None, ""))
            value = f"{self._scalar(member)}(x)"
            if python is not None and member.type != _T.TYPE_FLOAT:
                value = f"x if x.__class__ is {python.__name__} else {convert}(x)"
            yield f"m.{member.name} = {value}" if here.startswith("m.") else f"setattr(m, {member.name!r}, {value})"

    def _message_setter(self, field: FieldDescriptor) -> str:
        full_name = field.message_type.full_name
        if full_name in WELL_KNOWN:
            return _slug("set", full_name)
        return f"encode_{self._add(field.message_type)}"

    def _scalar(self, field: FieldDescriptor) -> str:
        """The name of the function that checks a value of a scalar or enum field."""
        if field.enum_type is None:
            return _SCALARS[field.type][1]
        name = _slug("as_enum", field.enum_type.full_name)
        if name not in self._space:
            self._space[name] = enum_checker(self._enum_type(field.enum_type))
        return name

    def setter(self, field: FieldDescriptor) -> Callable[[Any, Any], None]:
        """`set(message, value)` for one member of a union."""
        name = field.name
        if field.message_type is None:
            convert = self._space[self._scalar(field)]
            return lambda message, value: setattr(message, name, convert(value))
        inner = sequence_field(field.message_type)
        if field.message_type.full_name in WELL_KNOWN:
            fill = self._space[self._message_setter(field)]
        else:
            number = self._add(field.message_type)  # looked up at the call: the type may refer to itself
            fill = lambda message, value: self._space[f"encode_{number}"](message, value)  # noqa: E731

        def set_message(message: Any, value: Any) -> None:
            target = getattr(message, name)
            target.SetInParent()
            if inner is not None and not isinstance(value, (Mapping, BaseModel, Message)):
                value = {inner.name: value}
            fill(target, value)

        return set_message

    # -- inbound ----------------------------------------------------------------------------------------------------

    def _decode_source(self, number: int, fields: list[Field]) -> Iterator[str]:
        yield f"def decode_{number}(m, o):"
        yield "    return {"
        for index, field in enumerate(fields):
            yield f"        {field.name!r}: {self._get_source(number, index, field)},"
        yield "    }"

    def _get_source(self, number: int, index: int, field: Field) -> str:
        if field.union:
            name = f"union_{number}_{index}"
            getters = {member.name: self._getter(member) for member in field.members}
            self._space[name] = _union_reader(field.members[0].containing_oneof.name, getters)
            return f"{name}(m, o)"
        member = field.members[0]
        here = _attribute(member.name)
        if is_map(member):
            value = member.message_type.fields_by_name["value"]
            item = self._item(value)
            return f"dict({here})" if item == "x" else f"{{k: {item} for k, x in {here}.items()}}"
        item = self._item(member)
        if member.is_repeated:
            return f"list({here})" if item == "x" else f"[{item} for x in {here}]"
        one = here if item == "x" else item.replace("(x", f"({here}", 1)
        if field.optional or member.message_type is not None:
            return f"{one} if m.HasField({member.name!r}) else None"
        return one

    def _item(self, field: FieldDescriptor) -> str:
        """The expression that reads one value `x`."""
        if field.enum_type is not None:
            name = _slug("enum", field.enum_type.full_name)
            self._space[name] = self._enum_type(field.enum_type)
            return f"{name}(x)"
        if field.message_type is None:
            return "x"
        if field.message_type.full_name in WELL_KNOWN:
            return f"{_slug('get', field.message_type.full_name)}(x)"
        return f"decode_{self._add(field.message_type)}(x, o)"

    def _getter(self, field: FieldDescriptor) -> Callable[[Any, bool], Any]:
        name, message_type = field.name, field.message_type
        if message_type is None:
            if field.enum_type is None:
                return lambda message, models: getattr(message, name)
            kind = self._enum_type(field.enum_type)
            return lambda message, models: kind(getattr(message, name))
        if message_type.full_name in WELL_KNOWN:
            read = WELL_KNOWN[message_type.full_name][2]
            return lambda message, models: read(getattr(message, name))
        number, space = self._add(message_type), self._space

        def get_message(message: Any, models: bool) -> Any:
            # pydantic would guess which member a dict is, so it gets the object.
            plain = space[f"decode_{number}"](getattr(message, name), models)
            return space[f"MODEL_{number}"].model_validate(plain) if models else plain

        return get_message


def _attribute(name: str) -> str:
    """The expression for a field of the message `m`; `m.from` would be no Python."""
    return f"getattr(m, {name!r})" if keyword.iskeyword(name) else f"m.{name}"


def _slug(prefix: str, full_name: str) -> str:
    return f"{prefix}_{full_name.replace('_', '__').replace('.', '_')}"


def _union_reader(oneof: str, getters: dict[str, Callable[[Any, bool], Any]]) -> Callable[[Any, bool], Any]:
    def read(message: Any, models: bool) -> Any:
        which = message.WhichOneof(oneof)
        return None if which is None else getters[which](message, models)

    return read


def _fill(message: Any, value: Any, descriptor: Descriptor, names: dict[str, str]) -> Mapping[str, Any]:
    """The fields to set, by attribute, from anything but the type's own model. A protobuf message is merged at once."""
    if isinstance(value, Mapping):
        given = value
    elif isinstance(value, Message):
        if value.DESCRIPTOR.full_name != descriptor.full_name:
            raise TypeError(f"expected {descriptor.full_name}, not the message {value.DESCRIPTOR.full_name}")
        message.MergeFromString(value.SerializeToString())
        return {}
    elif isinstance(value, BaseModel):
        given = {name: getattr(value, name) for name in type(value).model_fields}
    else:
        raise TypeError(f"expected {descriptor.name} or a mapping, not {kind_of(value)}")
    attributes = names.values()
    for name in given:
        if name not in names and name not in attributes:
            raise Misfit(str(name), f"{descriptor.name} has no such field; it has {', '.join(names) or 'none'}")
    return {names.get(name, name): each for name, each in given.items()}


def _extend(target: Any, value: Any, exact: frozenset[type] | None, convert: Callable[[Any], Any]) -> None:
    """Fill a repeated scalar field. Where all items have the exact type there is nothing to check one by one."""
    items = as_items(value)
    if exact is not None and exact.issuperset(map(type, items)):
        try:
            target.extend(items)
            return
        except BAD:
            del target[:]
    for index, item in enumerate(items):
        try:
            target.append(convert(item))
        except BAD as error:
            if str(error).startswith("Value out of range"):
                error = ValueError(f"{item} is out of the field's range")
            misfit(error, index)


def enum_checker(kind: type[enum.IntEnum]) -> Callable[[Any], int]:
    """Takes a member, a member's name, or a member's number."""
    numbers = {int(each) for each in kind}

    def as_enum(value: Any) -> int:
        if isinstance(value, kind):
            return int(value)
        if isinstance(value, str) and value in kind.__members__:
            return int(kind[value])
        if isinstance(value, int) and not isinstance(value, bool) and value in numbers:
            return int(value)
        raise ValueError(f"expected one of {', '.join(kind.__members__)}, not {value!r:.80}")

    return as_enum


class _Chooser:
    """Sets the member of a union that a value is meant for."""

    def __init__(self, members: tuple[FieldDescriptor, ...], converters: Converters) -> None:
        self._converters = converters
        self._members = members
        self._by_type: dict[type, Callable[[Any, Any], None]] | None = None
        self._by_name: dict[str, Callable[[Any, Any], None]] = {}

    def _prepare(self) -> dict[type, Callable[[Any, Any], None]]:
        exact: dict[type, Callable[[Any, Any], None]] = {}
        for member in self._members:
            self._by_name[member.name] = setter = self._converters.setter(member)
            kind = python_type(member, self._converters._model, self._converters._enum_type)
            if isinstance(kind, type):
                exact.setdefault(kind, setter)
        self._by_type = exact
        return exact

    def __call__(self, message: Any, value: Any) -> None:
        setters = self._prepare() if self._by_type is None else self._by_type
        setter = setters.get(type(value))
        if setter is not None:
            setter(message, value)
            return
        fitting: list[tuple[str, Any]] = []
        errors: list[Exception] = []
        for member in self._candidates(value):
            scratch = message_factory.GetMessageClass(member.containing_type)()
            try:
                self._by_name[member.name](scratch, value)
            except BAD as error:
                errors.append(error)
            else:
                fitting.append((member.name, scratch))
        if len(fitting) > 1 and isinstance(value, Mapping):
            kinds = " and ".join(field.message_type.name for field in self._members if field.name in dict(fitting))
            raise TypeError(f"the mapping fits {kinds}: give an object of the type that is meant")
        if not fitting:
            if len(errors) == 1:
                raise errors[0]
            raise TypeError(f"expected one of {self._kinds()}, not {kind_of(value)}")
        message.MergeFrom(fitting[0][1])

    def _candidates(self, value: Any) -> list[FieldDescriptor]:
        """The members to try, the likeliest first."""
        if isinstance(value, Message):
            return [each for each in self._members if _is(each, value.DESCRIPTOR.full_name)]
        if isinstance(value, (Mapping, BaseModel)):
            plain = [each for each in self._members if each.message_type is not None]
            ours = [each for each in plain if each.message_type.full_name not in WELL_KNOWN]
            # A JSON object takes any mapping: it is meant where no type of the server's has these fields.
            fits = [each for each in ours if _has_fields(each.message_type, value)]
            return fits or [each for each in plain if each not in ours] or ours
        if isinstance(value, (str, bytes)):
            return [each for each in self._members if each.message_type is None]
        first = next(iter(value), None) if isinstance(value, (list, tuple)) else None

        def likelihood(member: FieldDescriptor) -> int:
            inner = sequence_field(member.message_type)
            return 0 if inner is None else -int(_SCALARS.get(inner.type, (None,))[0] is type(first))

        return sorted(self._members, key=likelihood)

    def _kinds(self) -> str:
        names = (python_type(each, self._converters._model, self._converters._enum_type) for each in self._members)
        return ", ".join(getattr(name, "__name__", str(name)) for name in names)


def _is(field: FieldDescriptor, full_name: str) -> bool:
    return field.message_type is not None and field.message_type.full_name == full_name


def _has_fields(descriptor: Descriptor, value: Any) -> bool:
    names = {name for field in fields_of(descriptor) for name in (field.name, field.attribute)}
    given = value if isinstance(value, Mapping) else type(value).model_fields
    return all(name in names for name in given)


def python_type(
    field: FieldDescriptor, model: Callable[[Descriptor], Any], enum_type: Callable[[EnumDescriptor], Any]
) -> Any:
    """The Python type of one value of a field."""
    if field.enum_type is not None:
        return enum_type(field.enum_type)
    if field.message_type is None:
        return _SCALARS[field.type][0]
    if field.message_type.full_name in WELL_KNOWN:
        return WELL_KNOWN[field.message_type.full_name][0]
    return model(field.message_type)
