"""The table of figures."""

from __future__ import annotations

from typing import Any

HEAD = ("case", "what", "median", "to the floor", "quartiles")


def cells(figure: dict[str, Any]) -> tuple[str, ...]:
    """A figure as the cells of its row."""
    told = f"{_number(figure['value'])} {figure['measure']}/{figure['unit']}"
    if figure["ratio"] is None:
        return figure["case"], figure["variant"], told, "", ""
    spread = f"{figure['low']:.2f} to {figure['high']:.2f}"
    return figure["case"], figure["variant"], told, f"{figure['ratio']:.2f}", spread


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


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
