"""The table of figures."""

from __future__ import annotations

from typing import Any

HEAD = ("case", "what", "median", "to the floor", "quartiles", "CPU", "CPU to the floor", "quartiles")


def cells(figure: dict[str, Any]) -> tuple[str, ...]:
    """A figure as the cells of its row."""
    told = f"{_number(figure['value'])} {figure['measure']}/{figure['unit']}"
    cpu = "" if figure["cpu"] is None else f"{_number(figure['cpu'])} {figure['measure']}"
    wall_ratio, cpu_ratio = _ratio(figure, ""), _ratio(figure, "cpu_")
    return (figure["case"], figure["variant"], told, *wall_ratio, cpu, *cpu_ratio)


def row(figure: dict[str, Any]) -> str:
    """A figure in a line, for those who wait."""
    return "  ".join(each for each in cells(figure) if each)


def table(figures: list[dict[str, Any]]) -> str:
    """All figures in Markdown's columns; a case is named once."""
    rows: list[tuple[str, ...]] = [HEAD]
    last = ""
    for figure in figures:
        case, *rest = cells(figure)
        rows.append(("" if case == last else case, *rest))
        last = case
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _ratio(figure: dict[str, Any], of: str) -> tuple[str, str]:
    """The ratio to the floor and its quartiles; of the floor, and where nothing was measured, nothing."""
    ratio, low, high = (figure[of + name] for name in ("ratio", "low", "high"))
    return ("", "") if ratio is None else (f"{ratio:.2f}", f"{low:.2f} to {high:.2f}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
