"""The error of a value that does not fit its field, with the path to it."""

from __future__ import annotations

from typing import NoReturn

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Error

from ...errors import InputError
from .fields import INTEGERS

FAILURES = (TypeError, ValueError, OverflowError, RecursionError, Error)
"""What protobuf and the checks of values raise for a value that does not fit."""
_NO_UTF8 = "can't be encoded in UTF-8."
"""The end of the ValueError that protobuf's implementation in Python raises for text with surrogates."""


class ConversionError(InputError):
    """A value does not fit its field. The codec raises it anew as an `InputError` with the method's name."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def raise_at(error: BaseException, name: str | int, field: FieldDescriptor | None = None) -> NoReturn:
    """Raise an error anew as a ConversionError, with one more step in its path: a field's name, or an index."""
    if isinstance(error, ConversionError):
        joint = "" if error.path.startswith("[") else "."
        path, message = f"{joint}{error.path}", error.message
    elif isinstance(error, UnicodeError) or str(error).endswith(_NO_UTF8):
        path, message = "", "is not valid Unicode, so it has no UTF-8 form"
    elif isinstance(error, RecursionError):
        path, message = "", "is nested too deeply"
    elif isinstance(error, Error):
        path, message = "", "is nested too deeply, or not a message of this type"
    else:
        path, message = "", str(error)
        if field is not None and message.startswith("Value out of range"):
            message = f"{message.rpartition(' ')[2]} is out of the range of {INTEGERS.get(field.type, 'the field')}"
    raise ConversionError(f"[{name}]{path}" if isinstance(name, int) else f"{name}{path}", message) from None
