"""The routes of an OpenAPI document of caikit: which are a runtime's, and which task each belongs to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .. import names
from ..budget import MAX_NAME

STREAMING = "server-streaming-"
"""How the last part of a route begins whose answers are a stream."""
_TITLE = re.compile(r"caikit\.http\.(?P<task>\w+)\.(?P<request>\w+)HttpRequest")
Operation = tuple[bool, str, Any]
"""Whether it streams its answers, its route, and what the document says of it."""


def is_route(path: str) -> bool:
    """Whether a path can be one that a runtime has."""
    return path.startswith("/") and len(path) <= MAX_NAME and path.isprintable()


def by_prefix(operations: Iterable[Operation]) -> list[list[Operation]]:
    """A task's operations by what their routes begin with. Of two of one kind the second is another service's."""
    found: dict[tuple[str, int], list[Operation]] = {}
    count: Counter[tuple[str, bool]] = Counter()
    for streaming, route, operation in sorted(operations, key=lambda each: each[:2]):
        prefix = route.rpartition("/")[0]
        found.setdefault((prefix, count[prefix, streaming]), []).append((streaming, route, operation))
        count[prefix, streaming] += 1
    return list(found.values())


def task_of(route_name: str, request: Mapping[str, Any]) -> tuple[str, bool]:
    """The task that a route belongs to, and whether it streams its answers.

    A task may itself be called `ServerStreamingTask`: what is not the task's own name is the prefix.
    """
    title = request.get("title")
    match = _TITLE.fullmatch(title) if isinstance(title, str) else None
    if match is not None:
        task = match["task"]
        kebab = names.snake_case(task.removesuffix("Task") or task).replace("_", "-")
        if route_name in (kebab, f"{STREAMING}{kebab}"):
            return task, route_name != kebab
    return task_of_route(route_name), route_name.startswith(STREAMING)


def task_of_route(route: str) -> str:
    """Return the class of a route's task, by the route alone."""
    stem = route.rpartition("/")[2].removeprefix(STREAMING)
    return "".join(word[:1].upper() + word[1:] for word in stem.split("-")) + "Task"
