"""What lets only some calls through to a runtime, and counts them: a model mesh, a service mesh's policy, a gateway."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping

from .edge import Edge, Fault, GrpcEdge, HttpEdge

_UNARY = re.compile(
    # A task's own name may begin with a prefix: `BidiStreamingTaskPredict` is unary.
    r"/caikit\.runtime\.(\w+)\.\1Service/(?!(Server|Client|Bidi)Streaming\w+TaskPredict)\w+TaskPredict"
)


class Front(Edge):
    """An edge that refuses what it is not there for; an async context manager.

    Attributes:
        passed: how many requests of each method or route were let through.
        refused: how many of each were not.
    """

    def __init__(self, to: int, refusal: str) -> None:
        super().__init__(to)
        self.refusal = refusal
        self.passed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @abstractmethod
    def lets(self, name: str, headers: Mapping[str, str]) -> bool:
        """Whether it is there for a method or route."""

    def arrived(self, name: str, headers: Iterable[tuple[str, str]]) -> Fault:
        fault = super().arrived(name, headers)
        passes = self.lets(name, {key.lower(): value for key, value in headers})
        (self.passed if passes else self.refused)[name.rpartition("/")[2] if name.startswith("/") else name] += 1
        return fault if passes else self.refusal


class GrpcFront(Front, GrpcEdge):
    """As KServe's ModelMesh: lets unary calls of a library's inference service through that name a model.

    Args:
        to: the runtime's port.
        refusal: what becomes of all others: a status by its name, or a `RST_STREAM`'s code.
    """

    def __init__(self, to: int, refusal: str = "UNIMPLEMENTED") -> None:
        super().__init__(to, refusal)

    def lets(self, name: str, headers: Mapping[str, str]) -> bool:
        return _UNARY.fullmatch(name) is not None and bool(headers.get("mm-model-id"))


class HttpFront(Front, HttpEdge):
    """An API gateway that lets named routes through.

    Args:
        to: the runtime's port.
        routes: such as `POST /api/v1/task/sample`.
        refusal: the status of all others.
    """

    def __init__(self, to: int, routes: Iterable[str], refusal: str = "404") -> None:
        super().__init__(to, refusal)
        self.routes = frozenset(routes)

    def lets(self, name: str, headers: Mapping[str, str]) -> bool:
        return name in self.routes
