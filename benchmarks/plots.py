"""`python -m benchmarks.plots benchmarks.json`: draws the figures of a run as SVG, for light and dark pages.

Each picture says itself which cases it needs, and leaves out what the run does not have. Colours are Okabe and Ito's;
hatches and markers tell the same in print and to readers who see no colours.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .growth import Costs, dimensions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLIENT, ENGINE = "client", "engine, bytes"
FLOORS = ("grpc.aio, bytes", "sync gRPC, bytes", "aiohttp, bytes", "aiohttp, lines")
PIXELS = 72
"""Of an inch: SVG has as many points."""


class Scheme(NamedTuple):
    """The colours of a page."""

    page: str
    text: str
    grid: str
    client: str
    engine: str
    floor: str
    peer: str
    other: str


SCHEMES = {
    "light": Scheme("#ffffff", "#1f2328", "#d5dae0", "#0072b2", "#56b4e9", "#8a8f96", "#d55e00", "#e69f00"),
    "dark": Scheme("#0d1117", "#e6edf3", "#333b45", "#56b4e9", "#0072b2", "#8a8f96", "#e69f00", "#d55e00"),
}


class Look(NamedTuple):
    """How a variant is drawn: its name in the legend, the field of its colour, its hatch and its marker."""

    name: str
    colour: str
    hatch: str
    marker: str


FLOOR = Look("floor: bytes only", "floor", "////", "s")
LOOKS = {
    CLIENT: Look("remote_client", "client", "", "o"),
    **dict.fromkeys(FLOORS, FLOOR),
    ENGINE: Look("its engine, bytes only", "engine", "||||", "D"),
    "client, grpcio": Look("remote_client on grpcio", "other", "\\\\\\\\", "P"),
    "caikit's client": Look("caikit's client", "peer", "xxxx", "X"),
    "httpx and pydantic": Look("httpx and pydantic", "peer", "----", "v"),
    "json_format": Look("grpc.aio and json_format", "peer", "++++", "^"),
}
"""The variants that are drawn, in the order of legends."""


class Results:
    """The figures of a run, by case and variant."""

    def __init__(self, figures: Iterable[dict[str, Any]]) -> None:
        figures = list(figures)
        self.growth = dimensions(figures)
        self._figures = {(figure["case"], figure["variant"]): figure for figure in figures}

    def has_growth(self, variant: str) -> bool:
        """Return whether something that grows has a variant."""
        return any(variant in variants for variants in self.growth.values())

    def value(self, case: str, variant: str) -> float | None:
        """Return the median, in microseconds of a unit."""
        figure = self._figures.get((case, variant))
        return None if figure is None else figure["value"]

    def ratio(self, case: str, variant: str) -> float | None:
        """Return the time relative to the floor."""
        figure = self._figures.get((case, variant))
        return None if figure is None else figure["ratio"]


@dataclass(frozen=True)
class Bar:
    """A bar of the summary: what it is about, and where its figure is."""

    label: str
    case: str
    variant: str = CLIENT


SUMMARY = (
    Bar("gRPC call, one at a time", "grpc unary tiny, in flight: 1"),
    Bar("gRPC call, 32 in flight", "grpc unary tiny, in flight: 32"),
    Bar("gRPC call, 21 messages", "grpc unary rich, in flight: 32"),
    Bar("gRPC stream, an item", "stream out tiny"),
    Bar("gRPC stream, 21 messages", "stream out rich"),
    Bar("blocking gRPC, 32 threads", "caikit unary tiny, threads: 32"),
    Bar("the same: caikit's client", "caikit unary tiny, threads: 32", "caikit's client"),
    Bar("HTTP call, 32 in flight", "http unary tiny, in flight: 32"),
    Bar("HTTP event", "http events tiny"),
    Bar("HTTP event, 21 messages", "http events rich"),
)


def summary(results: Results, scheme: Scheme) -> Figure | None:
    """Draw times relative to the floor; large letters, as the README shows it small on a phone."""
    bars = [(bar, ratio) for bar in SUMMARY if (ratio := results.ratio(bar.case, bar.variant)) is not None]
    if not bars:
        return None
    figure, (axes,) = _figure(scheme, (700, 420), size=18)
    for row, (bar, ratio) in enumerate(bars):
        _bar(axes, row, ratio, LOOKS[bar.variant], scheme)
        behind = {"facecolor": scheme.page, "linewidth": 0, "pad": 2}
        axes.text(ratio + 0.04, row, f"{ratio:.2f}", va="center", fontweight="bold", bbox=behind, zorder=3)
    axes.axvline(1, color=scheme.text, linewidth=1.5, zorder=2.5)
    axes.set_title("1 = gRPC or aiohttp with bytes only", fontsize=17)
    _rows(axes, [bar.label for bar, _ in bars])
    axes.set_xlim(0, max(1.4, *(ratio for _, ratio in bars)) * 1.15)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure


class Panel(NamedTuple):
    """A part of the plot of latencies: a title, a case with a place for the number, the numbers, and what they count.

    `more` is a case with the same numbers of which only caikit's client is drawn.
    """

    title: str
    case: str
    counts: Sequence[int]
    counted: str = "in flight"
    more: str = ""


LATENCY = (
    Panel("gRPC, tiny answers", "grpc unary tiny, in flight: {}", (1, 32, 256)),
    Panel("gRPC, answers of 21 messages", "grpc unary rich, in flight: {}", (1, 32, 256)),
    Panel("HTTP, tiny answers", "http unary tiny, in flight: {}", (1, 32)),
    Panel("gRPC, blocking", "sync unary tiny, threads: {}", (1, 8, 32), "threads", "caikit unary tiny, threads: {}"),
)
TICKS = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]


def latency(results: Results, scheme: Scheme) -> Figure | None:
    """Draw the time of a unary call by the calls in flight."""
    panels = [(panel, lines) for panel in LATENCY if (lines := _lines(results, panel))]
    if not panels:
        return None
    rows = (len(panels) + 1) // 2
    looks = _looks(variant for _, lines in panels for variant in lines)
    height = 25 * len(looks) // 2 + 215 * rows
    figure, grid = _figure(scheme, (560, height), rows=rows, columns=2, sharey=True)
    values = [value for _, lines in panels for points in lines.values() for _, value in points]
    for axes, (panel, lines) in zip(grid, panels, strict=False):
        _draw_lines(axes, panel, lines, scheme)
        axes.set_yscale("log")
        axes.set_yticks(TICKS, [f"{tick:,}" for tick in TICKS])
        axes.minorticks_off()
        axes.set_ylim(min(values) / 1.6, max(values) * 1.4)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[::2]:
        axes.set_ylabel("µs per call")
    _legend(figure, looks, scheme)
    return figure


Lines = dict[str, list[tuple[int, float]]]
"""Of each variant: places on x, and values."""


def _lines(results: Results, panel: Panel) -> Lines:
    lines: Lines = {}
    for variant in LOOKS:
        case = panel.more if panel.more and variant == "caikit's client" else panel.case
        values = [results.value(case.format(count), variant) for count in panel.counts]
        points = [(place, value) for place, value in enumerate(values) if value is not None]
        if points:
            lines[variant] = points
    return lines


def _draw_lines(axes: Axes, panel: Panel, lines: Lines, scheme: Scheme) -> None:
    for variant, points in reversed(lines.items()):
        look = LOOKS[variant]
        axes.plot(*zip(*points, strict=True), marker=look.marker, color=getattr(scheme, look.colour), markersize=7)
    axes.set_title(panel.title, fontsize=13)
    axes.set_xlim(-0.4, len(panel.counts) - 0.6)
    axes.set_xticks(range(len(panel.counts)), [str(count) for count in panel.counts])
    axes.set_xlabel(panel.counted)
    axes.grid(axis="y", color=scheme.grid)


GROWTH_LOOKS = {
    **dict.fromkeys(("client", "client, models", "client, list", "client, all new"), LOOKS[CLIENT]),
    **dict.fromkeys(("client, dicts", "client, array"), Look("with dicts or arrays", "other", "", "P")),
    ENGINE: LOOKS[ENGINE],
    **dict.fromkeys(("grpc.aio, bytes", "aiohttp, bytes", "a copy of the bytes"), FLOOR),
    "protobuf": Look("protobuf alone", "peer", "", "^"),
}
"""How the variants of what grows are drawn, in the order of the legend."""
DECADES = [10.0**power for power in range(-1, 8)]
_SIZES = {1: "1", 10: "10", 100: "100", 1_000: "1k", 10_000: "10k", 100_000: "100k"}
_UNITS = ("0.1 us", "1 us", "", "100 us", "", "10 ms", "", "1 s", "")


def growth(results: Results, scheme: Scheme) -> Figure | None:
    """Draw how costs grow with sizes, on log axes."""
    if not results.growth:
        return None
    looks = list(dict.fromkeys(look for variant, look in GROWTH_LOOKS.items() if results.has_growth(variant)))
    columns = 3
    rows = -(-len(results.growth) // columns)
    figure, grid = _figure(scheme, (700, 190 * rows + 40), size=12, rows=rows, columns=columns, sharey=True)
    for axes, (what, variants) in zip(grid, results.growth.items(), strict=False):
        drawn = [(GROWTH_LOOKS[variant], costs) for variant, costs in variants.items() if variant in GROWTH_LOOKS]
        sizes = [size for _, costs in drawn for size in costs]
        for look, costs in reversed(drawn):
            axes.plot(*_points(costs), marker=look.marker, color=getattr(scheme, look.colour), markersize=4)
        axes.set_title(what, fontsize=12)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(list(_SIZES), list(_SIZES.values()))
        axes.set_xlim(min(sizes) / 1.5, max(sizes) * 1.5)
        axes.set_yticks(DECADES, _UNITS)
        axes.minorticks_off()
        axes.grid(color=scheme.grid)
    for axes in grid[len(results.growth) :]:
        axes.set_visible(False)
    _legend(figure, looks, scheme)
    return figure


def _points(costs: Costs) -> tuple[list[int], list[float]]:
    return list(costs), list(costs.values())


class Group(NamedTuple):
    """Bars of the plot of throughputs that belong together: a case, and the title of its first bar."""

    title: str
    tiny: str
    rich: str
    more: str = ""


THROUGHPUT = (
    Group("gRPC", "stream out tiny", "stream out rich"),
    Group("gRPC, blocking", "sync stream tiny, threads: 1", "sync stream rich, threads: 1", "caikit stream tiny"),
    Group("HTTP", "http events tiny", "http events rich"),
)


def throughput(results: Results, scheme: Scheme) -> Figure | None:
    """Draw the items a second of streams, of tiny items and of items of 21 messages."""
    panels = []
    for title, rich in (("tiny items", False), ("items of 21 messages", True)):
        bars = [bar for group in THROUGHPUT for bar in _bars(results, group, rich)]
        if bars:
            panels.append((title, bars))
    if not panels:
        return None
    heights = [len(bars) for _, bars in panels]
    looks = _looks(variant for _, bars in panels for _, variant, _ in bars)
    height = 25 * len(looks) // 2 + 23 * sum(heights) + 75 * len(panels)
    figure, grid = _figure(scheme, (560, height), rows=len(panels), heights=heights)
    for axes, (title, bars) in zip(grid, panels, strict=True):
        rows = [number + 0.5 * sum(bool(label) for label, _, _ in bars[: number + 1]) for number in range(len(bars))]
        most = max(rate for _, _, rate in bars)
        for row, (_, variant, rate) in zip(rows, bars, strict=True):
            _bar(axes, row, rate, LOOKS[variant], scheme)
            axes.text(rate + 0.01 * most, row, _thousands(rate), va="center")
        _rows(axes, [label for label, _, _ in bars], rows)
        axes.set_title(f"{title}, thousands a second", fontsize=13, loc="left")
        axes.set_xlim(0, 1.15 * most)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    _legend(figure, looks, scheme)
    return figure


def _bars(results: Results, group: Group, rich: bool) -> list[tuple[str, str, float]]:
    """Return a group's bars: the label of the first, the variant, and items a second."""
    case = group.rich if rich else group.tiny
    found = {variant: results.value(case, variant) for variant in LOOKS}
    if group.more and not rich:
        found["caikit's client"] = results.value(group.more, "caikit's client")
    rates = [(variant, 1e6 / value) for variant, value in found.items() if value]
    return [("" if number else group.title, variant, rate) for number, (variant, rate) in enumerate(rates)]


