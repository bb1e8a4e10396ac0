from typing import Any

from ....core.data_model import DataBase

class Sequence(DataBase):
    values: list[Any]

class Vector1D(DataBase):
    data: Any

class ConnectionTlsInfo(DataBase):
    enabled: bool
    insecure_verify: bool
    ca_file: str | None
    cert_file: str | None
    key_file: str | None

    def __init__(
        self,
        enabled: bool = False,
        insecure_verify: bool = False,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
    ) -> None: ...

class ConnectionInfo(DataBase):
    hostname: str
    port: int | None
    tls: ConnectionTlsInfo | None
    timeout: int | None
    options: dict[str, Any] | None
    retries: int | None
    retry_options: dict[str, Any] | None
    max_session_age: float

    def __init__(
        self,
        hostname: str,
        port: int | None = None,
        tls: ConnectionTlsInfo | dict[str, Any] | None = ...,
        timeout: int | None = 60,
        options: dict[str, Any] | None = ...,
        retries: int | None = 1,
        retry_options: dict[str, Any] | None = ...,
        max_session_age: float = -1,
    ) -> None: ...
