"""Models as a runtime lists them."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client._schema.runtime_info import read_models
from tests.support.growth import calls, exponent


def listed(size: int) -> list[dict[str, Any]]:
    module = {"name": "Sample"}
    return [{"name": f"m{number}", "module_id": f"id{number}", "module_metadata": module} for number in range(size)]


def test_models_by_name_and_the_ids_of_their_modules() -> None:
    models, module_ids = read_models([*listed(2), {"name": "bare", "module_id": None, "size": 3}])
    assert list(models) == ["m0", "m1", "bare"]
    assert models["bare"].size == 3
    assert module_ids == {"Sample": {"id0", "id1"}, "": {""}}


def test_calls_grow_with_the_number_of_models() -> None:
    def cost(size: int) -> int:
        models = listed(size)
        return calls(lambda: read_models(models))

    cost(3)
    assert exponent(cost, 50) < 1.1


@pytest.mark.parametrize("answer", [[None], [{}], [{"name": 1}], 5, "text", [{"name": "a", "size": "large"}]])
def test_what_is_no_list_of_models(answer: Any) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        read_models(answer)
