"""OpenAPI documents: captured from real runtimes, and small ones made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent.parent / "support" / "openapi"
COMPLETE = (_HERE / "complete.json").read_bytes()
DANGLING = (_HERE / "dangling.json").read_bytes()
CAIKIT_026 = (_HERE / "caikit-0.26.json").read_bytes()
"""Of caikit 0.26.34 with pydantic 2.7.4 and fastapi 0.115, serving `tests/runtime/sample_lib`."""


def document(
    answer: Any = None,
    *,
    inputs: Any = None,
    parameters: Any = None,
    schemas: dict[str, Any] | None = None,
    route: str = "/api/v1/task/made-up",
    title: str = "caikit.http.MadeUpTask.MadeUpTaskRequestHttpRequest",
) -> bytes:
    """A document with one method in the form a runtime describes it."""
    properties = {"inputs": inputs, "parameters": parameters, "model_id": {"type": "string"}}
    request = {
        "type": "object",
        "title": title,
        "properties": {name: each for name, each in properties.items() if each is not None},
    }
    operation = {
        "requestBody": {"content": {"application/json": {"schema": request}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    return json.dumps({"paths": {route: {"post": operation}}, "components": {"schemas": schemas or {}}}).encode()
