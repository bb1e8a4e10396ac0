"""Generated converters, one per message type and direction: Python values -> protobuf, protobuf -> models or dicts.

They are generated as source, so that a call looks up neither fields nor types. Encoders set protobuf's fields directly.
Decoders build models without pydantic's validation, as protobuf has checked the values already (a rich answer takes 0.8
of the time of nested dicts and one `model_validate`, 0.4 of that of `model_construct`).
A server's names are in the source only as the `repr` of a string, or after `m.` if they are identifiers. Types are
numbered, as generated code must not contain text of the server's choice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from ..._text.redaction import GENERATED
from ..identifiers import is_identifier
from .arrays import ARRAYS, BUFFERS
from .converter_functions import FUNCTIONS, WELL_KNOWN_NUMBERS, enum_checker
from .fields import (
    SCALARS,
    Field,
    count_members,
    fields_of,
    is_map,
    is_packed,
    is_repeated,
    map_entry,
    message_of,
    python_type,
    sequence_field,
)
from .oneofs import OneofDict, OneofEnumName, OneofSetter
from .values import WELL_KNOWN, get_struct

Form = Literal["model", "dict", "numpy"]
"""What a decoder returns: a pydantic model, nested dicts, or nested dicts with numpy arrays."""
_FLOAT32 = FieldDescriptor.TYPE_FLOAT
_MOST_FIELDS = 200
"""The most fields of one generated function."""
Spend = Callable[[int], None]
T = TypeVar("T")


def _spend_nothing(fields: int) -> None:
    """Allow any number of fields, for converters that calls generate."""


class Converters:
    """The converters of one schema. The first request for a type's also generates those of all types it refers to."""

    def __init__(
        self,
        model: Callable[[Descriptor], type[BaseModel]],
        enum_type: Callable[[EnumDescriptor], Any],
        fields: Callable[[Descriptor], list[Field]] = fields_of,
    ) -> None:
        self._model = model
        self._enum_type = enum_type
        self._fields_of = fields
        self._numbers: dict[str, int] = {}
        self._fields: list[list[Field]] = []
        self._enums: dict[str, str] = {}
        self._begun: set[str] = set()
        self._waiting: list[tuple[str, int]] = []
        self._generating = threading.RLock()
        self._spend: Spend = _spend_nothing
        self._namespace = dict(FUNCTIONS)

    def encoder(self, descriptor: Descriptor, spend: Spend = _spend_nothing) -> Callable[[Any, Any], None]:
        """Return `encode(message, value)`, which sets the message's fields from a mapping, model or message.

        It raises a ConversionError. `spend` counts the fields of generated converters; it is called with 0 to check.
        """
        encode: Callable[[Any, Any], None] = self._generated("encode", descriptor, spend)
        return encode

    def decoder(self, descriptor: Descriptor, form: Form, spend: Spend = _spend_nothing) -> Callable[[Any], Any]:
        """Return `decode(message)`, which builds the message's model, equal to a validated one, or dicts.

        Models have attributes, dicts the names on the wire.
        """
        decode: Callable[[Any], Any] = self._generated(form, descriptor, spend)
        return decode

    def _generated(self, kind: str, descriptor: Descriptor, spend: Spend = _spend_nothing) -> Any:
        with self._generating:  # another thread may decode a large answer
            self._spend = spend
            name = self._add(kind, descriptor)
            while self._waiting:  # generating a converter adds those of the types it refers to
                self._generate(*self._waiting.pop())
            return self._namespace[name]

    def _add(self, kind: str, descriptor: Descriptor) -> str:
        """Return the name of a converter, to be generated unless it is."""
        number = self._number(descriptor)
        name = f"{kind}_{number}"
        if name not in self._begun:
            self._begun.add(name)
            self._waiting.append((kind, number))
        return name

    def _number(self, descriptor: Descriptor) -> int:
        number = self._numbers.get(descriptor.full_name)
        if number is None:
            number = self._numbers[descriptor.full_name] = len(self._numbers)
            fields = self._fields_of(descriptor)
            self._fields.append(fields)
            self._namespace[f"MODEL_{number}"] = self._model(descriptor)
            names = self._namespace[f"NAMES_{number}"] = {field.name: field.attribute for field in fields}
            self._namespace[f"TYPE_{number}"] = descriptor
            self._namespace[f"SAME_{number}"] = {name for name in names.values() if names.get(name, name) == name}
        return number

    def _generate(self, kind: str, number: int) -> None:
        sources = {"encode": self._encode_source, "model": self._model_source}
        fields = self._fields[number]
        self._spend(count_members(fields))
        lines = sources[kind](number, fields) if kind in sources else self._dict_source(kind, number, fields)
        self._run(f"{kind}_{number}", lines)

    def _run(self, name: str, lines: Iterable[str]) -> None:
        self._spend(0)
        exec(compile("\n".join(lines), f"{GENERATED}{name}>", "exec"), self._namespace)  # noqa: S102

    def _in_parts(self, name: str, items: list[T], part: Callable[[str, list[T]], Iterable[str]]) -> list[str]:
        """Generate several functions for the fields of a large message, and return their names.

        Compiling one function of ten thousand fields would take hundreds of megabytes.
        """
        names = []
        for start in range(0, len(items), _MOST_FIELDS):
            names.append(f"{name}_{start}")
            self._run(names[-1], part(names[-1], items[start : start + _MOST_FIELDS]))
        return names

    # -- encoders ---------------------------------------------------------------------------------------------------

    def _encode_source(self, number: int, fields: list[Field]) -> Iterator[str]:
        yield f"def encode_{number}(m, v):"
        yield f"    if v.__class__ is dict and v.keys() <= SAME_{number}:"
        yield "        d = v"  # its keys are attributes: no name to translate or to refuse
        yield "    else:"
        yield f"        d = v.__dict__ if v.__class__ is MODEL_{number} else fill(m, v, TYPE_{number}, NAMES_{number})"
        numbered = [*enumerate(fields)]
        if len(fields) <= _MOST_FIELDS:
            yield from self._set_sources(number, numbered)
            return
        for name in self._in_parts(
            f"encode_{number}", numbered, lambda name, part: (f"def {name}(m, d):", *self._set_sources(number, part))
        ):
            yield f"    {name}(m, d)"

    def _set_sources(self, number: int, fields: list[tuple[int, Field]]) -> Iterator[str]:
        for index, field in fields:
            reference = f"FIELD_{number}_{index}"
            self._namespace[reference] = field.members[0]
            yield f"    x = d.get({field.attribute!r})"
            yield "    if x is not None:"
            yield "        try:"
            for line in self._set_source(number, index, field):
                yield f"            {line}"
            yield "        except FAILURES as e:"
            yield f"            raise_at(e, {field.name!r}, {reference})"

    def _set_source(self, number: int, index: int, field: Field) -> Iterable[str]:
        if field.is_oneof:
            name = f"choose_{number}_{index}"
            self._namespace[name] = OneofSetter(field.members, self._setter, self._python_type)
            return [f"{name}(m, x)"]
        member = field.members[0]
        if is_map(member):
            return self._set_map_source(member)
        return self._set_list_source(member) if is_repeated(member) else self._set_single_source(member)

    def _set_map_source(self, member: FieldDescriptor) -> Iterator[str]:
        key, value = map_entry(member)
        target = f"t[{SCALARS[key.type][1]}(k)]"
        yield f"t = {_attribute(member.name)}"
        yield "for k, x in (x if x.__class__ is dict else as_mapping(x)).items():"
        yield "    try:"
        if value.message_type is not None:
            yield f"        {self._message_setter(value)}({target}, x)"
        else:
            yield f"        {target} = {self._scalar(value)}(x)"
        yield "    except FAILURES as e:"
        yield "        raise_at(e, f'[{k!r}]')"

    def _set_list_source(self, member: FieldDescriptor) -> Iterator[str]:
        here = _attribute(member.name)
        if member.message_type is not None:
            yield f"t = {here}"
            yield "for i, x in enumerate(as_items(x)):"
            yield "    try:"
            yield f"        {self._message_setter(member)}(t.add(), x)"
            yield "    except FAILURES as e:"
            yield "        raise_at(e, i)"
            return
        extend = f"extend({here}, x, {self._exact_types(member)}, {self._scalar(member)})"
        code = BUFFERS.get(member.type)
        if code is None or not is_packed(member):
            yield extend
        else:
            yield f"if not pack(m, x, {member.number << 3 | 2}, {code!r}):"
            yield f"    {extend}"

    def _exact_types(self, member: FieldDescriptor) -> str:
        """Return the name of the types whose values protobuf checks, `None` if values must be looked at one by one."""
        if member.type not in SCALARS or member.type == _FLOAT32:  # protobuf makes infinity of too large a float32
            return "None"
        return f"EXACT_{SCALARS[member.type][0].__name__}"

    def _set_single_source(self, member: FieldDescriptor) -> Iterator[str]:
        here = _attribute(member.name)
        if member.message_type is not None:
            yield f"t = {here}"
            yield f"{_method(message_of(member), 't', 'SetInParent')})"
            yield f"{self._message_setter(member)}(t, x)"
            return
        checked = f"{self._scalar(member)}(x)"
        if member.type in SCALARS and member.type != _FLOAT32:
            checked = f"x if x.__class__ is {SCALARS[member.type][0].__name__} else {checked}"
        yield f"{here} = {checked}" if here.startswith("m.") else f"setattr(m, {member.name!r}, {checked})"

    def _message_setter(self, field: FieldDescriptor) -> str:
        message_type = message_of(field)
        if message_type.full_name in WELL_KNOWN:
            return f"set_{WELL_KNOWN_NUMBERS[message_type.full_name]}"
        return self._add("encode", message_type)

    def _python_type(self, field: FieldDescriptor) -> Any:
        return python_type(field, self._model, self._enum_type)

    def _scalar(self, field: FieldDescriptor) -> str:
        """Return the name of the function that checks a value of a scalar or enum field."""
        if field.enum_type is None:
            return SCALARS[field.type][1]
        return f"as_{self._enum(field.enum_type)}"

    def _enum(self, descriptor: EnumDescriptor) -> str:
        """Return the name of an enum's class. With `as_` in front it is the name of the function that checks values."""
        name = self._enums.get(descriptor.full_name)
        if name is None:
            name = self._enums[descriptor.full_name] = f"enum_{len(self._enums)}"
            self._namespace[name] = self._enum_type(descriptor)
            self._namespace[f"as_{name}"] = enum_checker(self._namespace[name])
        return name

    def _setter(self, field: FieldDescriptor) -> Callable[[Any, Any], None]:
        """Return `set(message, value)` for one member of a oneof."""
        name = field.name
        if field.message_type is None:
            convert = self._namespace[self._scalar(field)]
            return lambda message, value: setattr(message, name, convert(value))
        inner = sequence_field(field.message_type)
        known = WELL_KNOWN.get(field.message_type.full_name)
        # OneofSetters ask for it at the first call, as a type may have itself in a oneof.
        fill = self._generated("encode", field.message_type) if known is None else known.set

        def set_message(message: Any, value: Any) -> None:
            target = getattr(message, name)
            type(target).SetInParent(target)
            if inner is not None and not isinstance(value, (Mapping, BaseModel, Message)):
                value = {inner.name: value}
            fill(target, value)

        return set_message

    # -- decoders ---------------------------------------------------------------------------------------------------

    def _model_source(self, number: int, fields: list[Field]) -> Iterator[str]:
        values = self._values("model", number, fields)
        yield f"def model_{number}(m):"
        yield f"    o = new(MODEL_{number})"
        yield "    set_values(o, {"
        yield from values
        yield "    })"
        yield "    return o"
        # Of a list of messages, every step is done for all: calls by `map` cost a third less than those of a loop.
        yield f"def model_{number}s(s):"
        yield "    if not s:"
        yield "        return []"
        yield f"    o = [*map(new, repeat(MODEL_{number}, len(s)))]"
        yield "    run(map(set_values, o, [{"
        yield from values
        yield "    } for m in s]))"
        yield "    return o"

    def _dict_source(self, form: str, number: int, fields: list[Field]) -> Iterator[str]:
        yield f"def {form}_{number}(m):"
        yield "    return {"
        yield from self._values(form, number, fields)
        yield "    }"

    def _values(self, form: str, number: int, fields: list[Field]) -> list[str]:
        """Return the items of a dictionary of a message's fields."""
        values = [
            f"{(field.attribute if form == 'model' else field.name)!r}: {self._get_source(form, number, index, field)},"
            for index, field in enumerate(fields)
        ]
        if len(values) <= _MOST_FIELDS:
            return values
        names = self._in_parts(
            f"{form}_{number}", values, lambda name, part: (f"def {name}(m):", "    return {", *part, "    }")
        )
        return [f"**{name}(m)," for name in names]

    def _get_source(self, form: str, number: int, index: int, field: Field) -> str:
        """Return the expression for the value of a field of `m`."""
        if field.is_oneof:
            name = f"{form}_oneof_{number}_{index}"
            getters = {member.name: self._getter(form, member) for member in field.members}
            self._namespace[name] = _oneof_reader(field.name, getters)
            return f"{name}(m)"
        member = field.members[0]
        here = _attribute(member.name)
        if is_map(member):
            item = self._item(form, map_entry(member)[1])
            return f"dict({here})" if item == "x" else f"{{k: {item} for k, x in {here}.items()}}"
        item = self._item(form, member)
        if is_repeated(member):
            if form == "numpy" and member.type in ARRAYS:
                return f"as_array({here}, {ARRAYS[member.type]!r})"
            if item.startswith("model_"):
                return f"{item.removesuffix('(x)')}s({here})"
            # A slice is a list, made in four fifths of the time of `list()`.
            return f"{here}[:]" if item == "x" else f"[{item} for x in {here}]"
        one = here if item == "x" else item.replace("(x", f"({here}", 1)
        if field.optional or member.message_type is not None:
            assert member.containing_type is not None
            return f"{one} if {_method(member.containing_type, 'm', 'HasField')}{member.name!r}) else None"
        return one

    def _item(self, form: str, field: FieldDescriptor) -> str:
        """Return the expression that reads one value `x`."""
        if field.enum_type is not None:
            name = self._enum(field.enum_type)
            return f"{name}(x)" if form == "model" else f"{name}(x).name"
        if field.message_type is None:
            return "x"
        if field.message_type.full_name in WELL_KNOWN:
            return f"get_{WELL_KNOWN_NUMBERS[field.message_type.full_name]}(x)"
        return f"{self._add(form, field.message_type)}(x)"

    def _getter(self, form: str, field: FieldDescriptor) -> Callable[[Any], Any]:
        """Return `get(message)` for one member of a oneof."""
        name, message_type = field.name, field.message_type
        if message_type is None:
            if field.enum_type is None:
                return lambda message: getattr(message, name)
            kind = self._enum_type(field.enum_type)
            if form == "model":
                return lambda message: kind(getattr(message, name))
            return lambda message: OneofEnumName(name, kind(getattr(message, name)).name)
        if message_type.full_name in WELL_KNOWN:
            get = WELL_KNOWN[message_type.full_name].get
            if get is get_struct:
                return lambda message: OneofDict(name, get(getattr(message, name)))
            return lambda message: get(getattr(message, name))
        # Looked up at the call, as the type may refer to itself.
        namespace, convert = self._namespace, self._add(form, message_type)
        if form == "model":
            return lambda message: namespace[convert](getattr(message, name))
        return lambda message: OneofDict(name, namespace[convert](getattr(message, name)))


def _attribute(name: str) -> str:
    """Return the expression for a field of the message `m`; `m.from` and `m.__debug__` would be syntax errors."""
    return f"m.{name}" if is_identifier(name) and not name.startswith("__") else f"getattr(m, {name!r})"


def _method(descriptor: Descriptor, variable: str, name: str) -> str:
    """Return the beginning of a call of a message's method, which a field of the same name may hide."""
    if name in descriptor.fields_by_name:
        return f"type({variable}).{name}({variable}, "
    return f"{variable}.{name}("


def _oneof_reader(oneof: str, getters: Mapping[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def read(message: Any) -> Any:
        which = type(message).WhichOneof(message, oneof)
        return None if which is None else getters[which](message)

    return read
