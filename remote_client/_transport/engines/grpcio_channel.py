"""Opens channels of grpc.aio: their targets, options and credentials."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio

from ..._concurrency import fork as _fork
from ...errors import ConfigurationError, ForkedError, TlsError
from ...settings import ConnectionInfo, ConnectionTlsInfo
from ..net.addresses import may_have_several
from ..net.proxy import grpc_core_exception, proxy_for
from ..net.tls import Versions, from_files, trusted_certificates

_OPTIONS: dict[str, str | int] = {
    # Else channels with equal arguments share one connection, and rotation opens no new one (#20985).
    "grpc.use_local_subchannel_pool": 1,
    # This package retries, for both protocols, so retry policies of service configurations do not apply. gRPC's
    # transparent retries stay enabled: they only resend calls that the server certainly did not process.
    "grpc.service_config_disable_resolution": 1,
    # As over HTTP, no proxy of the environment sees the calls.
    "grpc.enable_http_proxy": 0,
    # A server that comes back is found in half a second instead of more than three. The minimum is also the timeout
    # of a connection attempt, so it must not be as short as the other two.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 5_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # A name with a new address is resolved again after one second instead of thirty.
    "grpc.dns_min_time_between_resolutions_ms": 1_000,
    # Detects a dead server. A caikit runtime ends connections with more frequent PINGs ("Too many pings"). This is the
    # timeout of a PING; grpc.keepalive_timeout_ms has no effect on it (#39239).
    "grpc.keepalive_time_ms": 60_000,
    "grpc.http2.ping_timeout_ms": 10_000,
    # It does set TCP_USER_TIMEOUT: bytes that are not acknowledged for so long end a connection.
    "grpc.keepalive_timeout_ms": 4_000,
    "grpc.keepalive_permit_without_calls": 0,
}
_GZIP = int(grpc.Compression.Gzip)
_BOOTSTRAP = ("GRPC_XDS_BOOTSTRAP", "GRPC_XDS_BOOTSTRAP_CONFIG")
"""The environment variables with gRPC's xDS bootstrap: a file's path, or its content."""
_VERSION = tuple(map(int, grpc.__version__.split(".")[:2]))
_PROXY_AT = (1, 78)
"""The first version known to accept an @ in a proxy's credentials; 1.71 does not."""
_used = False
_hangs = False


def _after_fork() -> None:
    global _hangs
    _hangs = _used


_fork.at_fork(after_in_child=_after_fork)


def open_channel(connection: ConnectionInfo, interceptors: Sequence[Any] = ()) -> grpc.aio.Channel:
    """Return a channel to the connection's server."""
    if _hangs:
        raise ForkedError("gRPC was in use when this process was forked, and hangs: start workers with `spawn`")
    if connection.is_xds:
        _check_bootstrap(connection.target)
    global _used
    _used = True
    target = _target(connection)
    # A list: OpenTelemetry's instrumentor 0.51 adds its own to that, and fails with a tuple.
    arguments: dict[str, Any] = {"options": list(_options(connection).items()), "interceptors": list(interceptors)}
    if not connection.tls.enabled:
        return grpc.aio.insecure_channel(target, **arguments)
    credentials = _credentials(connection.tls)
    if connection.is_xds:  # the control plane's TLS, else this
        credentials = grpc.xds_channel_credentials(credentials)
    return grpc.aio.secure_channel(target, credentials, **arguments)


def _target(connection: ConnectionInfo) -> str:
    """Return the target as a URI of gRPC's name syntax, in which a host name cannot pass for a scheme."""
    if connection.is_xds:
        return connection.target
    if connection.is_unix:
        scheme, _, path = connection.hostname.partition(":")
        return f"{scheme}:{quote(path)}"
    return f"dns:///{quote(connection.target, safe=':[]')}"


def _check_bootstrap(target: str) -> None:
    """Raise if there is no xDS bootstrap: gRPC would report UNAVAILABLE, which is retried."""
    if not any(map(os.environ.get, _BOOTSTRAP)):
        raise ConfigurationError(f"hostname: {target}: xDS needs a bootstrap: set {' or '.join(_BOOTSTRAP)}")


