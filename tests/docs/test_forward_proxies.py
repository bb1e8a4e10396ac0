"""docs/forward-proxies.md: its examples, in a network that only a forward proxy leads out of."""

from __future__ import annotations

import base64

import pytest

from ..support.forward_proxy import ForwardProxy
from ..support.readme import DOCS
from ..support.runtime import Runtime
from .following import follow

PAGE = DOCS / "forward-proxies.md"


async def test_the_examples(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def export(line: str) -> str:
        name, _, value = line.removeprefix("export ").strip().partition("=")
        monkeypatch.setenv(name, value)
        return ""

    with ForwardProxy(names={"runtime.example": ["127.0.0.1", runtime.port]}) as proxy:
        here = {"proxy.example:3128": f"127.0.0.1:{proxy.port}"}
        await follow(PAGE, runtime, capfd, here, shell=export)
        assert proxy.seen("tunnels")
        sent = base64.b64encode(b"user:password").decode()
        assert f"Basic {sent}" in proxy.seen("authorizations")
