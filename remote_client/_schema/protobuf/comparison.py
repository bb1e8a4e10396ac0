"""What a caller of one set of descriptors meets at a gRPC server that has another.

The measure is what protobuf and gRPC allow to change, as buf's breaking rules name it, in its category WIRE
(https://buf.build/docs/breaking/rules/): RPC_NO_DELETE, RPC_SAME_REQUEST_TYPE, RPC_SAME_RESPONSE_TYPE,
RPC_SAME_CLIENT_STREAMING, RPC_SAME_SERVER_STREAMING, FIELD_NO_DELETE, FIELD_WIRE_COMPATIBLE_TYPE,
FIELD_WIRE_COMPATIBLE_CARDINALITY, FIELD_SAME_ONEOF, FIELD_SAME_DEFAULT, MESSAGE_SAME_REQUIRED_FIELDS,
ENUM_VALUE_NO_DELETE. Where a direction decides, it does here: an integer may get wider in a request, and narrower in an
answer. Names that are not on the wire are told and break nothing: those of fields, of enums' values, and of types whose
fields are the same. caikit adds one rule: a new required parameter of a task breaks its callers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any, Literal, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from ...errors import SchemaError
from ..budget import MAX_NAME, Budget
from ..differences import Difference, Differences, Method, MethodMatcher
from ..rpc import ServiceDescription
from ..type_order import Groups
from .fields import Field, Type, fields_of, is_repeated, is_required, type_of
from .pools import pool_of
from .reflection import WELL_KNOWN_FILES
from .services import descriptor_set

_T = FieldDescriptor
_VALUES: dict[int, tuple[str, int, int]] = {
    # a type -> how its values are on the wire, and which there are: from the first to the last
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
    _T.TYPE_STRING: ("bytes", 0, 0),  # all text is bytes
    _T.TYPE_BYTES: ("bytes", 0, 1),
}

_NAMES: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


def compare(
    old: ServiceDescription, new: ServiceDescription, budget: Budget, names: tuple[str, str]
) -> list[Difference]:
    """See `comparison.compare`."""
    found = Differences(budget)
    before, after = (_rpcs(each, name, budget) for each, name in zip((old, new), names, strict=True))
    types = _Types(found, budget)
    for each in MethodMatcher(old, new, after, found, " (RPC_NO_DELETE)").common():
        known, told = before[each.rpc.path], after[each.rpc.path]
        for name in ("client_streaming", "server_streaming"):
            if getattr(known, name) != getattr(told, name):
                what = name.replace("_", " ")
                change = f"{what} began" if getattr(told, name) else f"{what} ended"
                found.add(each.path, f"{change} (RPC_SAME_{name.upper()})", breaking=True)
        types.compare(each, known, told)
    return found.all()


def _rpcs(description: ServiceDescription, name: str, budget: Budget) -> dict[str, MethodDescriptor]:
    """All methods of a server, by their paths on the wire."""
    files = FileDescriptorSet.FromString(descriptor_set(description)).file
    try:
        pool = pool_of({each.name: each for each in files}, budget)
    except SchemaError as error:  # of a file only what is used was checked before
        raise SchemaError(f"{name} cannot be compared: {error}") from error
    services = (f"{file.package}.{each.name}".lstrip(".") for file in files for each in file.service)
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
        """The place of a field of the type."""
        if self.role == "training" and name == "parameters":
            return _Place(self.path, self.is_request, "parameters")
        path = self.path if len(self.path) > MAX_NAME else f"{self.path}.{name}"
        return _Place(path, self.is_request)


class _Seen(NamedTuple):
    """A field of protobuf, and the field that users see: a union has several of protobuf's."""

    member: FieldDescriptor
    field: Field
    union: str | None = None
    """Of a union's member: what its union is called in the old schema, or in the new one alone."""

    @property
    def is_needed(self) -> bool:
        """Whether it is required, if it is a task's parameter."""
        return not (self.field.is_oneof or self.field.optional or is_repeated(self.member))

    @property
    def words(self) -> str:
        """How a text about it begins: the path names a union, and not its member."""
        return f"the union's {self.member.name} " if self.field.is_oneof else ""


