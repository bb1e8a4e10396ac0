"""One generated converter per message type and direction: Python values -> protobuf, protobuf -> models or dicts.

The functions are generated as source, so that a call looks up no field and asks for no type: outbound sets protobuf's
fields directly, inbound makes models without pydantic's validation, as protobuf has checked all that it would check
(a rich answer: 0.8 of the time of nested dicts and one `model_validate`, 0.4 of that of `model_construct`).
The source holds no name of a server's but as a string's `repr`, or after `m.` where it is an identifier: types have
numbers in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any, Literal, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from ..._text.redaction import GENERATED
from ..identifiers import is_identifier
from . import values
from .arrays import ARRAYS, BUFFERS, as_array, pack
from .conversion_errors import FAILURES, raise_at
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
from .filling import enum_checker, extend, fill
from .oneofs import Chooser, Chosen, ChosenName
from .values import WELL_KNOWN, set_struct

Deed = Literal["make", "read", "array"]
_FLOAT32 = FieldDescriptor.TYPE_FLOAT
_KNOWN = {full_name: number for number, full_name in enumerate(WELL_KNOWN)}
_SLOTS = {
    # What pydantic itself sets of a model. A model's own `__setattr__` is written in Python, and ten times slower.
    "set_values": BaseModel.__dict__["__dict__"].__set__,
    "set_given": BaseModel.__dict__["__pydantic_fields_set__"].__set__,
    "set_extra": BaseModel.__dict__["__pydantic_extra__"].__set__,
    "set_private": BaseModel.__dict__["__pydantic_private__"].__set__,
}
_MOST_FIELDS = 200
"""Of one generated function."""
Spend = Callable[[int], None]
T = TypeVar("T")


def _uncounted(fields: int) -> None:
    """Allow a converter of so many fields, as calls do."""


class Converters:
    """The converters of one schema; asking for a type's generates those of all types it refers to.

    Args:
        model: gives the pydantic model of a message.
        enum_type: gives the enum of an enum descriptor.
        fields: gives the fields of a message.
    """

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
        self._spend: Spend = _uncounted
        self._space: dict[str, Any] = {name: getattr(values, name) for name in dir(values) if name.startswith("as_")}
        self._space |= {
            "FAILURES": FAILURES,
            "raise_at": raise_at,
            "fill": fill,
            "extend": extend,
            "pack": pack,
            "as_array": as_array,
            "new": object.__new__,
            "repeat": repeat,
            "run": deque(maxlen=0).extend,
            **_SLOTS,
        }
        for full_name, (_, setter, getter) in WELL_KNOWN.items():
            self._space[f"set_{_KNOWN[full_name]}"] = setter
            self._space[f"get_{_KNOWN[full_name]}"] = getter

    def encoder(self, descriptor: Descriptor, spend: Spend = _uncounted) -> Callable[[Any, Any], None]:
        """`encode(message, value)`: sets the message's fields from a mapping, model or message. Raises ConversionError.

        `spend` counts the fields of all converters that are generated, and is called with 0 now and then.
        """
        encode: Callable[[Any, Any], None] = self._generated("encode", descriptor, spend)
        return encode

    def decoder(self, descriptor: Descriptor, deed: Deed, spend: Spend = _uncounted) -> Callable[[Any], Any]:
        """What makes of a message its pydantic model (`make`), as validating the dicts would make it; nested dicts, by
        the names on the wire (`read`); or such dicts with the repeated numbers as arrays of numpy's (`array`).
        """
        decode: Callable[[Any], Any] = self._generated(deed, descriptor, spend)
        return decode

    def _generated(self, deed: str, descriptor: Descriptor, spend: Spend = _uncounted) -> Any:
        with self._generating:  # a large answer is decoded by another thread
            self._spend = spend
            name = self._add(deed, descriptor)
            while self._waiting:  # a converter's source adds those of the types that it refers to
                self._generate(*self._waiting.pop())
            return self._space[name]

    def _add(self, deed: str, descriptor: Descriptor) -> str:
        """The name of a converter, which is generated when it is first asked for."""
        number = self._number(descriptor)
        name = f"{deed}_{number}"
        if name not in self._begun:
            self._begun.add(name)
            self._waiting.append((deed, number))
        return name

    def _number(self, descriptor: Descriptor) -> int:
        number = self._numbers.get(descriptor.full_name)
        if number is None:
            number = self._numbers[descriptor.full_name] = len(self._numbers)
            fields = self._fields_of(descriptor)
            self._fields.append(fields)
            self._space[f"MODEL_{number}"] = self._model(descriptor)
            names = self._space[f"NAMES_{number}"] = {field.name: field.attribute for field in fields}
            self._space[f"TYPE_{number}"] = descriptor
            self._space[f"GIVEN_{number}"] = set(names.values())
            self._space[f"SAME_{number}"] = {each for each in names.values() if names.get(each, each) == each}
        return number

    def _generate(self, deed: str, number: int) -> None:
        sources = {"encode": self._encode_source, "make": self._make_source}
        fields = self._fields[number]
        self._spend(count_members(fields))
        lines = sources[deed](number, fields) if deed in sources else self._read_source(deed, number, fields)
        self._run(f"{deed}_{number}", lines)

    def _run(self, name: str, lines: Iterable[str]) -> None:
        self._spend(0)
        exec(compile("\n".join(lines), f"{GENERATED}{name}>", "exec"), self._space)  # noqa: S102

    def _in_parts(self, name: str, each: list[T], part: Callable[[str, list[T]], Iterable[str]]) -> list[str]:
        """Generate functions for the fields of a large message, and return their names: to compile the one function of
        ten thousand fields takes hundreds of megabytes.
        """
        names = []
        for start in range(0, len(each), _MOST_FIELDS):
            names.append(f"{name}_{start}")
            self._run(names[-1], part(names[-1], each[start : start + _MOST_FIELDS]))
        return names

    # -- outbound ---------------------------------------------------------------------------------------------------

    def _encode_source(self, number: int, fields: list[Field]) -> Iterator[str]:
        yield f"def encode_{number}(m, v):"
        yield f"    if v.__class__ is dict and v.keys() <= SAME_{number}:"
        yield "        d = v"  # its keys are the attributes: nothing to look up or to complain about
        yield "    else:"
        yield f"        d = v.__dict__ if v.__class__ is MODEL_{number} else fill(m, v, TYPE_{number}, NAMES_{number})"
        numbered = [*enumerate(fields)]
        if len(fields) <= _MOST_FIELDS:
            yield from self._set_sources(number, numbered)
            return
        for name in self._in_parts(
            f"encode_{number}",
            numbered,
            lambda name, part: (f"def {name}(m, d):", *self._set_sources(number, part)),
        ):
            yield f"    {name}(m, d)"

    def _set_sources(self, number: int, fields: list[tuple[int, Field]]) -> Iterator[str]:
        for index, field in fields:
            reference = f"FIELD_{number}_{index}"
            self._space[reference] = field.members[0]
            yield f"    x = d.get({field.attribute!r})"
            yield "    if x is not None:"
            yield "        try:"
            for line in self._set_source(number, index, field):
                yield f"            {line}"
            yield "        except FAILURES as e:"
            yield f"            raise_at(e, {field.name!r}, {reference})"

    def _set_source(self, number: int, index: int, field: Field) -> Iterator[str]:
        member = field.members[0]
        here = _attribute(member.name)
        if field.is_oneof:
            name = f"choose_{number}_{index}"
            self._space[name] = Chooser(field.members, self._setter, self._kind)
            yield f"{name}(m, x)"
        elif is_map(member):
            key, value = map_entry(member)
            yield f"t = {here}"
            yield "for k, x in (x if x.__class__ is dict else as_mapping(x)).items():"
            yield "    try:"
            if value.message_type is not None:
                yield f"        {self._message_setter(value)}(t[{SCALARS[key.type][1]}(k)], x)"
            else:
                yield f"        t[{SCALARS[key.type][1]}(k)] = {self._scalar(value)}(x)"
            yield "    except FAILURES as e:"
            yield "        raise_at(e, f'[{k!r}]')"
        elif is_repeated(member) and member.message_type is not None:
            yield f"t = {here}"
            yield "for i, x in enumerate(as_items(x)):"
            yield "    try:"
            yield f"        {self._message_setter(member)}(t.add(), x)"
            yield "    except FAILURES as e:"
            yield "        raise_at(e, i)"
        elif is_repeated(member):
            exact = "None" if member.type not in SCALARS else f"EXACT_{SCALARS[member.type][0].__name__}"
            if member.type == _FLOAT32:
                exact = "None"  # each must be looked at for its range
            elif exact != "None":
                self._space[exact] = frozenset({SCALARS[member.type][0]})
            code = BUFFERS.get(member.type)
            if code is None or not is_packed(member):
                yield f"extend({here}, x, {exact}, {self._scalar(member)})"
            else:
                yield f"if x.__class__ is list or not pack(m, x, {member.number << 3 | 2}, {code!r}):"
                yield f"    extend({here}, x, {exact}, {self._scalar(member)})"
        elif member.message_type is not None:
            yield f"t = {here}"
            yield f"{_method(message_of(member), 't', 'SetInParent')})"
            yield f"{self._message_setter(member)}(t, x)"
        else:
            checked = f"{self._scalar(member)}(x)"
            if member.type in SCALARS and member.type != _FLOAT32:
                checked = f"x if x.__class__ is {SCALARS[member.type][0].__name__} else {checked}"
            yield f"{here} = {checked}" if here.startswith("m.") else f"setattr(m, {member.name!r}, {checked})"

    def _message_setter(self, field: FieldDescriptor) -> str:
        message_type = message_of(field)
        if message_type.full_name in WELL_KNOWN:
            return f"set_{_KNOWN[message_type.full_name]}"
        return self._add("encode", message_type)

    def _kind(self, field: FieldDescriptor) -> Any:
        return python_type(field, self._model, self._enum_type)

    def _scalar(self, field: FieldDescriptor) -> str:
        """The name of the function that checks a value of a scalar or enum field."""
        if field.enum_type is None:
            return SCALARS[field.type][1]
        return f"as_{self._enum(field.enum_type)}"

    def _enum(self, descriptor: EnumDescriptor) -> str:
        """The name of an enum's class, and after `as_` of what checks its values."""
        name = self._enums.get(descriptor.full_name)
        if name is None:
            name = self._enums[descriptor.full_name] = f"enum_{len(self._enums)}"
            self._space[name] = self._enum_type(descriptor)
            self._space[f"as_{name}"] = enum_checker(self._space[name])
        return name

    def _setter(self, field: FieldDescriptor) -> Callable[[Any, Any], None]:
        """`set(message, value)` for one member of a union."""
        name = field.name
        if field.message_type is None:
            convert = self._space[self._scalar(field)]
            return lambda message, value: setattr(message, name, convert(value))
        inner = sequence_field(field.message_type)
        known = WELL_KNOWN.get(field.message_type.full_name)
        # Choosers ask for it at a call, as a type may hold a union of itself.
        fill = self._generated("encode", field.message_type) if known is None else known[1]

        def set_message(message: Any, value: Any) -> None:
            target = getattr(message, name)
            type(target).SetInParent(target)
            if inner is not None and not isinstance(value, (Mapping, BaseModel, Message)):
                value = {inner.name: value}
            fill(target, value)

        return set_message

    # -- inbound ----------------------------------------------------------------------------------------------------

    def _make_source(self, number: int, fields: list[Field]) -> Iterator[str]:
        values = self._values("make", number, fields)
        yield f"def make_{number}(m):"
        yield f"    o = new(MODEL_{number})"
        yield "    set_values(o, {"
        yield from values
        yield "    })"
        yield f"    set_given(o, GIVEN_{number}.copy())"
        yield "    set_extra(o, None)"
        yield "    set_private(o, None)"
        yield "    return o"
        # Many at once, each step for all: `map` calls cost a third less than those of a loop.
        yield f"def make_{number}s(s):"
        yield "    if not s:"
        yield "        return []"
        yield f"    o = [*map(new, repeat(MODEL_{number}, len(s)))]"
        yield "    run(map(set_values, o, [{"
        yield from values
        yield "    } for m in s]))"
        yield f"    run(map(set_given, o, [GIVEN_{number}.copy() for _ in o]))"
        yield "    run(map(set_extra, o, repeat(None)))"
        yield "    run(map(set_private, o, repeat(None)))"
        yield "    return o"

    def _read_source(self, deed: str, number: int, fields: list[Field]) -> Iterator[str]:
        yield f"def {deed}_{number}(m):"
        yield "    return {"
        yield from self._values(deed, number, fields)
        yield "    }"

    def _values(self, deed: str, number: int, fields: list[Field]) -> list[str]:
        """The items of a dictionary of a message's fields."""
        values = [
            f"{(field.attribute if deed == 'make' else field.name)!r}: {self._get_source(deed, number, index, field)},"
            for index, field in enumerate(fields)
        ]
        if len(values) <= _MOST_FIELDS:
            return values
        names = self._in_parts(
            f"{deed}_{number}", values, lambda name, part: (f"def {name}(m):", "    return {", *part, "    }")
        )
        return [f"**{name}(m)," for name in names]

    def _get_source(self, deed: str, number: int, index: int, field: Field) -> str:
        """The expression for a field of `m`; `deed` is what becomes of messages in it."""
        if field.is_oneof:
            name = f"{deed}_union_{number}_{index}"
            getters = {each.name: self._getter(deed, each) for each in field.members}
            self._space[name] = _union_reader(field.name, getters)
            return f"{name}(m)"
        member = field.members[0]
        here = _attribute(member.name)
        if is_map(member):
            item = self._item(deed, map_entry(member)[1])
            return f"dict({here})" if item == "x" else f"{{k: {item} for k, x in {here}.items()}}"
        item = self._item(deed, member)
        if is_repeated(member):
            if deed == "array" and member.type in ARRAYS:
                return f"as_array({here}, {ARRAYS[member.type]!r})"
            if deed == "make" and item.startswith("make_"):
                return f"{item.removesuffix('(x)')}s({here})"
            return f"list({here})" if item == "x" else f"[{item} for x in {here}]"
        one = here if item == "x" else item.replace("(x", f"({here}", 1)
        if field.optional or member.message_type is not None:
            assert member.containing_type is not None
            return f"{one} if {_method(member.containing_type, 'm', 'HasField')}{member.name!r}) else None"
        return one

    def _item(self, deed: str, field: FieldDescriptor) -> str:
        """The expression that reads one value `x`."""
        if field.enum_type is not None:
            name = self._enum(field.enum_type)
            return f"{name}(x)" if deed == "make" else f"{name}(x).name"
        if field.message_type is None:
            return "x"
        if field.message_type.full_name in WELL_KNOWN:
            return f"get_{_KNOWN[field.message_type.full_name]}(x)"
        return f"{self._add(deed, field.message_type)}(x)"

    def _getter(self, deed: str, field: FieldDescriptor) -> Callable[[Any], Any]:
        """`get(message)` for one member of a union."""
        name, message_type = field.name, field.message_type
        if message_type is None:
            if field.enum_type is None:
                return lambda message: getattr(message, name)
            kind = self._enum_type(field.enum_type)
            if deed == "make":
                return lambda message: kind(getattr(message, name))
            return lambda message: ChosenName(name, kind(getattr(message, name)).name)
        if message_type.full_name in WELL_KNOWN:
            read = WELL_KNOWN[message_type.full_name][2]
            if WELL_KNOWN[message_type.full_name][1] is set_struct:
                return lambda message: Chosen(name, read(getattr(message, name)))
            return lambda message: read(getattr(message, name))
        # Looked up at the call: the type may refer to itself.
        space, convert = self._space, self._add(deed, message_type)
        if deed == "make":
            return lambda message: space[convert](getattr(message, name))
        return lambda message: Chosen(name, space[convert](getattr(message, name)))


def _attribute(name: str) -> str:
    """The expression for a field of the message `m`; `m.from` and `m.__debug__` would be no Python."""
    return f"m.{name}" if is_identifier(name) and not name.startswith("__") else f"getattr(m, {name!r})"


def _method(descriptor: Descriptor, variable: str, name: str) -> str:
    """The beginning of a call of a message's method, also where a field of the same name hides it."""
    if name in descriptor.fields_by_name:
        return f"type({variable}).{name}({variable}, "
    return f"{variable}.{name}("


def _union_reader(oneof: str, getters: Mapping[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def read(message: Any) -> Any:
        which = type(message).WhichOneof(message, oneof)
        return None if which is None else getters[which](message)

    return read
