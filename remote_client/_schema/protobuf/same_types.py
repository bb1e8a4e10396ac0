"""Types of different names that are the same on the wire."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, EnumDescriptor

from ..budget import Budget
from ..type_order import Groups
from .field_changes import Member, Members, other_changes, type_change
from .fields import Type, type_of
from .reflection import WELL_KNOWN_FILES

_Pair = tuple[str, str]


class SameTypes:
    """Decides whether two types are the same but for their names: the new one has all fields of the old, unchanged.

    Types that refer to each other are decided together, every pair once.
    """

    def __init__(self, budget: Budget) -> None:
        self._spend = budget.spend
        self._types: dict[_Pair, tuple[Type, Type]] = {}
        self._groups = Groups(self._references)
        self._alone: dict[_Pair, bool] = {}
        """Whether two types are the same apart from the types of their fields."""
        self._inner: dict[_Pair, list[_Pair]] = {}
        self._found: dict[_Pair, bool] = {}

    def are_same(self, old: Type, new: Type) -> bool:
        """Return whether two types are the same."""
        found = self._known(old, new)
        for group in self._groups.of(found):
            same = all(
                self._alone[pair] and all(self._found.get(inner, True) for inner in self._inner[pair]) for pair in group
            )
            self._found |= dict.fromkeys(group, same)
        return self._found[found]

    def _known(self, old: Type, new: Type) -> _Pair:
        pair = old.full_name, new.full_name
        self._types[pair] = old, new
        return pair

    def _references(self, pair: _Pair) -> list[_Pair]:
        """Compare two types alone, and return the pairs of their fields' types."""
        old, new = self._types[pair]
        self._inner[pair] = []
        if is_well_known(old) or is_well_known(new):
            self._alone[pair] = old.full_name == new.full_name
        elif isinstance(old, Descriptor) and isinstance(new, Descriptor):
            self._alone[pair] = self._compare(old, new, self._inner[pair])
        elif isinstance(old, EnumDescriptor) and isinstance(new, EnumDescriptor):
            before, after = ({(value.name, value.number) for value in enum.values} for enum in (old, new))
            self._spend("nodes", len(before))
            self._alone[pair] = before <= after
        else:
            self._alone[pair] = False
        return self._inner[pair]

    def _compare(self, old: Descriptor, new: Descriptor, inner: list[_Pair]) -> bool:
        members = Members.of(old, new)
        self._spend("nodes", len(members.old))
        for number, before in members.old.items():
            after = members.new.get(number)
            if after is None or not _is_same(before, after):
                return False
            was, now = type_of(before.descriptor), type_of(after.descriptor)
            if was is not None and now is not None:
                inner.append(self._known(was, now))
        return True


def _is_same(old: Member, new: Member) -> bool:
    """Return whether two fields of one number are the same, apart from their types' names."""
    if old.descriptor.name != new.descriptor.name or old.descriptor.type != new.descriptor.type:
        return False
    change = type_change(old.descriptor, new.descriptor, is_request=True)
    return change is None and not any(other_changes(old, new))


def is_well_known(kind: Type) -> bool:
    """Return whether a type is protobuf's own."""
    return kind.file.name in WELL_KNOWN_FILES