class _Fields(NamedTuple):
    """The fields of a message in both schemas, by their numbers, and the unions that were renamed: new name -> old."""

    old: dict[int, _Seen]
    new: dict[int, _Seen]
    renamed: dict[str, str]

    @classmethod
    def of(cls, old: Descriptor, new: Descriptor) -> _Fields:
        """Look at both messages."""
        before = _seen(fields_of(old), {})
        told = fields_of(new)
        renamed = _renamed_unions(before, told)
        return cls(before, _seen(told, renamed), renamed)

    def common(self) -> Iterator[tuple[_Seen, _Seen]]:
        """Yield the fields that have the same number."""
        return ((each, self.new[number]) for number, each in self.old.items() if number in self.new)


def _seen(fields: list[Field], renamed: dict[str, str]) -> dict[int, _Seen]:
    return {
        member.number: _Seen(member, each, renamed.get(each.name, each.name) if each.is_oneof else None)
        for each in fields
        for member in each.members
    }


def _renamed_unions(before: dict[int, _Seen], fields: list[Field]) -> dict[str, str]:
    """The unions of new names whose members were all of one union, which is gone."""
    known = {each.union for each in before.values()}
    now = {each.name for each in fields if each.is_oneof}
    found = {}
    for each in fields:
        if each.is_oneof and each.name not in known:
            were = {before[member.number].union for member in each.members if member.number in before}
            if len(were) == 1 and (name := were.pop()) is not None and name not in now:
                found[each.name] = name
    return found


