"""An xDS control plane for the wire tests, run as `python -m tests.support.xds_server <JSON of options>`.

It tells clients, over the aggregated discovery service, that all calls to any service go to the ports of `endpoints`,
by turns, perhaps over TLS. The command `move` changes those; all commands are answered with what was seen. See
`tests.support.wire.ServerProcess` for the other end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory, wrappers_pb2

# The few fields that are used here: `xds-protos`, which has all, needs a newer protobuf than this package does.
PROTOS = {
    "google.rpc": {"Status": "code=1 int32, message=2 string"},
    "envoy.service.discovery.v3": {
        "DiscoveryRequest": "resource_names=3 string*, type_url=4 string, response_nonce=5 string, "
        "error_detail=6 Status",
        "DiscoveryResponse": "version_info=1 string, resources=2 Any*, type_url=4 string, nonce=5 string",
    },
    "envoy.config.core.v3": {
        "AggregatedConfigSource": "",
        "ConfigSource": "ads=3 AggregatedConfigSource",
        "SocketAddress": "address=2 string, port_value=3 uint32",
        "Address": "socket_address=1 SocketAddress",
        "Locality": "region=1 string",
        "TransportSocket": "name=1 string, typed_config=3 Any",
    },
    "envoy.extensions.transport_sockets.tls.v3": {
        "CertificateProviderPluginInstance": "instance_name=1 string",
        "CertificateValidationContext": "ca_certificate_provider_instance=13 CertificateProviderPluginInstance",
        "CommonTlsContext": "validation_context=3 CertificateValidationContext",
        "UpstreamTlsContext": "common_tls_context=1 CommonTlsContext",
    },
    "envoy.extensions.filters.http.router.v3": {"Router": ""},
    "envoy.extensions.filters.network.http_connection_manager.v3": {
        "Rds": "config_source=1 ConfigSource, route_config_name=2 string",
        "HttpFilter": "name=1 string, typed_config=4 Any",
        "HttpConnectionManager": "rds=3 Rds, http_filters=5 HttpFilter*",
    },
    "envoy.config.listener.v3": {
        "ApiListener": "api_listener=1 Any",
        "Listener": "name=1 string, api_listener=19 ApiListener",
    },
    "envoy.config.route.v3": {
        "RouteMatch": "prefix=1 string",
        "RetryPolicy": "retry_on=1 string, num_retries=2 UInt32Value",
        "RouteAction": "cluster=1 string, retry_policy=9 RetryPolicy",
        "Route": "match=1 RouteMatch, route=2 RouteAction",
        "VirtualHost": "name=1 string, domains=2 string*, routes=3 Route*",
        "RouteConfiguration": "name=1 string, virtual_hosts=2 VirtualHost*",
    },
    "envoy.config.cluster.v3": {
        "EdsClusterConfig": "eds_config=1 ConfigSource",
        "Cluster": "name=1 string, type=2 int32, eds_cluster_config=3 EdsClusterConfig, "
        "transport_socket=24 TransportSocket",
    },
    "envoy.config.endpoint.v3": {
        "Endpoint": "address=1 Address",
        "LbEndpoint": "endpoint=1 Endpoint",
        "LocalityLbEndpoints": "locality=1 Locality, lb_endpoints=2 LbEndpoint*, load_balancing_weight=3 UInt32Value",
        "ClusterLoadAssignment": "cluster_name=1 string, endpoints=2 LocalityLbEndpoints*",
    },
}


class Messages:
    """The classes of these messages, by their short names."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()
        self._files = [any_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name]
        self._names = {"Any": "google.protobuf.Any", "UInt32Value": "google.protobuf.UInt32Value"}
        for package, messages in PROTOS.items():
            self._add(package, messages)

    def _add(self, package: str, messages: dict[str, str]) -> None:
        file = descriptor_pb2.FileDescriptorProto(name=package, package=package, syntax="proto3")
        file.dependency.extend(self._files)
        self._names |= {name: f"{package}.{name}" for name in messages}
        for name, fields in messages.items():
            message = file.message_type.add(name=name)
            for field in filter(None, fields.split(", ")):
                self._add_field(message, *field.replace("=", " ").split())
        self._pool.AddSerializedFile(file.SerializeToString())
        self._files.append(package)

    def _add_field(self, message: descriptor_pb2.DescriptorProto, name: str, number: str, kind: str) -> None:
        field = message.field.add(name=name, number=int(number))
        field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
        kind = kind.removesuffix("*")
        if kind in self._names:
            field.type, field.type_name = field.TYPE_MESSAGE, f".{self._names[kind]}"
        else:
            field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")

    def url(self, name: str) -> str:
        """How an Any names the message."""
        return f"type.googleapis.com/{self._names[name]}"

    def __getitem__(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(self._names[name]))


