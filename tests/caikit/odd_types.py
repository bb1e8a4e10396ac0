"""Data objects of kinds that the sample library has none of."""

# No `from __future__ import annotations`: caikit reads the types of the fields.

from datetime import datetime
from enum import Enum
from typing import Any, Optional

from caikit.core import DataObjectBase, dataobject

PACKAGE = "caikit_data_model.odd_types"


@dataobject(package=PACKAGE)
class Shade(Enum):
    DARK = 0
    LIGHT = 7


@dataobject(package=PACKAGE)
class Flat(DataObjectBase):
    """Values and lists of them."""

    number: int
    optional: Optional[int]  # noqa: UP045  (caikit knows no other form)
    numbers: list[int]
    flag: bool
    data: bytes
    colors: list[Shade]


@dataobject(package=PACKAGE)
class Hinted(DataObjectBase):
    """A type with a `from_proto` of its own."""

    text: str

    @classmethod
    def from_proto(cls, proto: Any) -> "Hinted":
        return cls(text=f"decoded {proto.text}")


@dataobject(package=PACKAGE)
class Holder(DataObjectBase):
    """A type that holds others."""

    hinted: Hinted
    many: list[Hinted]
    flat: Flat
    when: list[datetime]
