"""The sample library's data objects: every type a caikit runtime can put on the wire."""

from datetime import datetime
from enum import Enum
from typing import Dict, List, Optional, Union

import numpy as np
from caikit.core import DataObjectBase, dataobject
from caikit.core.data_model import PACKAGE_COMMON
from caikit.core.data_model.json_dict import JsonDict
from caikit.interfaces.common.data_model import File
from caikit.interfaces.common.data_model.primitive_sequences import (
    FloatSequence,
    IntSequence,
    StrSequence,
)

PACKAGE = f"{PACKAGE_COMMON}.sample_lib"


@dataobject(package=PACKAGE)
class Color(Enum):
    RED = 0
    GREEN = 1
    BLUE = 7


@dataobject(package=PACKAGE)
class SampleInputType(DataObjectBase):
    """Who is greeted."""

    name: str


@dataobject(package=PACKAGE)
class SampleOutputType(DataObjectBase):
    """A greeting."""

    greeting: str


@dataobject(package=PACKAGE)
class Place(DataObjectBase):
    """A nested message."""

    label: str
    lat: float
    lon: float
    tags: Optional[List[str]]


@dataobject(package=PACKAGE)
class Zoo(DataObjectBase):
    """One field of every kind."""

    flag: bool
    int64: int
    int32: np.int32
    uint32: np.uint32
    uint64: np.uint64
    double: float
    float32: np.float32
    text: str
    blob: bytes
    color: Color
    place: Place
    ints: List[int]
    doubles: List[float]
    texts: List[str]
    flags: List[bool]
    colors: List[Color]
    places: List[Place]
    counts: Dict[str, int]
    names_by_number: Dict[int, str]
    places_by_name: Dict[str, Place]
    when: datetime
    moments: List[datetime]
    settings: JsonDict
    scalar_union: Union[bool, int, float, str]
    message_union: Union[Place, SampleInputType]
    sequence_union: Union[StrSequence, IntSequence, FloatSequence]
    optional_text: Optional[str]
    optional_int: Optional[int]
    attachment: File


@dataobject(package=PACKAGE)
class Report(DataObjectBase):
    """What a module was called with, as JSON text: it shows what reached it."""

    received: str


@dataobject(package=PACKAGE)
class FileReport(DataObjectBase):
    """A file, returned inside a message."""

    file: File
    size: int


@dataobject(package=PACKAGE)
class Bundle(DataObjectBase):
    """Bytes that HTTP answers with as a file."""

    name: str
    data: bytes

    def to_file(self, file_obj):
        file_obj.write(self.data)
        return File(filename=self.name, type="application/zip")

    @classmethod
    def from_file(cls, file_obj):
        return cls(name="", data=file_obj.read())


@dataobject(package=PACKAGE)
class Numbers(DataObjectBase):
    """Numbers, whatever they are, and fields that stay unset."""

    numbers: List[float]
    total: float
    unset_int: Optional[int]
    unset_text: Optional[str]
    unset_place: Optional[Place]