def _thousands(rate: float) -> str:
    return f"{rate / 1000:,.0f}" if rate >= 99_500 else f"{rate / 1000:.1f}"


# -- matplotlib --------------------------------------------------------------------------------------------------------


def _figure(
    scheme: Scheme,
    pixels: tuple[int, int],
    *,
    size: float = 13,
    rows: int = 1,
    columns: int = 1,
    sharey: bool = False,
    heights: Sequence[int] | None = None,
) -> tuple[Figure, list[Axes]]:
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update(_style(scheme, size))
    inches = (pixels[0] / PIXELS, pixels[1] / PIXELS)
    figure = Figure(figsize=inches, layout="constrained", facecolor=scheme.page)
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False, height_ratios=heights)
    return figure, [axes for row in grid for axes in row]


def _style(scheme: Scheme, size: float) -> Any:
    coloured = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    return {
        **dict.fromkeys(coloured, scheme.text),
        "axes.facecolor": scheme.page,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.constrained_layout.h_pad": 0.13,
        "figure.constrained_layout.w_pad": 0.13,
        "font.family": "sans-serif",
        # Widths are those of the first, which matplotlib brings with it: the widest.
        "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
        "font.size": size,
        "hatch.color": scheme.page,
        "hatch.linewidth": 1.2,
        "lines.linewidth": 2,
        "svg.fonttype": "none",
        "svg.hashsalt": "remote_client",
    }


