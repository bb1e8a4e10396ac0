from enum import Enum

class CaikitCoreStatusCode(Enum):
    NOT_FOUND = 1
    INVALID_ARGUMENT = 2
    CONNECTION_ERROR = 3
    UNAUTHORIZED = 4
    FORBIDDEN = 5
    UNKNOWN = 6
    FATAL = 7

class CaikitCoreException(Exception):
    status_code: CaikitCoreStatusCode
    message: str

    def __init__(self, status_code: CaikitCoreStatusCode, message: str) -> None: ...
