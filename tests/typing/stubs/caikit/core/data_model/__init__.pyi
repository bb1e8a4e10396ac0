from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from io import IOBase
from typing import Any, Generic, Self, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

_Item = TypeVar("_Item")
_Object = TypeVar("_Object", bound=DataObjectBase)

class DataBase:
    fields: tuple[str, ...]
    supports_file_operations: bool

    # Of a data object: its fields, by position or by name.
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    # Fields of data objects that are looked up by name.
    def __getattr__(self, name: str) -> Any: ...
    @classmethod
    def get_proto_class(cls) -> type[Message]: ...
    @classmethod
    def from_proto(cls, proto: Message) -> Self: ...
    @classmethod
    def from_json(cls, json_str: str | dict[str, Any], ignore_unknown_fields: bool = False) -> Self: ...
    @classmethod
    def from_file(cls, file_obj: IOBase) -> Self: ...
    def to_proto(self) -> Message: ...
    @staticmethod
    def get_class_for_name(class_name: str) -> type[DataBase]: ...
    @staticmethod
    def get_class_for_proto(proto: Descriptor) -> type[DataBase]: ...

class DataObjectBase(DataBase): ...

def dataobject(*args: Any, **kwargs: Any) -> Callable[[type[_Object]], type[_Object]]: ...

class DataStream(Generic[_Item]):
    def __init__(self, generator_func: Callable[..., Iterable[_Item]], *args: Any, **kwargs: Any) -> None: ...
    def __iter__(self) -> Iterator[_Item]: ...
    def __len__(self) -> int: ...

class JobStatus(Enum):
    QUEUED = 1
    RUNNING = 2
    COMPLETED = 3
    CANCELED = 4
    ERRORED = 5
