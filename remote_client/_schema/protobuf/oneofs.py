"""Which member of a union a value is meant for."""

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


class Chosen(dict[str, Any]):
    """A union's member in an answer as a dict. Handed back as an argument, it is the same member again."""

    __slots__ = ("member",)

    def __init__(self, member: str, items: Mapping[str, Any]) -> None:
        super().__init__(items)
        self.member = member

    def __reduce__(self) -> Any:
        return type(self), (self.member, dict(self))


class ChosenName(str):
    """As `Chosen`, of a member that is an enum: its name."""

    member: str

    def __new__(cls, member: str, name: str) -> ChosenName:
        made = super().__new__(cls, name)
        made.member = member
        return made

    def __reduce__(self) -> Any:
        return type(self), (self.member, str(self))


class Chooser:
    """Sets the member of a union that a value is meant for: by its exact type, or else the one member that takes it.

    Args:
        members: the union's fields.
        setter: gives `set(message, value)` for one of them.
        kind: gives the Python type of one of them.
    """

    def __init__(
        self,
        members: tuple[FieldDescriptor, ...],
        setter: Callable[[FieldDescriptor], Setter],
        kind: Callable[[FieldDescriptor], Any],
    ) -> None:
        self._members = members
        self._setter = setter
        self._kind = kind
        self._by_name: dict[str, Setter] = {}
        self._by_type: dict[type, Setter] | None = None
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self, message: Any, value: Any) -> None:
        setters = self._prepare() if self._by_type is None else self._by_type
        setter = setters.get(type(value))
        if setter is not None:
            setter(message, value)
        elif isinstance(value, (Chosen, ChosenName)) and value.member in self._by_name:
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
        """Done at the first use: a type may hold a union of itself."""
        exact: dict[type, Setter] = {}
        twins: set[type] = set()
        for member in self._members:
            self._by_name[member.name] = setter = self._setter(member)
            kind = self._kind(member)
            if isinstance(kind, type) and exact.setdefault(kind, setter) is not setter:
                twins.add(kind)  # integers of two sizes: the value decides
        self._by_type = {kind: setter for kind, setter in exact.items() if kind not in twins}
        return self._by_type

    def _try(self, value: Any) -> Message:
        """A message with the one member set that takes the value."""
        value = _lasting(value)
        if is_row(value) and any(each.message_type and not sequence_field(each.message_type) for each in self._members):
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
        expected = (getattr(kind, "__name__", str(kind)) for kind in map(self._kind, self._members))
        raise TypeError(f"expected one of {listed(expected, len(self._members))}, not {type_name(value)}")

    def _candidates(self, value: Any) -> list[FieldDescriptor]:
        """The members to try, the likeliest first."""
        if isinstance(value, Message):
            return [each for each in self._members if _is(each, type(value).DESCRIPTOR.full_name)]
        if isinstance(value, (Mapping, BaseModel)):
            plain = [each for each in self._members if each.message_type is not None]
            ours = [each for each in plain if message_of(each).full_name not in WELL_KNOWN]
            # A JSON object takes any mapping: it is meant where no type of the server's has these fields.
            given = value.keys() if isinstance(value, Mapping) else given_fields(value).keys()
            fits = [each for each in ours if self._names_in(message_of(each)).issuperset(given)]
            if isinstance(value, Mapping) and all(sequence_field(message_of(each)) for each in fits):
                fits.sort(key=partial(_likelihood, value.get("values")))
            return fits or [each for each in plain if message_of(each).full_name in WELL_KNOWN] or ours
        if isinstance(value, (str, bytes)):
            return [each for each in self._members if each.message_type is None]
        return sorted(self._members, key=partial(_likelihood, value))

    def _names_in(self, descriptor: Descriptor) -> frozenset[str]:
        """The names by which a mapping may give the fields of a message."""
        if descriptor.full_name not in self._names:
            names = (name for field in fields_of(descriptor) for name in (field.name, field.attribute))
            self._names[descriptor.full_name] = frozenset(names)
        return self._names[descriptor.full_name]


def _lasting(value: Any) -> Any:
    """Return a value for several tries: the first one would use up an iterator, and the next find it empty."""
    if isinstance(value, Iterator):
        return collect(value)
    if isinstance(value, Mapping) and any(isinstance(each, Iterator) for each in value.values()):
        return {name: _lasting(each) for name, each in value.items()}
    return value


def _likelihood(items: Any, member: FieldDescriptor) -> int:
    """Lowest for the sequence whose items have the type of the list's first one."""
    inner = sequence_field(member.message_type)
    if inner is None or not isinstance(items, (list, tuple)) or not items:
        return 0
    return -int(SCALARS.get(inner.type, (None,))[0] is type(items[0]))


def _is(field: FieldDescriptor, full_name: str) -> bool:
    return field.message_type is not None and field.message_type.full_name == full_name
