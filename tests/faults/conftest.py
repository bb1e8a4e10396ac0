"""The servers of tests/wire, for these tests too."""

from tests.wire.conftest import (  # noqa: F401
    deaf,
    http,
    http_process,
    http_wire,
    module,
    mute,
    no_gc,
    plain,
    protocol,
    server,
    start,
    start_http,
    start_wire,
)