def _bar(axes: Axes, row: float, value: float, look: Look, scheme: Scheme) -> None:
    axes.barh(row, value, height=0.72, color=getattr(scheme, look.colour), hatch=look.hatch, linewidth=0)


def _rows(axes: Axes, labels: Sequence[str], places: Sequence[float] | None = None) -> None:
    places = places or range(len(labels))
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(places[-1] + 0.6, places[0] - 0.6)


def _looks(variants: Iterable[str]) -> list[Look]:
    drawn = set(variants)
    return list(dict.fromkeys(look for variant, look in LOOKS.items() if variant in drawn))


def _legend(figure: Figure, looks: Iterable[Look], scheme: Scheme) -> None:
    """Add a legend above the panels: of lines with markers, or of bars with hatches."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for look in looks:
        colour = getattr(scheme, look.colour)
        if figure.axes[0].lines:
            handles.append(Line2D([], [], color=colour, marker=look.marker, markersize=7, label=look.name))
        else:
            handles.append(Patch(facecolor=colour, hatch=look.hatch, linewidth=0, label=look.name))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False)


# -- the command -------------------------------------------------------------------------------------------------------

PICTURES: dict[str, tuple[str, Callable[[Results, Scheme], Any]]] = {
    "summary": ("Time of a call relative to calls of bytes", summary),
    "latency": ("Time of a unary call by the calls in flight", latency),
    "throughput": ("Items a second of streams", throughput),
    "growth": ("Time by size, on log axes", growth),
}
"""Title and drawing by name."""


def draw(figures: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write the pictures, and return their files. A picture none of whose cases was measured is not drawn."""
    check()
    from matplotlib import rc_context

    results, files = Results(figures), []
    for name, (title, drawn) in PICTURES.items():
        for scheme, colours in SCHEMES.items():
            with rc_context():
                picture = drawn(results, colours)
                if picture is not None:
                    files.append(folder / f"{name}-{scheme}.svg")
                    files[-1].write_text(_svg(picture, title))
    return files


def _svg(picture: Figure, title: str) -> str:
    """Return a picture without a date and a version, as the same figures make the same file; in pixels, not points."""
    written = io.StringIO()
    picture.savefig(written, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    lines = (line.rstrip() for line in written.getvalue().splitlines())
    return re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', "\n".join(lines), count=2) + "\n"


def check() -> None:
    """Say what is missing before anything is measured."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install -r tests/requirements/client.txt") from None


def main() -> None:
    """Draw the pictures of a run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("file", type=Path, help="what `python -m benchmarks --json FILE` wrote")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the pictures are written; default: here")
    wish = parser.parse_args()
    files = draw(json.loads(wish.file.read_text())["figures"], wish.folder)
    print("\n".join(map(str, files)) or f"{wish.file} has no case that is drawn")


if __name__ == "__main__":
    main()