class _Types:
    """Compares messages and enums, each pair once for requests and once for answers: schemas may be circular.

    Args:
        found: takes the differences.
        budget: counts fields and values.
    """

    def __init__(self, found: Differences, budget: Budget) -> None:
        self._found = found
        self._spend = budget.spend
        self._at: Hashable = None
        """What is compared: a method's request or answer, or two types."""
        self._done: set[Hashable] = set()
        self._waiting: deque[tuple[Any, Any, _Place, Hashable]] = deque()
        self._alike = _Alike(budget)

    def compare(self, method: Method, old: MethodDescriptor, new: MethodDescriptor) -> None:
        """Compare the types of a method's request and answer."""
        role: Any = "training" if method.rpc.module else "parameters" if method.task and not method.takes_job else ""
        answer = method.path if method.takes_job else f"{method.path}()"
        self._at = self._found.uses.add_method(method.task, method.path)
        self._visit(old.input_type, new.input_type, _Place(method.path, True, role), "RPC_SAME_REQUEST_TYPE")
        self._at = self._found.uses.add_method(method.task, answer)
        self._visit(old.output_type, new.output_type, _Place(answer, False), "RPC_SAME_RESPONSE_TYPE")
        while self._waiting:
            known, told, place, self._at = self._waiting.popleft()
            if isinstance(known, EnumDescriptor):
                self._compare_values(known, told, place)
            else:
                self._compare_fields(known, told, place)

    def _visit(self, old: Type, new: Type, place: _Place, rule: str) -> None:
        """Have two types compared, unless they were. Of two names they are one type if their fields are the same."""
        key = (old.full_name, new.full_name, place.is_request, place.role)
        self._found.uses.add(self._at, key)
        if key in self._done:
            return
        self._done.add(key)
        if old.full_name != new.full_name and not _is_entry(old):
            change = f"the type {old.full_name} became {new.full_name}"
            if not self._alike.are(old, new):
                self._found.add(place.path, f"{change}, which is another one ({rule})", breaking=True, of=key)
                return
            self._found.add(place.path, f"{change}, which is the same on the wire", of=key)
        if not _is_well_known(old):
            self._waiting.append((old, new, place, key))

    def _add(self, path: str, text: str, *, breaking: bool = False) -> None:
        """Add a difference of what is compared."""
        self._found.add(path, text, breaking=breaking, of=self._at)

    def _compare_fields(self, old: Descriptor, new: Descriptor, place: _Place) -> None:
        fields = _Fields.of(old, new)
        for name, before in fields.renamed.items():
            self._add(place.inside(before).path, f"the union was renamed to {name}, with the same numbers")
        for number, known in fields.old.items():
            self._spend("nodes")
            here = place.inside(known.field.attribute)
            moved = new.fields_by_name.get(known.member.name)
            if moved is not None and moved.number != number:
                change = f"number changed from {number} to {moved.number}"
                self._add(here.path, f"{known.words}{change} (FIELD_NO_DELETE)", breaking=True)
            elif number in fields.new:
                self._compare_field(known, fields.new[number], here, place)
            else:
                self._add(here.path, f"{known.words}removed (FIELD_NO_DELETE)", breaking=True)
        for number, told in fields.new.items():
            had = fields.old.get(number)
            is_renamed = had is not None and had.member.name not in new.fields_by_name
            if told.member.name not in old.fields_by_name and not is_renamed:
                self._spend("nodes")
                self._tell_new(told, fields, place)

    def _compare_field(self, old: _Seen, new: _Seen, here: _Place, place: _Place) -> None:
        change = _type_change(old.member, new.member, place.is_request)
        is_renamed = old.member.name != new.member.name
        if change is not None and change[1]:
            removed = f"removed: {new.member.name}, of another type, has its number (FIELD_NO_DELETE)"
            self._add(here.path, old.words + (removed if is_renamed else change[0]), breaking=True)
            return
        if is_renamed:
            self._add(here.path, f"{old.words}renamed to {new.member.name}, with the same number")
        if change is not None:
            self._add(here.path, old.words + change[0])
        for text, breaking in _other_changes(old, new, place):
            self._add(here.path, old.words + text, breaking=breaking)
        before, after = type_of(old.member), type_of(new.member)
        if before is not None and after is not None and old.member.type == new.member.type:
            self._visit(before, after, here, "FIELD_WIRE_COMPATIBLE_TYPE")

    def _tell_new(self, told: _Seen, fields: _Fields, place: _Place) -> None:
        path = place.inside(told.field.attribute).path
        if place.is_request and (is_required(told.member) or (place.role == "parameters" and told.is_needed)):
            self._add(path, "a new required parameter" if place.role else "a new required field", breaking=True)
        elif told.union is not None and any(each.number in fields.old for each in told.field.members):
            unknown = "" if place.is_request else ": callers of the schema read it as unset"
            self._add(path, f"the union has {told.member.name} too{unknown}")
        elif told.member is told.field.members[0]:
            self._add(path, "added")

    def _compare_values(self, old: EnumDescriptor, new: EnumDescriptor, place: _Place) -> None:
        before, after = ({each.name: each.number for each in enum.values} for enum in (old, new))
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


def _type_change(old: FieldDescriptor, new: FieldDescriptor, is_request: bool) -> tuple[str, bool] | None:
    """What to tell of another kind of type or of another cardinality, and whether it breaks callers."""
    if is_repeated(old) != is_repeated(new):
        change = "no longer a list" if is_repeated(old) else "a list now"
        return f"{change} (FIELD_WIRE_COMPATIBLE_CARDINALITY)", True
    if old.type == new.type:
        return None
    sent, read = (old, new) if is_request else (new, old)
    fits = _fits(_VALUES.get(sent.type), _VALUES.get(read.type))
    change = f"type changed from {_type_name(old)} to {_type_name(new)}"
    return (f"{change}: all values fit", False) if fits else (f"{change} (FIELD_WIRE_COMPATIBLE_TYPE)", True)


def _fits(sent: tuple[str, int, int] | None, read: tuple[str, int, int] | None) -> bool:
    """Whether all values of one type are the same of another on the wire."""
    return sent is not None and read is not None and sent[0] == read[0] and read[1] <= sent[1] and sent[2] <= read[2]


