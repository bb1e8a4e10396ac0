"""The limits of what a server's description of itself may cost."""

from __future__ import annotations

import pytest

from remote_client._schema.budget import MAX_NAME, Budget
from remote_client.errors import SchemaError


@pytest.mark.parametrize("kind", ["bytes", "files", "names", "types", "nodes"])
def test_the_limit_is_named(kind: str) -> None:
    budget = Budget(limits={kind: 2_000})  # type: ignore[dict-item]
    budget.spend(kind, 2_000)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=f"more than 2,000 {kind}"):
        budget.spend(kind)  # type: ignore[arg-type]


def test_the_deadline_is_one_for_all() -> None:
    now = 100.0
    budget = Budget(5, clock=lambda: now)
    now = 104.0
    budget.spend("types")
    assert budget.remaining == 1
    now = 105.5
    with pytest.raises(SchemaError, match="more than 5 seconds"):
        budget.spend("nodes")


def test_whoever_is_given_up_ends() -> None:
    budget = Budget()
    budget.check()
    budget.cancel()
    with pytest.raises(SchemaError, match="was cancelled"):
        budget.check()


def test_long_names() -> None:
    assert Budget().check_name("a" * MAX_NAME)
    with pytest.raises(SchemaError, match="1,001 letters"):
        Budget().check_name("a" * (MAX_NAME + 1))
