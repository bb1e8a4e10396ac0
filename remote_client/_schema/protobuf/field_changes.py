"""The changes of single fields between two sets of descriptors, and which of them break callers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from .fields import Field, fields_of, is_repeated, is_required, type_of

_T = FieldDescriptor
_VALUES: dict[int, tuple[str, int, int]] = {
    # a type -> its encoding on the wire, its smallest and its largest value
    _T.TYPE_BOOL: ("varint", 0, 1),
    _T.TYPE_INT32: ("varint", -(2**31), 2**31 - 1),
    _T.TYPE_INT64: ("varint", -(2**63), 2**63 - 1),
    _T.TYPE_UINT32: ("varint", 0, 2**32 - 1),
    _T.TYPE_UINT64: ("varint", 0, 2**64 - 1),
    _T.TYPE_SINT32: ("zigzag", -(2**31), 2**31 - 1),
    _T.TYPE_SINT64: ("zigzag", -(2**63), 2**63 - 1),
    _T.TYPE_FIXED32: ("fixed32", 0, 2**32 - 1),
    _T.TYPE_SFIXED32: ("fixed32", -(2**31), 2**31 - 1),
    _T.TYPE_FIXED64: ("fixed64", 0, 2**64 - 1),
    _T.TYPE_SFIXED64: ("fixed64", -(2**63), 2**63 - 1),
    _T.TYPE_STRING: ("bytes", 0, 0),  # all strings are bytes too
    _T.TYPE_BYTES: ("bytes", 0, 1),
}
_NAMES: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


class Change(NamedTuple):
    """A change of a field, and whether it breaks callers."""

    text: str
    breaking: bool


class Member(NamedTuple):
    """A field of protobuf, and the field that users see, which is one for all members of a oneof.

    Attributes:
        descriptor: protobuf's field.
        field: the field that users see.
        oneof: of a oneof's member: the oneof's name in the old schema, in the new one if only that has it.
    """

    descriptor: FieldDescriptor
    field: Field
    oneof: str | None

    @property
    def is_required_parameter(self) -> bool:
        """Whether callers must give the field if it is a task's parameter."""
        return not (self.field.is_oneof or self.field.optional or is_repeated(self.descriptor))

    @property
    def prefix(self) -> str:
        """How a text about it begins, as the path names a oneof and not its member."""
        return f"the union's {self.descriptor.name} " if self.field.is_oneof else ""


class Members(NamedTuple):
    """The fields of a message in both schemas, by their numbers, and the renamed oneofs: new name -> old name."""

    old: dict[int, Member]
    new: dict[int, Member]
    renamed: dict[str, str]

    @classmethod
    def of(cls, old: Descriptor, new: Descriptor) -> Members:
        """Return the fields of two messages."""
        before = _members(fields_of(old), {})
        fields = fields_of(new)
        renamed = _renamed_oneofs(before, fields)
        return cls(before, _members(fields, renamed), renamed)


def _members(fields: list[Field], renamed: dict[str, str]) -> dict[int, Member]:
    return {
        descriptor.number: Member(descriptor, field, renamed.get(field.name, field.name) if field.is_oneof else None)
        for field in fields
        for descriptor in field.members
    }


def _renamed_oneofs(before: dict[int, Member], fields: list[Field]) -> dict[str, str]:
    """Return the oneofs of new names whose known members were all in one oneof, which is gone."""
    known = {member.oneof for member in before.values()}
    now = {field.name for field in fields if field.is_oneof}
    found = {}
    for field in fields:
        if field.is_oneof and field.name not in known:
            names = {before[member.number].oneof for member in field.members if member.number in before}
            if len(names) == 1 and (name := names.pop()) is not None and name not in now:
                found[field.name] = name
    return found


def type_change(old: FieldDescriptor, new: FieldDescriptor, *, is_request: bool) -> Change | None:
    """Return the change of a field's scalar type, kind of type or cardinality, if there is one."""
    if is_repeated(old) != is_repeated(new):
        change = "no longer a list" if is_repeated(old) else "a list now"
        return Change(f"{change} (FIELD_WIRE_COMPATIBLE_CARDINALITY)", breaking=True)
    if old.type == new.type:
        return None
    sent, read = (old, new) if is_request else (new, old)
    text = f"type changed from {_type_name(old)} to {_type_name(new)}"
    if _fits(_VALUES.get(sent.type), _VALUES.get(read.type)):
        return Change(f"{text}: all values fit", breaking=False)
    return Change(f"{text} (FIELD_WIRE_COMPATIBLE_TYPE)", breaking=True)


def _fits(sent: tuple[str, int, int] | None, read: tuple[str, int, int] | None) -> bool:
    """Return whether the reader of a type understands all values of the type that is sent."""
    return sent is not None and read is not None and sent[0] == read[0] and read[1] <= sent[1] and sent[2] <= read[2]


def other_changes(old: Member, new: Member, *, is_parameter: bool = False) -> Iterator[Change]:
    """Yield the changes of a field that are neither of its number, its name nor its type."""
    if is_required(old.descriptor) != is_required(new.descriptor):
        text = "required now" if is_required(new.descriptor) else "no longer required"
        yield Change(f"{text} (MESSAGE_SAME_REQUIRED_FIELDS)", breaking=True)
    if old.oneof != new.oneof:
        yield _oneof_change(old, new)
    elif is_parameter and old.is_required_parameter != new.is_required_parameter:
        text = "required now" if new.is_required_parameter else "optional now"
        yield Change(text, breaking=new.is_required_parameter)
    elif old.field.optional != new.field.optional and old.descriptor.message_type is None:
        text = "unset and zero are distinct now" if new.field.optional else "unset and zero are the same now"
        yield Change(text, breaking=False)
    if old.descriptor.type == new.descriptor.type and _default(old.descriptor) != _default(new.descriptor):
        yield Change("another default (FIELD_SAME_DEFAULT)", breaking=True)


def _oneof_change(old: Member, new: Member) -> Change:
    if old.oneof is None:
        text = f"moved into the union {new.field.name}"
    elif new.oneof is None:
        text = "moved out of its union"
    else:
        text = f"moved into another union, {new.field.name}"
    return Change(f"{text} (FIELD_SAME_ONEOF)", breaking=True)


def _default(field: FieldDescriptor) -> str:
    if is_repeated(field) or field.message_type is not None:
        return ""
    return repr(field.default_value)  # NaN is not equal to itself


def _type_name(field: FieldDescriptor) -> str:
    kind = type_of(field)
    return _NAMES[field.type] if kind is None else kind.full_name