def _options(connection: ConnectionInfo) -> dict[str, str | int]:
    # gRPC ignores anything but int and str; JSON and YAML may contain a float.
    given = {key: value if isinstance(value, str) else int(value) for key, value in connection.options.items()}
    if "grpc.keepalive_timeout_ms" in given:
        given.setdefault("grpc.http2.ping_timeout_ms", given["grpc.keepalive_timeout_ms"])
    if isinstance(config := given.get("grpc.service_config"), str):
        given["grpc.service_config"] = _without_retries(config)
    policy: dict[str, str | int] = {}
    if connection.is_xds:
        # An xDS route's retry policy would start trainings and jobs twice. The control plane balances.
        policy = {"grpc.enable_retries": 0}
    elif may_have_several(connection.hostname):
        policy = {"grpc.lb_policy_name": "round_robin"}
    if not connection.is_unix and connection.authority != connection.target:
        policy["grpc.default_authority"] = connection.authority
    return {**_OPTIONS, **policy, **given, **_settings(connection), **_proxy_options(connection)}


def _settings(connection: ConnectionInfo) -> dict[str, str | int]:
    """Return the options that stand for the connection's own settings."""
    limit, prefix = connection.max_response_size, connection.options.get("grpc.primary_user_agent")
    return {
        "grpc.max_receive_message_length": -1 if limit is None else limit,
        "grpc.primary_user_agent": f"{prefix} {connection.user_agent}" if prefix else connection.user_agent,
        **({"grpc.default_compression_algorithm": _GZIP} if connection.compression == "gzip" else {}),
    }


def _proxy_options(connection: ConnectionInfo) -> dict[str, str | int]:
    """Return the options of the connection's proxy, if it has one.

    Raises:
        ConfigurationError: gRPC cannot use the proxy, or would bypass it.
    """
    proxy = proxy_for(connection, "grpc")
    if proxy is None:
        return {}
    if proxy.secure:
        raise ConfigurationError(f"proxy: {proxy}: grpcio speaks to proxies without TLS only, http://")
    if proxy.credentials is not None and "@" in proxy.credentials and _VERSION < _PROXY_AT:
        # It would find no proxy in the URL, and connect without one.
        raise ConfigurationError("proxy: this grpcio takes no @ in a user or password: update it to 1.78")
    excepted = grpc_core_exception(connection.hostname)
    if excepted is not None:
        raise ConfigurationError(
            f"proxy: the environment's {excepted} keeps grpcio from using it for {connection.hostname}; the engine "
            '"asyncio" uses it'
        )
    user, _, password = (proxy.credentials or "").partition(":")
    authorization = f"{quote(user, safe='')}:{quote(password, safe='')}@" if proxy.credentials else ""
    # One address of the proxy leads to all of the server's.
    policy = {"grpc.lb_policy_name": "pick_first"}
    return {**policy, "grpc.enable_http_proxy": 1, "grpc.http_proxy": f"http://{authorization}{proxy.address}"}


def _without_retries(config: str) -> str:
    """Return a service configuration without its retry policies: they would multiply with this client's own."""
    try:
        methods = [dict(method) for method in json.loads(config)["methodConfig"]]
    except (ValueError, LookupError, TypeError):
        return config  # there are none, or gRPC rejects it
    for method in methods:
        method.pop("retryPolicy", None)
    return json.dumps({**json.loads(config), "methodConfig": methods})


def _credentials(tls: ConnectionTlsInfo) -> grpc.ChannelCredentials:
    """Return the credentials of a TLS setting, cached until its files change."""
    return from_files(tls, lambda versions: _make_credentials(tls.ca_file, tls.key_file, tls.cert_file, versions))


@lru_cache(maxsize=64)
def _make_credentials(
    ca_file: str | None,
    key_file: str | None,
    cert_file: str | None,
    versions: Versions,
) -> grpc.ChannelCredentials:
    # Checked again, as gRPC aborts the process for a file that has become empty.
    ConnectionTlsInfo(enabled=True, ca_file=ca_file, key_file=key_file, cert_file=cert_file)
    authorities = Path(ca_file).read_bytes() if ca_file else _system_authorities()
    key, cert = (Path(file).read_bytes() if file else None for file in (key_file, cert_file))
    return grpc.ssl_channel_credentials(authorities, key, cert)


def _system_authorities() -> bytes:
    """Return the authorities that the system trusts; gRPC would use a list of its own."""
    certificates = trusted_certificates()
    if not certificates:
        raise TlsError("the system trusts no authority; give ca_file, or set SSL_CERT_FILE")
    return certificates.encode()
