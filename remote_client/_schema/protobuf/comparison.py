"""The comparison of two sets of descriptors, as callers of one meet it at a gRPC server that has the other.

The rules are those of buf's category WIRE for breaking changes
(https://buf.build/docs/breaking/rules/): RPC_NO_DELETE, RPC_SAME_REQUEST_TYPE, RPC_SAME_RESPONSE_TYPE,
RPC_SAME_CLIENT_STREAMING, RPC_SAME_SERVER_STREAMING, FIELD_NO_DELETE, FIELD_WIRE_COMPATIBLE_TYPE,
FIELD_WIRE_COMPATIBLE_CARDINALITY, FIELD_SAME_ONEOF, FIELD_SAME_DEFAULT, MESSAGE_SAME_REQUIRED_FIELDS,
ENUM_VALUE_NO_DELETE. The direction matters here: an integer may get wider in a request, and narrower in an answer.
Renaming what is not on the wire is reported and breaks nothing: fields, enums' values, and types whose fields are the
same. caikit adds one rule: a new required parameter of a task breaks its callers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any, Literal, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from ...errors import SchemaError
from ..budget import MAX_NAME, Budget
from ..differences import Difference, Differences, Method, MethodMatcher
from ..rpc import ServiceDescription
from .descriptor_pools import pool_of
from .field_changes import Member, Members, other_changes, type_change
from .fields import Type, is_required, type_of
from .same_types import SameTypes, is_well_known
from .services import descriptor_set


def compare(
    old: ServiceDescription, new: ServiceDescription, budget: Budget, names: tuple[str, str]
) -> list[Difference]:
    """See `comparison.compare`."""
    found = Differences(budget)
    before, after = _methods(old, names[0], budget), _methods(new, names[1], budget)
    types = _Types(found, budget)
    for method in MethodMatcher(old, new, after, found, " (RPC_NO_DELETE)").common():
        was, now = before[method.rpc.path], after[method.rpc.path]
        for name in ("client_streaming", "server_streaming"):
            if getattr(was, name) != getattr(now, name):
                change = f"{name.replace('_', ' ')} {'began' if getattr(now, name) else 'ended'}"
                found.add(method.path, f"{change} (RPC_SAME_{name.upper()})", breaking=True)
        types.compare(method, was, now)
    return found.all()


def _methods(description: ServiceDescription, name: str, budget: Budget) -> dict[str, MethodDescriptor]:
    """Return all methods of a server, by their paths on the wire."""
    files = FileDescriptorSet.FromString(descriptor_set(description)).file
    try:
        pool = pool_of({file.name: file for file in files}, budget)
    except SchemaError as error:  # files were checked before only as far as they were used
        raise SchemaError(f"{name} cannot be compared: {error}") from error
    services = (f"{file.package}.{service.name}".lstrip(".") for file in files for service in file.service)
    return {f"/{name}/{method.name}": method for name in services for method in pool.FindServiceByName(name).methods}


class _Place(NamedTuple):
    """Where a type is used.

    Attributes:
        path: the path in differences.
        is_request: whether callers send it.
        role: `parameters` of a type whose fields are a task's parameters: singular ones outside any oneof are required.
            `training` of the message around them.
    """

    path: str
    is_request: bool
    role: Literal["", "parameters", "training"] = ""

    def inside(self, name: str) -> _Place:
        """Return the place of a field of the type."""
        if self.role == "training" and name == "parameters":
            return _Place(self.path, self.is_request, "parameters")
        path = self.path if len(self.path) > MAX_NAME else f"{self.path}.{name}"
        return _Place(path, self.is_request)


class _Types:
    """Compares messages and enums, every pair once for requests and once for answers: schemas may be circular."""

    def __init__(self, found: Differences, budget: Budget) -> None:
        self._found = found
        self._spend = budget.spend
        self._user: Hashable = None
        """The method's request or answer, or the pair of types, that is compared."""
        self._done: set[Hashable] = set()
        self._waiting: deque[tuple[Any, Any, _Place, Hashable]] = deque()
        self._same_types = SameTypes(budget)

    def compare(self, method: Method, old: MethodDescriptor, new: MethodDescriptor) -> None:
        """Compare the types of a method's request and answer."""
        role: Any = "training" if method.rpc.module else "parameters" if method.task and not method.takes_job else ""
        answer = method.path if method.takes_job else f"{method.path}()"
        self._user = self._found.uses.add_method(method.task, method.path)
        self._visit(old.input_type, new.input_type, _Place(method.path, True, role), "RPC_SAME_REQUEST_TYPE")
        self._user = self._found.uses.add_method(method.task, answer)
        self._visit(old.output_type, new.output_type, _Place(answer, False), "RPC_SAME_RESPONSE_TYPE")
        while self._waiting:
            before, after, place, self._user = self._waiting.popleft()
            if isinstance(before, EnumDescriptor):
                self._compare_values(before, after, place)
            else:
                self._compare_fields(before, after, place)

    def _visit(self, old: Type, new: Type, place: _Place, rule: str) -> None:
        """Queue the comparison of two types, unless it was done. Types that differ in their names may be the same."""
        key = (old.full_name, new.full_name, place.is_request, place.role)
        self._found.uses.add(self._user, key)
        if key in self._done:
            return
        self._done.add(key)
        if old.full_name != new.full_name and not _is_entry(old):
            change = f"the type {old.full_name} became {new.full_name}"
            if not self._same_types.are_same(old, new):
                self._found.add(place.path, f"{change}, which is another one ({rule})", breaking=True, of=key)
                return
            self._found.add(place.path, f"{change}, which is the same on the wire", of=key)
        if not is_well_known(old):
            self._waiting.append((old, new, place, key))

    def _add(self, path: str, text: str, *, breaking: bool = False) -> None:
        """Add a difference of the types that are compared."""
        self._found.add(path, text, breaking=breaking, of=self._user)

    def _compare_fields(self, old: Descriptor, new: Descriptor, place: _Place) -> None:
        members = Members.of(old, new)
        for name, before in members.renamed.items():
            self._add(place.inside(before).path, f"the union was renamed to {name}, with the same numbers")
        for number, member in members.old.items():
            self._spend("nodes")
            here = place.inside(member.field.attribute)
            moved = new.fields_by_name.get(member.descriptor.name)
            if moved is not None and moved.number != number:
                change = f"number changed from {number} to {moved.number}"
                self._add(here.path, f"{member.prefix}{change} (FIELD_NO_DELETE)", breaking=True)
            elif number in members.new:
                self._compare_field(member, members.new[number], here, place)
            else:
                self._add(here.path, f"{member.prefix}removed (FIELD_NO_DELETE)", breaking=True)
        for number, member in members.new.items():
            was = members.old.get(number)
            is_renamed = was is not None and was.descriptor.name not in new.fields_by_name
            if member.descriptor.name not in old.fields_by_name and not is_renamed:
                self._spend("nodes")
                self._report_added(member, members, place)

    def _compare_field(self, old: Member, new: Member, here: _Place, place: _Place) -> None:
        change = type_change(old.descriptor, new.descriptor, is_request=place.is_request)
        is_renamed = old.descriptor.name != new.descriptor.name
        if change is not None and change.breaking:
            removed = f"removed: {new.descriptor.name}, of another type, has its number (FIELD_NO_DELETE)"
            self._add(here.path, old.prefix + (removed if is_renamed else change.text), breaking=True)
            return
        if is_renamed:
            self._add(here.path, f"{old.prefix}renamed to {new.descriptor.name}, with the same number")
        if change is not None:
            self._add(here.path, old.prefix + change.text)
        for text, breaking in other_changes(old, new, is_parameter=place.role == "parameters"):
            self._add(here.path, old.prefix + text, breaking=breaking)
        before, after = type_of(old.descriptor), type_of(new.descriptor)
        if before is not None and after is not None and old.descriptor.type == new.descriptor.type:
            self._visit(before, after, here, "FIELD_WIRE_COMPATIBLE_TYPE")

    def _report_added(self, member: Member, members: Members, place: _Place) -> None:
        path = place.inside(member.field.attribute).path
        is_parameter = place.role == "parameters" and member.is_required_parameter
        if place.is_request and (is_required(member.descriptor) or is_parameter):
            self._add(path, "a new required parameter" if place.role else "a new required field", breaking=True)
        elif member.oneof is not None and any(option.number in members.old for option in member.field.members):
            unknown = "" if place.is_request else ": callers of the schema read it as unset"
            self._add(path, f"the union has {member.descriptor.name} too{unknown}")
        elif member.descriptor is member.field.members[0]:
            self._add(path, "added")

    def _compare_values(self, old: EnumDescriptor, new: EnumDescriptor, place: _Place) -> None:
        before, after = ({value.name: value.number for value in enum.values} for enum in (old, new))
        names = {number: name for name, number in after.items()}
        for name, number in before.items():
            self._spend("nodes")
            if name in after and after[name] != number:
                change = f"the number of {name} changed from {number} to {after[name]}"
                self._add(place.path, f"{change} (ENUM_VALUE_NO_DELETE)", breaking=True)
            elif number not in names:
                self._add(place.path, f"the value {name} ({number}) was removed (ENUM_VALUE_NO_DELETE)", breaking=True)
            elif name not in after:
                self._add(place.path, f"the value {name} was renamed to {names[number]}, with the same number")
        numbers = {*before.values()}
        for name, number in after.items():
            if name not in before and number not in numbers:
                self._spend("nodes")
                self._add(place.path, f"the value {name} ({number}) was added")


def _is_entry(kind: Type) -> bool:
    """Return whether a type is that of a map's entries, which is named after its field."""
    return isinstance(kind, Descriptor) and kind.GetOptions().map_entry
