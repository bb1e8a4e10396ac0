"""The routes of caikit's OpenAPI documents, and the tasks they belong to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .. import caikit_names
from ..budget import MAX_NAME

STREAMING = "server-streaming-"
"""The prefix of a route's last segment if the answers are a stream."""
_TITLE = re.compile(r"caikit\.http\.(?P<task>\w+)\.(?P<request>\w+)HttpRequest")
Operation = tuple[bool, str, Any]
"""Whether it streams its answers, its route, and its description in the document."""


def is_route(path: str) -> bool:
    """Return whether a path is valid as a runtime's route."""
    return path.startswith("/") and len(path) <= MAX_NAME and path.isprintable()


def by_prefix(operations: Iterable[Operation]) -> list[list[Operation]]:
    """Group a task's operations by the prefix of their routes. A second one of a kind belongs to another service."""
    groups: dict[tuple[str, int], list[Operation]] = {}
    count: Counter[tuple[str, bool]] = Counter()
    for streaming, route, operation in sorted(operations, key=lambda operation: operation[:2]):
        prefix = route.rpartition("/")[0]
        groups.setdefault((prefix, count[prefix, streaming]), []).append((streaming, route, operation))
        count[prefix, streaming] += 1
    return list(groups.values())


def task_of(route_name: str, request: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a route's task, and whether the route streams its answers.

    A task may be named `ServerStreamingTask`: only the title of the request tells its name from the prefix.
    """
    title = request.get("title")
    match = _TITLE.fullmatch(title) if isinstance(title, str) else None
    if match is not None:
        task = match["task"]
        kebab = caikit_names.snake_case(task.removesuffix("Task") or task).replace("_", "-")
        if route_name in (kebab, f"{STREAMING}{kebab}"):
            return task, route_name != kebab
    return task_of_route(route_name), route_name.startswith(STREAMING)


def task_of_route(route: str) -> str:
    """Return the class of a route's task, from the route alone."""
    stem = route.rpartition("/")[2].removeprefix(STREAMING)
    return "".join(word[:1].upper() + word[1:] for word in stem.split("-")) + "Task"