def _other_changes(old: _Seen, new: _Seen, place: _Place) -> Iterator[tuple[str, bool]]:
    """Yield what else is to be told of a field that has the same number, and whether it breaks callers."""
    if is_required(old.member) != is_required(new.member):
        change = "required now" if is_required(new.member) else "no longer required"
        yield f"{change} (MESSAGE_SAME_REQUIRED_FIELDS)", True
    if old.union != new.union:
        yield _oneof_change(old, new)
    elif place.role == "parameters" and old.is_needed != new.is_needed:
        yield ("required now", True) if new.is_needed else ("optional now", False)
    elif old.field.optional != new.field.optional and old.member.message_type is None:
        yield "unset and zero are told apart now" if new.field.optional else "unset and zero are one now", False
    if old.member.type == new.member.type and _default(old.member) != _default(new.member):
        yield "another default (FIELD_SAME_DEFAULT)", True


def _oneof_change(old: _Seen, new: _Seen) -> tuple[str, bool]:
    if old.union is None:
        change = f"moved into the union {new.field.name}"
    elif new.union is None:
        change = "moved out of its union"
    else:
        change = f"moved into another union, {new.field.name}"
    return f"{change} (FIELD_SAME_ONEOF)", True


def _default(field: FieldDescriptor) -> str:
    if is_repeated(field) or field.message_type is not None:
        return ""
    return repr(field.default_value)  # NaN is not equal to itself


def _type_name(field: FieldDescriptor) -> str:
    kind = type_of(field)
    return _NAMES[field.type] if kind is None else kind.full_name


def _is_entry(kind: Type) -> bool:
    """Whether a type is that of a map's entries, which is named after its field."""
    return isinstance(kind, Descriptor) and kind.GetOptions().map_entry


def _is_well_known(kind: Type) -> bool:
    return kind.file.name in WELL_KNOWN_FILES


_Pair = tuple[str, str]


class _Alike:
    """Tells whether two types of different names are the same: all fields of the old one are in the new one, unchanged.

    Types that refer to each other are decided together, each pair once.
    """

    def __init__(self, budget: Budget) -> None:
        self._spend = budget.spend
        self._types: dict[_Pair, tuple[Type, Type]] = {}
        self._groups = Groups(self._references)
        self._own: dict[_Pair, bool] = {}
        """Whether two types are the same apart from the types of their fields."""
        self._inner: dict[_Pair, list[_Pair]] = {}
        self._found: dict[_Pair, bool] = {}

    def are(self, old: Type, new: Type) -> bool:
        """Whether they are."""
        pair = self._known(old, new)
        for group in self._groups.of(pair):
            same = all(
                self._own[each] and all(self._found.get(one, True) for one in self._inner[each]) for each in group
            )
            self._found |= dict.fromkeys(group, same)
        return self._found[pair]

    def _known(self, old: Type, new: Type) -> _Pair:
        pair = old.full_name, new.full_name
        self._types[pair] = old, new
        return pair

    def _references(self, pair: _Pair) -> list[_Pair]:
        """Compare two types, and return the pairs of types that their fields have."""
        old, new = self._types[pair]
        self._inner[pair] = []
        if _is_well_known(old) or _is_well_known(new):
            self._own[pair] = old.full_name == new.full_name
        elif isinstance(old, Descriptor) and isinstance(new, Descriptor):
            self._own[pair] = self._compare(old, new, self._inner[pair])
        elif isinstance(old, EnumDescriptor) and isinstance(new, EnumDescriptor):
            before, after = ({(each.name, each.number) for each in enum.values} for enum in (old, new))
            self._spend("nodes", len(before))
            self._own[pair] = before <= after
        else:
            self._own[pair] = False
        return self._inner[pair]

    def _compare(self, old: Descriptor, new: Descriptor, inner: list[_Pair]) -> bool:
        fields = _Fields.of(old, new)
        self._spend("nodes", len(fields.old))
        for known, told in fields.common():
            if not _is_same(known, told):
                return False
            before, after = type_of(known.member), type_of(told.member)
            if before is not None and after is not None:
                inner.append(self._known(before, after))
        return fields.old.keys() <= fields.new.keys()


def _is_same(old: _Seen, new: _Seen) -> bool:
    """Whether two fields of one number are the same, apart from the names of their types."""
    if old.member.name != new.member.name or old.member.type != new.member.type:
        return False
    changes = _type_change(old.member, new.member, True), *_other_changes(old, new, _Place("", True))
    return not any(changes)
