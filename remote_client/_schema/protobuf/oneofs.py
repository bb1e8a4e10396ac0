"""The choice of the member of a oneof that takes a value."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from ..._concurrency.iterators import collect
from ..._text.cleaning import listed, type_name
from ..foreign_values import given_fields, is_row, native, row_of
from .conversion_errors import FAILURES
from .fields import SCALARS, fields_of, message_of, sequence_field
from .values import WELL_KNOWN

Setter = Callable[[Any, Any], None]


class OneofDict(dict[str, Any]):
    """A message in a oneof, as a dict of an answer. Passed as an argument, it sets the same member again."""

    __slots__ = ("member",)

    def __init__(self, member: str, items: Mapping[str, Any]) -> None:
        super().__init__(items)
        self.member = member

    def __reduce__(self) -> Any:
        return type(self), (self.member, dict(self))


class OneofEnumName(str):
    """The name of an enum's member in a oneof, as `OneofDict`."""

    member: str

    def __new__(cls, member: str, name: str) -> OneofEnumName:
        made = super().__new__(cls, name)
        made.member = member
        return made

    def __reduce__(self) -> Any:
        return type(self), (self.member, str(self))


class OneofSetter:
    """Sets the member of a oneof that takes a value: by the value's exact type, else by trying."""

    def __init__(
        self,
        members: tuple[FieldDescriptor, ...],
        setter: Callable[[FieldDescriptor], Setter],
        python_type: Callable[[FieldDescriptor], Any],
    ) -> None:
        self._members = members
        self._setter = setter
        self._python_type = python_type
        self._by_name: dict[str, Setter] = {}
        self._by_type: dict[type, Setter] | None = None
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self, message: Any, value: Any) -> None:
        setters = self._prepare() if self._by_type is None else self._by_type
        setter = setters.get(type(value))
        if setter is not None:
            setter(message, value)
        elif isinstance(value, (OneofDict, OneofEnumName)) and value.member in self._by_name:
            self._by_name[value.member](message, value)
        else:
            self._choose(message, value if isinstance(value, enum.Enum) else native(value), setters)

    def _choose(self, message: Any, value: Any, setters: Mapping[type, Setter]) -> None:
        """Set the member for a value of another type, or of one that several members have."""
        if type(value) in setters:
            setters[type(value)](message, value)
        else:
            type(message).MergeFrom(message, self._try(value))

    def _prepare(self) -> dict[type, Setter]:
        # At the first call, as a type may have itself in a oneof.
        exact: dict[type, Setter] = {}
        ambiguous: set[type] = set()
        for member in self._members:
            self._by_name[member.name] = setter = self._setter(member)
            kind = self._python_type(member)
            if isinstance(kind, type) and exact.setdefault(kind, setter) is not setter:
                ambiguous.add(kind)  # such as integers of two sizes: the value decides
        self._by_type = {kind: setter for kind, setter in exact.items() if kind not in ambiguous}
        return self._by_type

    def _try(self, value: Any) -> Message:
        """Return a message with the member set that takes the value."""
        value = _reusable(value)
        types = (member.message_type for member in self._members)
        if is_row(value) and any(kind and not sequence_field(kind) for kind in types):
            value = row_of(value)
        fitting: list[tuple[FieldDescriptor, Message]] = []
        errors: list[Exception] = []
        for member in self._candidates(value):
            assert member.containing_type is not None
            scratch = message_factory.GetMessageClass(member.containing_type)()
            try:
                self._by_name[member.name](scratch, value)
            except FAILURES as error:
                errors.append(error)
            else:
                fitting.append((member, scratch))
        lists = [member for member, _ in fitting if sequence_field(member.message_type)]
        if isinstance(value, Mapping) and len(fitting) > max(1, len(lists)):
            kinds = " and ".join(message_of(member).name for member, _ in fitting[:20])
            raise TypeError(f"the mapping fits {kinds}: give an object of the type that is meant")
        if fitting:
            return fitting[0][1]
        if len(errors) == 1:
            raise errors[0]
        expected = (getattr(kind, "__name__", str(kind)) for kind in map(self._python_type, self._members))
        raise TypeError(f"expected one of {listed(expected, len(self._members))}, not {type_name(value)}")

    def _candidates(self, value: Any) -> list[FieldDescriptor]:
        """Return the members to try, the likeliest first."""
        if isinstance(value, (str, bytes)):
            return [member for member in self._members if member.message_type is None]
        if not isinstance(value, (Message, Mapping, BaseModel)):
            return sorted(self._members, key=partial(_likelihood, value))
        messages = [member for member in self._members if member.message_type is not None]
        if isinstance(value, Message):
            return [member for member in messages if message_of(member).full_name == type(value).DESCRIPTOR.full_name]
        own = [member for member in messages if message_of(member).full_name not in WELL_KNOWN]
        given = value.keys() if isinstance(value, Mapping) else given_fields(value).keys()
        fits = [member for member in own if self._names_in(message_of(member)).issuperset(given)]
        if isinstance(value, Mapping) and all(sequence_field(message_of(member)) for member in fits):
            fits.sort(key=partial(_likelihood, value.get("values")))
        # Well-known types last, as a Struct takes any mapping.
        return fits or [member for member in messages if message_of(member).full_name in WELL_KNOWN] or own

    def _names_in(self, descriptor: Descriptor) -> frozenset[str]:
        """Return the names that a mapping may have for the fields of a message."""
        if descriptor.full_name not in self._names:
            names = (name for field in fields_of(descriptor) for name in (field.name, field.attribute))
            self._names[descriptor.full_name] = frozenset(names)
        return self._names[descriptor.full_name]


def _reusable(value: Any) -> Any:
    """Return a value that can be tried several times: iterators as lists, as the first try would use them up."""
    if isinstance(value, Iterator):
        return collect(value)
    if isinstance(value, Mapping) and any(isinstance(item, Iterator) for item in value.values()):
        return {name: _reusable(item) for name, item in value.items()}
    return value


def _likelihood(items: Any, member: FieldDescriptor) -> int:
    """Return a sort key: lowest for the sequence whose items have the type of the list's first item."""
    inner = sequence_field(member.message_type)
    if inner is None or not isinstance(items, (list, tuple)) or not items:
        return 0
    return -int(SCALARS.get(inner.type, (None,))[0] is type(items[0]))