MESSAGES = Messages()
ADS: dict[str, Any] = {"ads": {}}


def listener(name: str, wish: dict[str, Any]) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": MESSAGES.url("Router")}}
    manager = {"rds": {"config_source": ADS, "route_config_name": name}, "http_filters": [router]}
    return {"name": name, "api_listener": {"api_listener": {"@type": MESSAGES.url("HttpConnectionManager"), **manager}}}


def routes(name: str, wish: dict[str, Any]) -> dict[str, Any]:
    action = {"cluster": name, "retry_policy": {"retry_on": "unavailable", "num_retries": 2}}
    route = {"match": {"prefix": "/"}, "route": action}
    return {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]}


def cluster(name: str, wish: dict[str, Any]) -> dict[str, Any]:
    told = {"name": name, "type": 3, "eds_cluster_config": {"eds_config": ADS}}  # 3: endpoints are discovered
    if "authorities" in wish:
        trusted = {"ca_certificate_provider_instance": {"instance_name": wish["authorities"]}}
        context = {"@type": MESSAGES.url("UpstreamTlsContext"), "common_tls_context": {"validation_context": trusted}}
        told["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return told


def endpoints(name: str, wish: dict[str, Any]) -> dict[str, Any]:
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in wish["endpoints"]]
    locality = {"locality": {"region": "here"}, "load_balancing_weight": 1}
    return {
        "cluster_name": name,
        "endpoints": [{**locality, "lb_endpoints": [{"endpoint": {"address": each}} for each in addresses]}],
    }


RESOURCES = {
    MESSAGES.url("Listener"): listener,
    MESSAGES.url("RouteConfiguration"): routes,
    MESSAGES.url("Cluster"): cluster,
    MESSAGES.url("ClusterLoadAssignment"): endpoints,
}


class ControlPlane:
    """What clients are told, and what they asked for.

    Args:
        wish: `endpoints`, the ports they listen at, and perhaps `authorities`: TLS to them trusts those of that name in
            the bootstrap.
    """

    def __init__(self, wish: dict[str, Any]) -> None:
        self._wish = wish
        self._version = 1
        self._asked: dict[grpc.aio.ServicerContext[bytes, bytes], dict[str, list[str]]] = {}
        self.refused: list[str] = []

    async def stream(self, requests: Any, context: Any) -> None:
        """Tell a client the resources it asks for, once; `move` tells them again."""
        asked = self._asked[context] = {}
        try:
            async for request in requests:
                if request.HasField("error_detail"):
                    self.refused.append(request.error_detail.message)
                elif asked.get(request.type_url) != (names := list(request.resource_names)):
                    asked[request.type_url] = names
                    await self._tell(context, request.type_url, names)
        finally:
            del self._asked[context]

    async def _tell(self, context: Any, url: str, names: list[str]) -> None:
        answer = {"version_info": str(self._version), "nonce": str(self._version), "type_url": url}
        resources = [{"@type": url, **RESOURCES[url](name, self._wish)} for name in names]
        await context.write(json_format.ParseDict({**answer, "resources": resources}, MESSAGES["DiscoveryResponse"]()))

    async def move(self, ports: list[int]) -> None:
        """Put other endpoints in the place of the present ones."""
        self._wish["endpoints"] = ports
        self._version += 1
        for context, asked in self._asked.items():
            for url, names in asked.items():
                if RESOURCES[url] is endpoints:
                    await self._tell(context, url, names)


async def serve(wish: dict[str, Any]) -> None:
    plane = ControlPlane(wish)
    discover = grpc.stream_stream_rpc_method_handler(
        plane.stream, MESSAGES["DiscoveryRequest"].FromString, MESSAGES["DiscoveryResponse"].SerializeToString
    )
    service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"StreamAggregatedResources": discover}),)
    )
    port = server.add_insecure_port(f"127.0.0.1:{wish['port']}")
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        if command["do"] == "move":
            await plane.move(command["endpoints"])
        print(json.dumps({"refused": plane.refused}), flush=True)
    os._exit(0)  # clients may still be connected; nothing is worth waiting for


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
