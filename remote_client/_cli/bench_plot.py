"""The plot of `bench`: an SVG with the calls a second and the latencies by the calls in flight."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 360, 240
"""Of a panel, in pixels."""
_LEFT, _TOP, _GAP = 60, 60, 90
_COLORS = {"p50_ms": "#2b6cb0", "p90_ms": "#dd8b0d", "p99_ms": "#c53030"}
_STYLE = "text { font: 12px sans-serif; fill: #333 } .title { font-size: 15px; font-weight: bold }"


def svg(title: str, levels: Sequence[dict[str, Any]]) -> str:
    """Return the plot of the summaries of `Level`. Levels without an answer have no latencies."""
    right = _LEFT + _WIDTH + _GAP
    width, height = right + _WIDTH + _LEFT, _TOP + _HEIGHT + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(_LEFT, 24, title, 'class="title"'),
        _panel(_LEFT, "calls per second", levels, ["calls_per_second"], _bars),
        _panel(right, "latency in ms", levels, list(_COLORS), _lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


_Marks = Callable[[Sequence[float], str, Sequence[float | None], Callable[[float], float]], str]
"""Draws the values of a column at the places of x: the column, the values, and the place of a value on y."""


def _panel(left: float, title: str, levels: Sequence[dict[str, Any]], columns: Sequence[str], marks: _Marks) -> str:
    highest = max((level[column] or 0 for level in levels for column in columns), default=0)
    step = _step(highest)
    top = step * max(1, math.ceil(highest / step))
    xs = [left + (number + 0.5) * _WIDTH / len(levels) for number in range(len(levels))]

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - value / top)

    parts = [_text(left, _TOP - 12, title)]
    for value in (step * number for number in range(round(top / step) + 1)):
        parts.append(f'<path d="M{left} {y(value):.1f}h{_WIDTH}" stroke="{"#ddd" if value else "#333"}"/>')
        parts.append(_text(left - 6, y(value) + 4, f"{value:,.6g}", 'text-anchor="end"'))
    for x, level in zip(xs, levels, strict=True):
        parts.append(_text(x, _TOP + _HEIGHT + 18, str(level["in_flight"]), 'text-anchor="middle"'))
    parts.append(_text(left + _WIDTH / 2, _TOP + _HEIGHT + 40, "calls in flight", 'text-anchor="middle"'))
    parts.extend(marks(xs, column, [level[column] for level in levels], y) for column in columns)
    return "\n".join(parts)


def _bars(xs: Sequence[float], column: str, values: Sequence[float | None], y: Callable[[float], float]) -> str:
    width = min(60.0, 0.6 * _WIDTH / len(xs))
    parts = []
    for x, value in zip(xs, values, strict=True):
        place, foot = y(value or 0), y(0)
        size = f'x="{x - width / 2:.1f}" y="{place:.1f}" width="{width:.1f}" height="{foot - place:.1f}"'
        parts.append(f'<rect class="{column}" {size} fill="#2b6cb0"><title>{value}</title></rect>')
    return "\n".join(parts)


def _lines(xs: Sequence[float], column: str, values: Sequence[float | None], y: Callable[[float], float]) -> str:
    color, place = _COLORS[column], list(_COLORS).index(column)
    known = [(x, value) for x, value in zip(xs, values, strict=True) if value is not None]
    points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in known)
    left = xs[0] - 0.5 * _WIDTH / len(xs) + 130 + 70 * place
    parts = [f'<polyline class="{column}" points="{points}" fill="none" stroke="{color}" stroke-width="2"/>']
    parts += [
        f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="3" fill="{color}"><title>{value}</title></circle>'
        for x, value in known
    ]
    parts.append(f'<path d="M{left:.1f} {_TOP - 16}h16" stroke="{color}" stroke-width="2"/>')
    parts.append(_text(left + 20, _TOP - 12, column.removesuffix("_ms")))
    return "\n".join(parts)


def _step(highest: float) -> float:
    """Return the distance of grid lines: 1, 2 or 5 times a power of ten, so that there are at most five."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= highest)


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    space = " " if attributes else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{space}{attributes}>{escape(text)}</text>'
