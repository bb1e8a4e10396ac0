"""What it costs to make types of a server's schema grows with the schema's size, not faster."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from remote_client._schema.budget import Budget
from remote_client._schema.protobuf.fields import union_of
from remote_client.errors import SchemaError
from tests.support import large_documents
from tests.support.growth import calls, exponent
from tests.support.large_schemas import SHAPES, describe
from tests.support.slow import slow_but

SIZES = {"values_of_an_enum": 70, "fields_of_a_large_enum": 70}
"""Larger than what is done in another way for few; elsewhere 35."""
MOST = 1.1


@pytest.mark.parametrize("shape", slow_but(["fields", "chain", "requests"], SHAPES))
def test_calls_grow_with_the_size(shape: str) -> None:
    def cost(size: int) -> int:
        files = SHAPES[shape](size)
        return calls(lambda: describe(files))

    cost(3)  # what is done once for all
    assert exponent(cost, SIZES.get(shape, 35)) < MOST


@pytest.mark.parametrize("shape", slow_but(["fields", "routes", "nested_schemas"], large_documents.SHAPES))
def test_calls_grow_with_the_size_of_a_document(shape: str) -> None:
    def cost(size: int) -> int:
        document = large_documents.SHAPES[shape](size)
        return calls(lambda: large_documents.describe(document))

    cost(3)  # what is done once for all
    assert exponent(cost, 50) < MOST


@pytest.mark.parametrize("shape", ["chain", "circle", "chain_in_both_directions", "layers", "star"])
def test_two_hundred_types_that_refer_to_each_other(shape: str) -> None:
    described = describe(SHAPES[shape](200), Budget())
    run = described.tasks["ATask"].methods[0].codec
    kind = run.signature.return_annotation
    assert len(described.types) > 190
    assert len(run.signature.parameters) == len(kind.model_fields)


@pytest.mark.parametrize("shape", ["chain", "circle", "chain_in_both_directions"])
def test_values_of_long_chains_of_types(shape: str) -> None:
    codec = describe(SHAPES[shape](200)).tasks["ATask"].methods[0].codec
    value: dict[str, Any] = {"flag": True}
    for _ in range(90):  # protobuf itself reads messages 100 levels deep
        value = {"flag": False, "next": value}
    made = codec.signature.return_annotation.model_validate(value)
    # The request and the answer have one type.
    assert codec.decode(codec.encode("", (), value), "pydantic") == made
    assert codec.encode("", (), {"flag": made.flag, "next": made.next}) == codec.encode("", (), value)
    assert type(made).model_validate_json(made.model_dump_json()) == made
    assert made.model_dump(exclude_unset=True) == value
    wrong: dict[str, Any] = {"wrong": 1}
    for _ in range(90):
        wrong = {"next": wrong}
    with pytest.raises(ValidationError) as caught:
        type(made).model_validate(wrong)
    assert [each["loc"] for each in caught.value.errors()] == [(*["next"] * 90, "wrong")]


@pytest.mark.parametrize("shape", ["chain", "circle", "fields", "values_of_an_enum", "methods", "files"])
def test_a_limit_is_an_error_that_names_it(shape: str) -> None:
    with pytest.raises(SchemaError, match=r"more than 50 (types|nodes|names|files)"):
        describe(SHAPES[shape](100), Budget(limits=dict.fromkeys(("types", "nodes", "names", "files"), 50)))


@pytest.mark.parametrize("shape", ["messages", "circle", "fields", "methods", "requests"])
def test_cancelling_ends_what_makes_types(shape: str) -> None:
    budget, checks = Budget(), 0
    check = budget.check

    def counted() -> None:
        nonlocal checks
        checks += 1
        check()

    budget.check = counted  # type: ignore[method-assign]
    describe(SHAPES[shape](300), budget)
    whole = checks
    budget = Budget()
    check, checks = budget.check, 0

    def cancelled_midway() -> None:
        nonlocal checks
        checks += 1
        if checks == whole // 2:
            threading.Thread(target=budget.cancel).run()
        check()

    budget.check = cancelled_midway  # type: ignore[method-assign]
    with pytest.raises(SchemaError, match="was cancelled"):
        describe(SHAPES[shape](300), budget)
    assert checks == whole // 2


FREED_ON_A_SMALL_STACK = """
import gc, threading
from tests.support.large_schemas import SHAPES, describe

def work():
    describe(SHAPES[{shape!r}](600))
    gc.collect()

threading.stack_size(128 * 1024)  # as musl's threads have it
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("freed")
"""


@pytest.mark.sampled(2)
@pytest.mark.parametrize("shape", ["chain", "circle", "chain_in_both_directions", "layers"])
def test_long_chains_of_types_are_freed_on_small_stacks(shape: str) -> None:
    script = FREED_ON_A_SMALL_STACK.format(shape=shape)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "freed\n", done.stderr


def test_a_union_of_thousands_of_types() -> None:
    kinds = [type(f"K{i}", (), {}) for i in range(3_000)]
    union = union_of([*kinds, None])
    assert union.__args__ == (*kinds, type(None))
    assert calls(lambda: union_of(kinds)) < 30 * len(kinds)
