"""The text field of a stream's items: which one it is, and its value in an item of any form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from .._text.cleaning import clean, listed
from ..errors import InputError

if TYPE_CHECKING:
    from .._schema.rpc import RemoteRPCDescriptor

_Names = tuple[str, str]
"""A field's attribute, and its name on the wire."""


class TextField:
    """Reads the text of a stream's items.

    Args:
        field: the field's name; None for the only text field.
        method: the stream's method. If the type of its items is not known yet, the first item shows it.

    Raises:
        InputError: the items have no such field, or None was given and they have none or several. The message names
            their text fields.
    """

    def __init__(self, field: str | None, method: RemoteRPCDescriptor) -> None:
        self._field = field
        self._names = self._of_type(_item_type(method))

    def of(self, item: Any, method: RemoteRPCDescriptor) -> str:
        """Return an item's text; an empty one if it is unset."""
        if self._names is None:
            self._names = self._of_type(_item_type(method)) or self._of_type(type(item)) or self._of_item(item)
        attribute, wire = self._names
        if isinstance(item, Mapping):
            value = item.get(wire)
        else:
            value = getattr(item, attribute, None) or getattr(item, wire, None)  # the latter is protobuf's
        return value if isinstance(value, str) else ""

    def _of_type(self, kind: Any) -> _Names | None:
        """Return the names of the field of a type; None if its fields are not known."""
        from .._schema.declared.types import core, fields_of  # here, as it loads pydantic
        from .._schema.plain_values import aliases_of

        kind = core(kind)
        fields = fields_of(kind)
        if fields is None:
            return None
        aliases = aliases_of(kind)
        return self._choose({name: aliases.get(name, name) for name in fields if core(fields[name]) is str}, kind)

    def _of_item(self, item: Any) -> _Names:
        fields = item.items() if isinstance(item, Mapping) else ()
        return self._choose({name: name for name, value in fields if isinstance(value, str)}, type(item))

    def _choose(self, fields: Mapping[str, str], kind: type) -> _Names:
        field, name, texts = self._field, clean(kind.__name__), listed(fields.values(), len(fields))
        found = [names for names in fields.items() if field is None or field in names]
        if len(found) == 1:
            return found[0]
        if not fields:
            raise InputError(f"{name} has no text field: read the items themselves, or collect()")
        if field is None:
            raise InputError(f"{name} has several text fields: name one of {texts}, as in text({next(iter(fields))!r})")
        raise InputError(f"{name} has no text field {field!r}; it has {texts}")


def _item_type(method: RemoteRPCDescriptor) -> Any:
    """Return the type of the items of a method's stream; of an unpickled method, a name."""
    result = method.signature.return_annotation
    return get_args(result)[0] if get_args(result) else result
