"""How the growth of costs is told: the exponents, and the tables of the page."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import growth


def figure(case: str, variant: str, cpu: float | None) -> dict[str, Any]:
    return {"case": case, "variant": variant, "cpu": cpu}


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_exponent_is_the_power_that_a_cost_grows_with(power: float) -> None:
    costs = {size: 3 * size**power for size in (10, 100, 1_000, 3_000, 10_000)}
    assert growth.exponent(costs) == pytest.approx(power)


def test_small_sizes_do_not_hide_the_exponent() -> None:
    costs = {size: max(1_000.0, size) for size in (1, 10, 100, 1_000, 3_000, 10_000)}
    assert growth.exponent(costs) == pytest.approx(1)


def test_one_figure_of_several_moves_the_exponent_little() -> None:
    costs = {1_000: 1_000.0, 3_000: 3_300.0, 10_000: 10_000.0}
    assert growth.exponent(costs) == pytest.approx(1, abs=0.01)


def test_cases_of_one_name_are_sizes_of_one_thing() -> None:
    figures = [
        figure("growth of answers, messages: 1", "protobuf", 1.0),
        figure("growth of answers, messages: 1", "client", 2.0),
        figure("growth of answers, messages: 10", "protobuf", 3.0),
        figure("growth of models, listed: 10", "client", 4.0),
        figure("stream out tiny", "client", 5.0),
        figure("growth of memory: 10", "client", None),
    ]
    assert growth.dimensions(figures) == {
        "answers, messages": {"protobuf": {1: 1.0, 10: 3.0}, "client": {1: 2.0}},
        "models, listed": {"client": {10: 4.0}},
    }


def test_what_grows_has_a_table_of_its_sizes() -> None:
    costs = {1: 0.5, 1_000: 1_000.0, 3_000: 3_000.0, 10_000: 2_000_000.0}
    figures = [figure(f"growth of calls, in flight: {size}", "client", cost) for size, cost in costs.items()]
    figures.append(figure("growth of calls, in flight: 1000", "floor", 100.0))
    figures.append(figure("growth of calls, in flight: 10000", "floor", 1_000.0))
    assert growth.tables(figures).splitlines() == [
        "| calls, in flight | 1 | 1,000 | 3,000 | 10,000 | exponent |",
        "|---|---|---|---|---|---|",
        "| client | 0.5 us | 1.0 ms | 3.0 ms | 2.0 s | 3.33 |",
        "| floor |  | 100 us |  | 1.0 ms | 1.00 |",
    ]
