"""Random schemas: each is described, and its file imports and does nothing, or it is refused with a `SchemaError`.

`SCHEMA_EXAMPLES=10000` makes so many of each, other ones in every run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from remote_client._schema.budget import Budget
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from remote_client._stubs.writer import render
from remote_client.errors import SchemaError
from remote_client.settings import Protocol
from tests.support import random_schemas
from tests.support.stubs import check_declarations, check_only_defines, imported

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "200"))
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize="SCHEMA_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
pytestmark = pytest.mark.timeout(120 + EXAMPLES)
# Seeds alone: drawn one by one, the parts of a schema would take ten times as long as all that is made of it.
seeds = st.integers(0, 2**64)
SECONDS = 60.0


@fuzzed
@given(seed=seeds)
def test_random_descriptors(seed: int, tmp_path: Path) -> None:
    files, services = random_schemas.reflected(Random(seed))
    try:
        description = protobuf_services.describe(files, services, Budget(SECONDS))
    except SchemaError as error:
        event(f"refused: {str(error)[:20]}")
        return
    check(description, "grpc", tmp_path)


@fuzzed
@given(seed=seeds)
def test_random_documents(seed: int, tmp_path: Path) -> None:
    told: Any = random_schemas.document(Random(seed))
    try:
        description = openapi.describe(json.dumps(told).encode(), Budget(SECONDS))
    except SchemaError as error:
        event(f"refused: {str(error)[:20]}")
        return
    check(description, "http", tmp_path)


def check(description: ServiceDescription, protocol: Protocol, folder: Path) -> None:
    """Print what was described, write it, import the file, and bind its classes."""
    event("described")
    assert isinstance(str(description), str)
    text = render(description, "a server", blocking=len(description.types) % 2 == 1)
    check_only_defines(text)
    with imported(text, folder) as module:
        check_declarations(module, description, protocol)
